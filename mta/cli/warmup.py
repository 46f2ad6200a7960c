"""``mta warmup``: how far addresses are that are new to the world."""

import json
from pathlib import Path
from typing import Any

import click

from mta.cli.queue import client_options, open_client
from mta.cli.show import clean


@click.group()
def warmup() -> None:
    """See how far new addresses are."""


@warmup.command()
@client_options
def status(*, config_path: Path | None, api: str | None, as_json: bool) -> None:
    """Show day, caps, what was sent, and when each address will be warm."""
    answer = open_client(api, config_path).get("/v1/warmup")
    if as_json:
        click.echo(json.dumps(answer))
        return
    for address in answer["addresses"]:
        click.echo(clean(describe(address)))
    if not answer["addresses"]:
        click.echo("no address warms up")


def describe(found: dict[str, Any]) -> str:
    """How far an address is with one provider, in one line."""
    name = f"{found['address']} ({found['pool']}) to {found['provider']}"
    if found["warm"]:
        return f"{name}: warm, day {found['day']}"
    repeated = f", {found['repeated']} days repeated" if found["repeated"] else ""
    return (
        f"{name}: day {found['day']}, "
        f"step {found['step']} of {found['steps']}{repeated}; "
        f"{found['sentToday']} of {found['perDay']} today, "
        f"{found['sentThisHour']} of {found['perHour']} this hour; "
        f"warm from {found['warmFrom']}"
    )
