"""``mta check``: is the configuration right?"""

from pathlib import Path

import click

from mta.cli.certificates import check_certificates
from mta.cli.options import config_option
from mta.cli.process import load


@click.command()
@config_option
def check(config_path: Path | None) -> None:
    """Check zones.yaml and the environment.

    Prints every mistake with its place to stderr and exits 2, or says that all
    is well. Looks at certificates, too.
    """
    _, config = load(config_path)
    check_certificates(config)
    counts = (
        _count(len(config.enabled_zones()), "zone"),
        _count(len(config.interfaces), "interface"),
        _count(len(config.pools), "pool"),
    )
    click.echo(f"{config.source}: ok, {', '.join(counts)}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
