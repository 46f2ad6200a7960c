"""``mta srs``: gives a rewritten reverse path back, for who receives its bounces."""

from pathlib import Path

import click

from mta.cli.database import opened
from mta.cli.options import config_option
from mta.cli.show import clean
from mta.errors import MtaError
from mta.mail.srs import NotOurs, restore


class NotRestored(MtaError):
    """The address stands for no other one."""


@click.command()
@click.argument("address")
@config_option
def srs(*, address: str, config_path: Path | None) -> None:
    """Print where a bounce for ADDRESS, a reverse path that was rewritten, is to go.

    Exit status 1: it was not rewritten here, or longer ago than three weeks.
    """
    with opened(config_path) as system:
        said, today = system.config.srs, system.now().date()
    local, _, domain = address.rpartition("@")
    if said.secret is None or domain.lower() != said.domain:
        raise NotRestored("srs in zones.yaml does not rewrite paths to that domain")
    try:
        click.echo(clean(restore(local, secret=said.secret, today=today)))
    except NotOurs as error:
        raise NotRestored(str(error)) from None
