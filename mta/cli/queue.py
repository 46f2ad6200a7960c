"""``mta queue``: look at what waits, and steer it, by the HTTP API."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click

from mta.cli.client import ApiClient, find_api
from mta.cli.options import config_option, json_option
from mta.cli.process import load
from mta.cli.show import clean

STATES = ("queued", "deferred", "in_doubt", "held")
PAGE = 1000  # deliveries in one answer of the API
MAX_LISTED = 100_000

Document = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])


def client_options(command: F) -> F:
    """The options of every command here."""
    api_option = click.option(
        "--api", metavar="URL", help="The API [default: the one that runs here]"
    )
    return config_option(api_option(json_option(command)))


limit_option = click.option(
    "--limit",
    type=click.IntRange(1, MAX_LISTED),
    default=100,
    show_default=True,
    help="How many.",
)


@click.group()
def queue() -> None:
    """Look at what waits, and hold, release, retry or cancel it."""


@queue.command("list")
@click.option("--zone", metavar="ZONE", help="Only this sending zone.")
@click.option("--state", type=click.Choice(STATES), help="Only this state.")
@limit_option
@client_options
def list_deliveries(
    *,
    zone: str | None,
    state: str | None,
    limit: int,
    config_path: Path | None,
    api: str | None,
    as_json: bool,
) -> None:
    """List deliveries that are not finished, those of older messages first."""
    wanted = {"zone": zone, "state": state}
    query = {name: value for name, value in wanted.items() if value is not None}
    client = open_client(api, config_path)
    _show_list(fetch(client, "/v1/deliveries", query, limit=limit), as_json=as_json)


@queue.command()
@limit_option
@client_options
def doubts(
    *, limit: int, config_path: Path | None, api: str | None, as_json: bool
) -> None:
    """List deliveries that are or were in doubt, the latest first.

    The whole message was sent, and no answer was read: it may have arrived.
    """
    client = open_client(api, config_path)
    _show_list(fetch(client, "/v1/in-doubt", {}, limit=limit), as_json=as_json)


@queue.command()
@click.argument("item", metavar="ID")
@client_options
def show(
    *, item: str, config_path: Path | None, api: str | None, as_json: bool
) -> None:
    """Show a delivery (ID.SEQ), or all deliveries of a message (ID)."""
    document = open_client(api, config_path).get(path_of(item))
    if as_json:
        click.echo(json.dumps(document))
        return
    shown = document.get("deliveries", [document])
    for delivery in shown:
        for line in describe(delivery):
            click.echo(clean(line))
    if len(shown) < document.get("recipients", 1):
        click.echo(f"mta: of {document['recipients']} recipients", err=True)


def _add_order(order: str, help_text: str) -> None:
    @queue.command(order, help=help_text)
    @click.argument("item", metavar="ID")
    @client_options
    def give(
        *, item: str, config_path: Path | None, api: str | None, as_json: bool
    ) -> None:
        client = open_client(api, config_path)
        answer = client.post(f"{path_of(item)}/{order}", {})
        click.echo(json.dumps(answer) if as_json else clean(_result(answer)))


@queue.command()
@click.argument("delivery", metavar="ID.SEQ")
@client_options
def transcript(
    *, delivery: str, config_path: Path | None, api: str | None, as_json: bool
) -> None:
    """Show what was said in attempts that did not go as usual."""
    path = f"/v1/deliveries/{quote(delivery, safe='')}/transcripts"
    answer = open_client(api, config_path).get(path)
    if as_json:
        click.echo(json.dumps(answer))
        return
    for kept in answer["transcripts"]:
        head = f"attempt {kept['attempt']}, {kept['at']}, with {kept['host']}"
        click.echo(clean(f"{head}: {kept['why']}"))
        click.echo(clean(kept["text"]))
    if not answer["transcripts"]:
        click.echo("none was kept")


_BOTH = "ID is a delivery's (ID.SEQ), or a message's: then all its deliveries."
for _order, _help in {
    "hold": f"Stop trying, until it is released.\n\n{_BOTH}",
    "release": f"Let what is held go on: it is due now.\n\n{_BOTH}",
    "retry": f"Try it now, whatever it waits for.\n\n{_BOTH}",
    "cancel": f"Give it up for good. Nobody is told.\n\n{_BOTH}",
    "assume-delivered": "Take a delivery that is in doubt for delivered.\n\n"
    "ID is the delivery's (ID.SEQ).",
}.items():
    _add_order(_order, _help)


def path_of(item: str) -> str:
    """Where the API has a delivery or a message, by its id."""
    kind = "deliveries" if "." in item else "messages"
    return f"/v1/{kind}/{quote(item, safe='')}"


def fetch(
    client: ApiClient, path: str, query: dict[str, str], *, limit: int
) -> Document:
    """Up to ``limit`` entries of a list, over as many pages as that takes."""
    found: list[Document] = []
    cursor: str | None = None
    while True:
        page = query | {"limit": str(min(limit - len(found), PAGE))}
        if cursor:
            page["cursor"] = cursor
        answer = client.get(f"{path}?{urlencode(page)}")
        found += answer.get("deliveries", [])
        cursor = answer.get("next")
        if cursor is None or len(found) >= limit:
            return {"deliveries": found, "next": cursor}


def describe(delivery: Document) -> Iterator[str]:
    """A delivery in lines: what it is, then what happened to it."""
    yield summary(delivery)
    for entry in delivery.get("timeline", []):
        said = _joined(entry, "code", "status", "text", between=" ")
        where = entry.get("host") or entry.get("address")
        yield "    " + "  ".join(
            filter(
                None,
                (
                    str(entry.get("at")),
                    _words(entry.get("state")),
                    said,
                    f"by {where}" if where else "",
                    "may have arrived" if entry.get("isDoubtful") else "",
                    "repeat after doubt" if entry.get("isRepeat") else "",
                ),
            )
        )


def summary(delivery: Document) -> str:
    """A delivery in one line."""
    attempts = delivery.get("attempts", 0)
    due_at, parked_for = delivery.get("dueAt"), delivery.get("waitsFor")
    times = delivery.get("doubts", 0)
    parts = (
        str(delivery.get("id")),
        str(delivery.get("recipient")),
        str(delivery.get("zone")),
        _words(delivery.get("state")),
        f"{attempts} attempt{'' if attempts == 1 else 's'}",
        f"parked for {parked_for}" if parked_for else "",
        f"due {due_at}" if due_at and not parked_for else "",
        f"in doubt {times} time{'' if times == 1 else 's'}" if times else "",
        f"last {delivery['doubtedAt']}" if delivery.get("doubtedAt") else "",
    )
    return "  ".join(filter(None, parts))


def open_client(api: str | None, config_path: Path | None) -> ApiClient:
    settings, config = load(config_path)
    return ApiClient(find_api(api, settings, config), settings.api_key)


def _show_list(found: Document, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    for delivery in found["deliveries"]:
        click.echo(clean(summary(delivery)))
    if found["next"]:
        click.echo("mta: there are more; --limit shows them", err=True)


def _result(answer: Document) -> str:
    """What an order came to, in one line."""
    if "changed" not in answer:
        return f"{answer.get('id')} is {_words(answer.get('state'))}"
    counts = ", ".join(
        f"{count} {_words(state)}" for state, count in answer["states"].items()
    )
    return f"{answer.get('id')}: {answer['changed']} changed; now {counts}"


def _words(state: object) -> str:
    return str(state).replace("_", " ")


def _joined(entry: Document, *keys: str, between: str) -> str:
    return between.join(str(entry[key]) for key in keys if entry.get(key))
