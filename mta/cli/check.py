"""``mta check``: is the configuration right?"""

from pathlib import Path

import click

from mta.cli.files import check_files
from mta.cli.options import config_option
from mta.cli.process import load
from mta.config.key_files import find_short_keys
from mta.relay.binding import find_missing


@click.command()
@config_option
def check(config_path: Path | None) -> None:
    """Check zones.yaml and the environment.

    Prints every mistake with its place to stderr and exits 2, or says that all
    is well. Looks at certificates and signing keys, too, and warns of keys that are
    too short, and of addresses in pools that this machine does not have: another one
    may, which runs the zone's worker.
    """
    settings, config = load(config_path)
    check_files(config)
    for problem in find_short_keys(config):
        click.echo(f"warning: {problem}", err=True)
    zones = [zone.name for zone in config.enabled_zones()]
    for missing in () if settings.sandbox else find_missing(config, zones):
        click.echo(f"warning: {missing}", err=True)
    counts = (
        _count(len(config.enabled_zones()), "zone"),
        _count(len(config.interfaces), "interface"),
        _count(len(config.pools), "pool"),
    )
    click.echo(f"{config.source}: ok, {', '.join(counts)}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
