"""``mta inbox``: what the sandbox's MX took."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mta.cli.options import config_option, json_option
from mta.cli.process import load
from mta.cli.show import clean
from mta.embedded.state import read_ready
from mta.errors import MtaError, StoreUnavailable

if TYPE_CHECKING:
    from mta.store.inbox import Inbox, InboxMessage

NOT_FOUND = 3
_MAX_LISTED = 10_000


class InboxAway(MtaError):
    """The database did not answer; the text says what to do."""


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def inbox(ctx: click.Context, config_path: Path | None, as_json: bool) -> None:
    """Read what the sandbox's MX took; lists it without a command."""
    ctx.obj = config_path
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_messages, as_json=as_json)


@inbox.command("list")
@click.option("--to", "recipient", metavar="ADDRESS", help="Only mail for ADDRESS.")
@click.option(
    "--limit",
    type=click.IntRange(1, _MAX_LISTED),
    default=20,
    show_default=True,
    help="How many, newest first.",
)
@json_option
@click.pass_obj
def list_messages(
    config_path: Path | None,
    recipient: str | None = None,
    limit: int = 20,
    as_json: bool = False,
) -> None:
    """List messages, newest first."""
    with _answering():
        found = _open(config_path).list(limit, recipient)
    if as_json:
        click.echo(json.dumps([_document(message) for message in found]))
        return
    for message in found:
        recipients = ", ".join(message.recipients)
        line = (
            f"{message.id}  {message.received_at:%Y-%m-%d %H:%M:%S}  "
            f"<{message.reverse_path}> -> {recipients}  {message.size} B  "
            f"{message.subject}"
        )
        click.echo(clean(line))


@inbox.command()
@click.argument("message_id", metavar="ID")
@click.option("--raw", is_flag=True, help="The bytes as they came over the wire.")
@json_option
@click.pass_context
def show(ctx: click.Context, message_id: str, raw: bool, as_json: bool) -> None:
    """Show one message, header and all."""
    opened = _open(ctx.obj)
    with _answering():
        message = opened.find(message_id)
    if message is None:
        click.echo(f"mta: there is no message {clean(message_id)}", err=True)
        ctx.exit(NOT_FOUND)
    content = opened.content(message_id)
    if raw:
        for chunk in content:
            sys.stdout.buffer.write(chunk)
        return
    text = b"".join(content).decode("utf-8", "replace")
    if as_json:
        click.echo(json.dumps({**_document(message), "content": text}))
        return
    click.echo(clean(text.replace("\r\n", "\n")), nl=False)


def _open(config_path: Path | None) -> "Inbox":
    """The inbox of the system that runs here, or of MTA_MONGO_URI."""
    from mta.wiring import build_inbox

    settings, _ = load(config_path)
    if settings.mongo_uri is None:
        running = read_ready(settings.state_dir).get("mongo")
        if isinstance(running, str):
            settings = replace(settings, mongo_uri=running)
    return build_inbox(settings)


@contextmanager
def _answering() -> Iterator[None]:
    """Say what to do about a database that does not answer.

    Raises:
        InboxAway: Instead of StoreUnavailable.
    """
    try:
        yield
    except StoreUnavailable as error:
        raise InboxAway(
            "no answer from the inbox's MongoDB. Is `mta up --sandbox` running? "
            "MTA_STATE_DIR names its state folder, MTA_MONGO_URI another database"
        ) from error


def _document(message: "InboxMessage") -> dict[str, object]:
    return {
        "id": message.id,
        "received_at": message.received_at.isoformat(),
        "reverse_path": message.reverse_path,
        "recipients": list(message.recipients),
        "subject": message.subject,
        "size": message.size,
    }
