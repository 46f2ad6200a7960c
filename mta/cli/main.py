"""``mta``: the root of the command line.

A command's module is imported when the command is used, so that ``mta --help`` and
tab completion answer at once.
"""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import click

from mta import __version__
from mta.errors import ConfigError, MtaError

USAGE, FAILED = 2, 1  # exit statuses


class Lazy(NamedTuple):
    """Where a command is, and what the list of commands says about it."""

    module: str
    attribute: str
    help: str


COMMANDS: Mapping[str, Lazy] = {
    "up": Lazy("up", "up", "Run everything on this machine, databases included."),
    "send": Lazy("send", "send", "Submit a message; follow it with --wait."),
    "queue": Lazy("queue", "queue", "Look at what waits; hold, retry or cancel it."),
    "explain": Lazy("explain", "explain", "Say why mail goes as it goes."),
    "probe": Lazy("probe", "probe", "Try a destination, without sending anything."),
    "measure": Lazy(
        "measure", "measure", "See what is held back from whom, and why; change it."
    ),
    "warmup": Lazy("warmup", "warmup", "See how far new addresses are."),
    "user": Lazy("user", "user", "Say who may log in, send as whom, and how much."),
    "dkim": Lazy("dkim", "dkim", "Make, publish and replace the keys that sign mail."),
    "srs": Lazy("srs", "srs", "Say where the bounce for a rewritten path is to go."),
    "demo": Lazy("demo", "demo", "Send, foretell and check some hundred messages."),
    "inbox": Lazy("inbox", "inbox", "Read what the sandbox's MX took."),
    "check": Lazy("check", "check", "Check the configuration."),
    "import": Lazy(
        "import_config", "import_config", "Turn ZoneMTA's configuration into ours."
    ),
    "reload": Lazy("reload", "reload", "Take up zones.yaml anew while all runs on."),
    "zone": Lazy("zone", "zone", "Move a zone's waiting mail to another zone."),
    "check-bounce": Lazy(
        "check_bounce", "check_bounce", "Say what we make of an SMTP reply."
    ),
    "api": Lazy("run", "api", "Run the HTTP API with the dashboard."),
    "smtp": Lazy("run", "smtp", "Run the SMTP doors."),
    "worker": Lazy("run", "worker", "Run the Celery worker of sending zones."),
    "scheduler": Lazy("run", "scheduler", "Run the scheduler."),
    "sandbox": Lazy("run", "sandbox", "Run the MX that takes everything."),
}


class Root(click.Group):
    """A group that imports its commands late and words our errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module = importlib.import_module(f"mta.cli.{lazy.module}")
        command: click.Command = getattr(module, lazy.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(str(problem), err=True)
            ctx.exit(USAGE)
        except MtaError as error:
            click.echo(f"mta: {error}", err=True)
            ctx.exit(FAILED)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mta")
def cli() -> None:
    """An outbound mail system on Celery, MongoDB and Redis.

    Settings come from MTA_* environment variables and from zones.yaml
    (--config, else MTA_CONFIG, else ./zones.yaml, else built-in defaults).
    """


def main() -> None:
    """Run the command line."""
    cli(prog_name="mta")


if __name__ == "__main__":
    main()
