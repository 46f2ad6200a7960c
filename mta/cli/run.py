"""``mta api``, ``smtp``, ``worker``, ``scheduler``, ``sandbox``: one process each.

Each becomes its process by ``exec``: signals and exit status are the process's own,
as systemd and containers like it. Only ``mta smtp`` stays, to watch its processes.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from mta.cli.certificates import check_certificates
from mta.cli.options import config_option
from mta.cli.process import load, pick, start_logging
from mta.config.settings import Settings
from mta.embedded import commands
from mta.embedded.doors import run_doors
from mta.errors import ConfigError

log = logging.getLogger(__name__)

_MAX_PORT = 65_535
_PORT = click.IntRange(0, _MAX_PORT)


@click.command()
@config_option
@click.option("--port", type=_PORT, help="Instead of the configured one.")
def api(config_path: Path | None, port: int | None) -> None:
    """Run the HTTP API, the dashboard and /metrics."""
    settings, _ = load(config_path)
    _become(commands.api_command(port), settings, "api")


@click.command()
@config_option
@click.argument("interfaces", nargs=-1, metavar="[INTERFACE]...")
def smtp(config_path: Path | None, interfaces: Sequence[str]) -> None:
    """Run the SMTP doors: all interfaces, or the named ones.

    Each has as many processes on its one port as it is configured to.
    """
    settings, config = load(config_path)
    start_logging(settings, "smtp")
    names = [
        pick("interface", name, config.interfaces, config.source)
        for name in interfaces or config.interfaces
    ]
    run_doors(
        [config.interfaces[name] for name in dict.fromkeys(names)],
        _environment(settings, None),
        lambda line: click.echo(line, err=True),
        may_reload=lambda: _is_right(config_path),
    )


@click.command()
@config_option
@click.option("--maintenance", is_flag=True, help="The housekeeping worker instead.")
@click.argument("zones", nargs=-1, metavar="[ZONE]...")
def worker(config_path: Path | None, maintenance: bool, zones: Sequence[str]) -> None:
    """Run the Celery worker of one or several sending zones.

    Its concurrency is the sum of the zones' connections.
    """
    if maintenance == bool(zones):
        raise click.UsageError("name zones, or say --maintenance")
    settings, config = load(config_path)
    level = settings.log_level
    if maintenance:
        command = commands.maintenance_command(log_level=level)
        _become(command, settings, "maintenance")
        return
    enabled = {zone.name: zone for zone in config.enabled_zones()}
    named = [pick("zone", name, enabled, config.source) for name in zones]
    chosen = [enabled[name] for name in dict.fromkeys(named)]
    name = f"worker@{commands.worker_name(chosen)}"
    _become(commands.worker_command(chosen, log_level=level), settings, name)


@click.command()
@config_option
def scheduler(config_path: Path | None) -> None:
    """Run the scheduler; of several, one leads and the others wait."""
    settings, _ = load(config_path)
    _become(commands.scheduler_command(), settings, "scheduler")


@click.command()
@config_option
@click.option("--port", type=_PORT, help="Instead of that of MTA_SANDBOX, or 2526.")
def sandbox(config_path: Path | None, port: int | None) -> None:
    """Run an MX that takes mail for anybody into the inbox.

    It is where MTA_SANDBOX=HOST:PORT points the relays of other processes to.
    """
    settings, _ = load(config_path)
    _become(commands.sandbox_command(port), settings, "sandbox")


def _is_right(config_path: Path | None) -> bool:
    """Whether the configuration has no mistake now; those it has are logged."""
    try:
        _, config = load(config_path)
        check_certificates(config)
    except ConfigError as error:
        for problem in error.problems:
            log.error("not reloaded: %s", problem)
        return False
    return True


def _become(command: Sequence[str], settings: Settings, name: str) -> None:
    sys.stdout.flush()
    # Until the process heeds it: it reads the newest configuration then anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    env = _environment(settings, name)
    os.execve(command[0], list(command), env)  # noqa: S606 - no shell is wanted


def _environment(settings: Settings, name: str | None) -> dict[str, str]:
    env = dict(os.environ)
    if settings.config_path is not None:
        env["MTA_CONFIG"] = str(settings.config_path)
    if name is not None:
        env.setdefault("MTA_PROCESS_NAME", name)
    return env
