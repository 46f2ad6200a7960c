"""``mta import``: the configuration of another system as a zones.yaml."""

import os
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import click

from mta.cli.show import clean
from mta.config.load import parse_config
from mta.errors import ConfigError, MtaError, Problem
from mta.imports.files import read_folder
from mta.imports.report import Kind, Note, Where, format_report
from mta.imports.target import Target
from mta.imports.write import write_yaml
from mta.imports.zone_mta import translate

_HEADING = "Made of a configuration of ZoneMTA by: mta import zone-mta"
_OUTPUT = click.Path(dir_okay=False, path_type=Path)
_SOME = IPv4Address("198.18.0.1")  # of those for benchmarks, so nobody's
# Doors that others can reach need these; the report says so.
_SECRETS = {"MTA_API_KEY": "set", "MTA_FLOWER_BASIC_AUTH": "set:set"}


@click.group("import")
def import_config() -> None:
    """Turn another system's configuration into a zones.yaml."""


@import_config.command("zone-mta")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=_OUTPUT, help="zones.yaml [default: stdout]")
@click.option("--report", type=_OUTPUT, help="What to know of it [default: stderr]")
@click.option(
    "--env",
    "node_env",
    envvar="NODE_ENV",
    default="development",
    show_default=True,
    help="NODE_ENV where ZoneMTA runs",
)
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@click.pass_context
def zone_mta(
    ctx: click.Context,
    source: Path,
    output: Path | None,
    report: Path | None,
    node_env: str,
    force: bool,
) -> None:
    """Turn ZoneMTA's configuration into a zones.yaml.

    SOURCE is its config folder, or the file that it gets by --config. Nothing is
    dropped in silence: the report names each key that is not carried over, or not
    to the letter. No JavaScript is run, and no secret copied.

    Exits 0 if the new file loads, 1 if something in it has to be corrected first,
    and 2 if a file cannot be read.
    """
    for path in (output, report):
        if path is not None and path.exists() and not force:
            raise click.UsageError(f"{path} is there already; --force replaces it")
    found = read_folder(source, node_env)
    target = translate(found.root)
    text = write_yaml(target.tree, _HEADING)
    name = str(output) if output else "stdout"
    refused = check(text, target, os.environ, name)
    summary = (
        f"{source}: read {', '.join(found.files)}\n"
        f"{name}: {'does not load yet' if refused else 'loads'}"
    )
    notes = [*refused, *target.notes, *found.notes]
    _write(output, text, is_error=False)
    _write(report, clean(format_report(summary, notes)), is_error=True)
    ctx.exit(1 if refused else 0)


def check(
    text: str, target: Target, environ: Mapping[str, str], name: str
) -> Sequence[Note]:
    """Load the new file as every process will, once the report is obeyed.

    Returns:
        What our loader refuses, and what that was made of; nothing if it is right.
    """
    environ = {**_SECRETS, **environ, **target.environ}
    # It need not be this machine that will send; what its addresses are, is open.
    network = {
        nic: (_SOME + n,) for n, nic in enumerate(sorted(target.network_interfaces))
    }
    try:
        parse_config(name, text.encode(), environ, lambda: network)
    except ConfigError as error:
        return [_refused(problem, target, name) for problem in error.problems]
    return []


def _refused(problem: Problem, target: Target, name: str) -> Note:
    place = f"{name}:{problem.line}" if problem.line else name
    origin = target.origin(problem.path)
    text = f"{problem.message} ({origin})" if origin else problem.message
    return Note(Kind.REFUSED, Where(place, problem.path), text)


def _write(path: Path | None, text: str, *, is_error: bool) -> None:
    if path is None:
        click.echo(text, nl=False, err=is_error)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MtaError(f"{path} cannot be written: {error.strerror}") from None
