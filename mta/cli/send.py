"""``mta send``: submit a message, and follow it to its end."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import click

from mta.cli.client import ApiClient, find_api
from mta.cli.options import config_option, json_option
from mta.cli.process import load
from mta.cli.show import clean
from mta.delivery import TERMINAL, DeliveryState

POLL_S = 0.5
MAX_TEXT_BYTES = 32 * 1024 * 1024
PAGE = 1000  # deliveries in one answer of the API


@click.command()
@config_option
@click.option("--from", "author", required=True, metavar="ADDRESS", help="The author.")
@click.option(
    "--to",
    "recipients",
    required=True,
    multiple=True,
    metavar="ADDRESS",
    help="A recipient; may be repeated.",
)
@click.option("--subject", default="", help="The subject.")
@click.option("--text", default="", help='The text; "-" reads it from stdin.')
@click.option("--zone", metavar="ZONE", help="Send by this sending zone.")
@click.option("--wait", is_flag=True, help="Show every attempt until all are done.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
@click.option("--api", metavar="URL", help="The API [default: the one that runs here]")
@json_option
@click.pass_context
def send(
    ctx: click.Context,
    /,
    *,
    config_path: Path | None,
    api: str | None,
    wait: bool,
    timeout: float,
    as_json: bool,
    **message: Any,
) -> None:
    """Submit a message by the HTTP API.

    With --wait, exits 0 when it is delivered to every recipient, and 1 when it is
    not, or not within --timeout.
    """
    settings, config = load(config_path)
    client = ApiClient(find_api(api, settings, config), settings.api_key)
    answer = client.post("/send", compose(**message))
    if not wait:
        click.echo(json.dumps(answer) if as_json else f"queued as {answer.get('id')}")
        return
    message_id = str(answer.get("id"))
    if not as_json:
        click.echo(f"queued as {message_id}")

    def show(line: str) -> None:
        if not as_json:
            click.echo(line)

    document = follow(
        lambda: client.get(f"/v1/messages/{message_id}"),
        show,
        until=time.monotonic() + timeout,
    )
    if as_json:
        click.echo(json.dumps(document))
    if not is_finished(document):
        click.echo(f"mta: not finished within {timeout:g} s", err=True)
    if not is_delivered(document):
        ctx.exit(1)


def compose(
    *, author: str, recipients: Sequence[str], subject: str, text: str, zone: str | None
) -> dict[str, object]:
    """The JSON of a message, in the API's terms."""
    if text == "-":
        text = read_stdin()
    message: dict[str, object] = {
        "from": author,
        "to": list(recipients),
        "subject": subject,
        "text": text,
    }
    if zone:
        message["headers"] = {"X-Sending-Zone": zone}
    return message


def read_stdin() -> str:
    """All of stdin, within bounds; undecodable bytes are replaced.

    Raises:
        click.UsageError: It is more than a message by JSON may be.
    """
    octets = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    if len(octets) > MAX_TEXT_BYTES:
        raise click.UsageError(f"the text exceeds {MAX_TEXT_BYTES >> 20} MiB")
    return octets.decode("utf-8", "replace")


def follow(
    ask: Callable[[], dict[str, Any]],
    show: Callable[[str], None],
    *,
    until: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Show each new entry of the timelines until all is done, or time is up.

    Returns:
        The last state of the message.
    """
    shown: set[tuple[str, str]] = set()
    while True:
        document = ask()
        for key, line in timeline(document):
            if key not in shown:
                shown.add(key)
                show(line)
        if is_finished(document) or clock() >= until:
            return document
        pause(min(POLL_S, max(0.0, until - clock())))


def timeline(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Every entry of every delivery's log, oldest first: its identity and its line."""
    entries = [
        (str(entry.get("at")), delivery, entry)
        for delivery in document.get("deliveries", [])
        for entry in delivery.get("timeline", [])
    ]
    for at, delivery, entry in sorted(entries, key=lambda found: found[0]):
        yield (str(delivery["id"]), at), clean(_line(at, delivery, entry))


def is_finished(document: dict[str, Any]) -> bool:
    """Nothing more will happen to any recipient.

    Rows of a message may still be written: until all are, it is not finished.
    """
    return _are_all(document, TERMINAL)


def is_delivered(document: dict[str, Any]) -> bool:
    """Every recipient has it."""
    return _are_all(document, {DeliveryState.DELIVERED})


def _are_all(document: dict[str, Any], states: Set[DeliveryState]) -> bool:
    deliveries = document.get("deliveries", [])
    recipients = document.get("recipients", 1)
    expected = min(recipients, PAGE) if isinstance(recipients, int) else 1
    return len(deliveries) >= max(1, expected) and all(
        delivery["state"] in states for delivery in deliveries
    )


def _line(at: str, delivery: dict[str, Any], entry: dict[str, Any]) -> str:
    said = " ".join(
        str(entry[key]) for key in ("code", "status", "text") if entry.get(key)
    )
    where = entry.get("host") or entry.get("address")
    parts = [at, str(delivery["recipient"]), str(entry["state"]), said]
    if where:
        parts.append(f"by {where}")
    if entry.get("dueAt"):
        parts.append(f"next attempt {entry['dueAt']}")
    return "  ".join(filter(None, parts))
