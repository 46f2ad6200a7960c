"""``mta zone``: what is done to a zone as a whole. Talks to MongoDB itself."""

import json
from pathlib import Path

import click

from mta.cli.database import opened
from mta.cli.options import config_option, json_option
from mta.cli.process import pick
from mta.operate.move import Movers
from mta.store.moving import Moving


@click.group()
def zone() -> None:
    """Do something to all the mail of a sending zone."""


@zone.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--dry-run", is_flag=True, help="Only say how much would be moved.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@config_option
@json_option
def move(
    *,
    source: str,
    target: str,
    dry_run: bool,
    yes: bool,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Move all mail that waits in the zone FROM to the zone TO.

    What is being sent now is left where it is; if it is deferred, move again. TO must
    be in zones.yaml and not disabled; FROM need not be there any more.
    """
    if source == target:
        raise click.UsageError("FROM and TO are the same zone")
    with opened(config_path) as system:
        zones = [zone.name for zone in system.config.enabled_zones()]
        pick("zone", target, zones, system.config.source)
        movers = Movers(Moving(system.db), system.now)
        found = movers.look(source)
        if not dry_run and not yes and found.moved:
            click.confirm(
                f"Move {found.moved} deliveries from {source} to {target}?",
                abort=True,
                err=True,
            )
        done = found if dry_run else movers.move(source, target)
    if as_json:
        click.echo(json.dumps({"moved": done.moved, "sending": done.left}))
        return
    verb = "would be moved" if dry_run else "moved"
    click.echo(f"{done.moved} {verb} from {source} to {target}")
    if done.left:
        click.echo(f"mta: {done.left} are being sent now and were left", err=True)
