"""``mta measure``: what is held back from whom, and why; by the HTTP API."""

import json
from pathlib import Path
from typing import Any

import click

from mta.cli.queue import client_options, open_client
from mta.cli.show import clean

ACTIONS = ("rest", "suspend", "slow")


@click.group()
def measure() -> None:
    """See what is held back from whom, and why; change it."""


@measure.command("list")
@client_options
def list_measures(*, config_path: Path | None, api: str | None, as_json: bool) -> None:
    """List what is held back now, the longest first."""
    answer = open_client(api, config_path).get("/v1/measures")
    if as_json:
        click.echo(json.dumps(answer))
        return
    for found in answer["measures"]:
        for line in describe(found):
            click.echo(clean(line))


@measure.command()
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("site", metavar="SITE")
@click.option("--for", "duration", metavar="TIME", required=True, help="Such as 6h.")
@click.option("--reason", metavar="TEXT", required=True, help="Shown wherever it is.")
@click.option("--source", metavar="ADDRESS", help="Only from this address of ours.")
@click.option("--tenant", metavar="NAME", help="Only this tenant's mail.")
@click.option("--rate", metavar="RATE", help="For slow: such as 10/minute.")
@click.option("--max-connections", type=int, metavar="N", help="For slow.")
@client_options
def add(
    *,
    action: str,
    site: str,
    config_path: Path | None,
    api: str | None,
    as_json: bool,
    max_connections: int | None,
    **said: str | None,
) -> None:
    """Take a measure by hand.

    SITE is a provider's name, a recipient domain, or * for wherever mail goes.
    """
    wanted: dict[str, Any] = {
        "action": action,
        "site": site,
        "maxConnections": max_connections,
        **said,
    }
    document = {name: value for name, value in wanted.items() if value is not None}
    _tell(open_client(api, config_path).post("/v1/measures", document), as_json)


def _add_order(order: str, help_text: str) -> None:
    @measure.command(order, help=help_text)
    @click.argument("measure_id", metavar="ID")
    @client_options
    def give(
        *, measure_id: str, config_path: Path | None, api: str | None, as_json: bool
    ) -> None:
        if not (measure_id.isascii() and measure_id.isalnum()):
            raise click.BadParameter(f"{clean(measure_id)!r} is no measure's id")
        client = open_client(api, config_path)
        _tell(client.post(f"/v1/measures/{measure_id}/{order}", {}), as_json)


_add_order("clear", "End a measure now.")
_add_order("pin", "Let a measure hold until it is cleared.")
_add_order("unpin", "Let a measure run out again.")


def _tell(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer))
        return
    for line in describe(answer):
        click.echo(clean(line))


def describe(found: dict[str, Any]) -> list[str]:
    """A measure in a few lines."""
    about = [found["action"], found["site"]]
    for name, word in (("source", "from"), ("tenant", "for"), ("rate", "at")):
        if name in found:
            about.append(f"{word} {found[name]}")
    if "maxConnections" in found:
        about.append(f"on {found['maxConnections']} connections")
    until = "pinned" if found["pinned"] else f"until {found['until']}"
    times = f"{found['hits']} since {found['since']}"
    return [
        f"{found['id']}  {' '.join(about)}, {until}",
        f"    {found['rule']}, {times}: {found['cause']}",
    ]
