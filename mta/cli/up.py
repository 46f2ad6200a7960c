"""``mta up``: everything on this machine under one supervisor."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from mta.cli.files import check_files
from mta.cli.options import config_option
from mta.cli.process import load, start_logging
from mta.embedded.up import run_up


@click.command()
@config_option
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for data [default: MTA_STATE_DIR, else ./var]",
)
@click.option(
    "--sandbox",
    is_flag=True,
    help="Deliver all mail to an inbox on this machine; nothing leaves it.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write, as JSON, where everything answers.",
)
def up(
    config_path: Path | None,
    state: Path | None,
    sandbox: bool,
    ready_file: Path | None,
) -> None:
    """Run the whole system here: doors, workers, scheduler, Flower, databases.

    MongoDB and Redis are started, too, unless MTA_MONGO_URI, and MTA_BROKER_URL
    and MTA_REDIS_URL, say where they are. One line starting "ready" tells when
    everything answers. Ctrl-C stops all of it in order; twice, quickly.
    """
    settings, config = load(config_path)
    check_files(config)
    settings = start_logging(settings, "up")
    if state is not None:
        settings = replace(settings, state_dir=state)
    run_up(
        settings,
        environ=os.environ,
        is_sandbox=sandbox,
        ready_file=ready_file.absolute() if ready_file else None,
        announce=_announce,
        check=check_files,
    )


def _announce(line: str) -> None:
    # Whoever read our output may be gone; that stops nothing.
    with suppress(OSError):
        click.echo(line)
