"""``check-bounce``: what we make of an SMTP reply, in the form ZoneMTA prints it."""

import json
import sys

import click

from mta.cli.options import json_option
from mta.cli.show import clean
from mta.policy.classify import Classification, classify_reply

MAX_REPLY_BYTES = 64 * 1024

_NAME_WIDTH = 9
_INDENT = " " * (_NAME_WIDTH + len(": "))
# ZoneMTA's words for what we call to bounce, and for a reply without any text.
_REJECT = "reject"
_EMPTY = Classification("bounce", "other", 0, "", "Unknown", "no text")


@click.command("check-bounce")
@json_option
def check_bounce(as_json: bool) -> None:
    """Read an SMTP reply on stdin; say what it means for a delivery."""
    data = sys.stdin.buffer.read(MAX_REPLY_BYTES).decode("utf-8", "replace").strip()
    fields = describe(data)
    if as_json:
        click.echo(json.dumps(fields))
    else:
        click.echo(format_fields(fields))


def describe(data: str) -> dict[str, object]:
    """The fields of a reply's classification, in ZoneMTA's terms."""
    found = classify_reply(data) if data else _EMPTY
    return {
        "data": data,
        "action": _REJECT if found.action == "bounce" else found.action,
        "message": found.message,
        "category": found.category,
        "code": found.code,
        "status": found.status or False,
    }


def format_fields(fields: dict[str, object]) -> str:
    """One line per field; further lines of a value are indented below its first."""
    lines = []
    for name, value in fields.items():
        text = "false" if value is False else str(value).replace("\r\n", "\n")
        text = clean(text).replace("\n", f"\n{_INDENT}")
        lines.append(f"{name:<{_NAME_WIDTH}}: {text}")
    return "\n".join(lines)


def main() -> None:
    """Run ``check-bounce``."""
    check_bounce(prog_name="check-bounce")


if __name__ == "__main__":
    main()
