"""What every process does first: settings, configuration, logging; and last: exit."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from mta.config.load import load_config
from mta.config.settings import Settings, load_settings
from mta.config.zones import Config
from mta.embedded.child import RELOADED_SUFFIX
from mta.errors import ConfigError, MtaError, Problem
from mta.observe.log import configure

# Where a supervisor wants to be told that a process is ready. Not MTA_*: it is
# nothing an operator sets.
READY_FILE = "CELERY_MTA_READY_FILE"

T = TypeVar("T")


def load(config_path: Path | None = None) -> tuple[Settings, Config]:
    """Read the environment and zones.yaml.

    The file is ``config_path``, else MTA_CONFIG, else ./zones.yaml if it is there;
    the settings that come back name it.

    Raises:
        ConfigError: With every problem of both.
    """
    problems: list[Problem] = []
    settings = _noting(problems, lambda: load_settings(os.environ))
    # However wrong the rest of the environment is, it may say where the file is.
    named = {"MTA_CONFIG": os.environ.get("MTA_CONFIG", "")}
    found = settings or _noting([], lambda: load_settings(named))
    path = config_path or (found.config_path if found else None)
    config = _noting(problems, lambda: load_config(path, os.environ))
    if settings is None or config is None:
        raise ConfigError(problems)
    return replace(settings, config_path=path), config


def start_logging(settings: Settings, name: str) -> Settings:
    """Log to stderr as process ``name``, unless MTA_PROCESS_NAME names another."""
    if not os.environ.get("MTA_PROCESS_NAME"):
        settings = replace(settings, process_name=name)
    configure(
        process_name=settings.process_name,
        level=settings.log_level,
        form=settings.log_format,
    )
    return settings


def pick(kind: str, name: str, names: Iterable[str], source: str) -> str:
    """``name``, if it is one of ``names``.

    Raises:
        ConfigError: It is not; the text suggests what may have been meant.
    """
    known = list(names)
    if name in known:
        return name
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
    message = f"no such {kind}; {hint}"
    raise ConfigError([Problem(source, 0, 0, name, message)])


def say_ready() -> None:
    """Tell a supervisor, if there is one, that this process does its work."""
    marker = os.environ.get(READY_FILE)
    if marker:
        Path(marker).touch()


def say_reloaded() -> None:
    """Tell a supervisor, if there is one, that this process has reloaded."""
    marker = os.environ.get(READY_FILE)
    if marker:
        Path(marker).with_suffix(RELOADED_SUFFIX).touch()


def run(main: Callable[[], None]) -> None:
    """Run the body of a process; exit 2 for a wrong configuration, 1 for the rest."""
    try:
        main()
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except MtaError as error:
        print(f"mta: {error}", file=sys.stderr)
        sys.exit(1)


def _noting(problems: list[Problem], read: Callable[[], T]) -> T | None:
    """What ``read`` gives; or None, and its problems are added to ``problems``."""
    try:
        return read()
    except ConfigError as error:
        problems += error.problems
        return None
