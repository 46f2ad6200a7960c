"""``mta reload``: a running system takes up its configuration anew."""

import json
import os
from pathlib import Path
from typing import Any

import click

from mta.cli.options import json_option
from mta.cli.process import load
from mta.cli.show import clean
from mta.config.difference import Change
from mta.config.settings import load_settings
from mta.embedded.ask import ask_for_reload, changed_variables, wait_for_processes
from mta.embedded.state import running_pid

MISTAKES = 2


@click.command()
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the running mta up [default: MTA_STATE_DIR, else ./var]",
)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@json_option
@click.pass_context
def reload(
    ctx: click.Context, *, state: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Let a running mta up take up zones.yaml anew.

    Shows what changes, and what only a restart can change. With mistakes in the file
    nothing changes anywhere: they are printed, and the exit code is 2. Returns when
    all processes go by the new configuration.
    """
    state = state or load_settings(os.environ).state_dir
    if running_pid(state) is None:
        load()  # see to the file at least
    answer = ask_for_reload(state, dry_run=dry_run)
    problems = answer.get("problems", [])
    if not problems and not dry_run:
        wait_for_processes(state, answer["reloading"])
    others = changed_variables(state, os.environ)
    if as_json:
        click.echo(json.dumps(answer | {"environment": others}))
    else:
        _show(answer, others, dry_run=dry_run)
    if problems:
        ctx.exit(MISTAKES)


def _show(answer: dict[str, Any], others: list[str], *, dry_run: bool) -> None:
    for problem in answer.get("problems", []):
        click.echo(clean(problem), err=True)
    if answer.get("problems"):
        click.echo("mta: nothing was changed", err=True)
        return
    changes = [Change(**change) for change in answer["changes"]]
    for change in changes:
        click.echo(clean(str(change)))
    for name in others:
        click.echo(f"{name}: is set otherwise here  (needs a restart)")
    if dry_run:
        click.echo("dry run: nothing was changed")
    elif all(change.needs_restart for change in changes):
        click.echo("nothing was changed")
    else:
        click.echo(f"reloaded: {len(answer['reloading'])} processes")
    if others or any(change.needs_restart for change in changes):
        click.echo("mta: what needs a restart is as it was", err=True)
