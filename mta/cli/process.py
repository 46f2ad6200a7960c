"""What every process does first: settings, configuration, logging; and last: exit."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from mta.config.load import load_config
from mta.config.settings import Settings, load_settings
from mta.config.zones import Config
from mta.errors import ConfigError, MtaError, Problem
from mta.observe.log import configure

# Where a supervisor wants to be told that a process is ready. Not MTA_*: it is
# nothing an operator sets.
READY_FILE = "CELERY_MTA_READY_FILE"

DEFAULT_CONFIG = Path("zones.yaml")


def load(config_path: Path | None = None) -> tuple[Settings, Config]:
    """Read the environment and zones.yaml.

    The file is ``config_path``, else MTA_CONFIG, else ./zones.yaml if it is there;
    the settings that come back name it.

    Raises:
        ConfigError: Either is wrong.
    """
    settings = load_settings(os.environ)
    path = config_path or settings.config_path
    if path is None and DEFAULT_CONFIG.is_file():
        path = DEFAULT_CONFIG
    settings = replace(settings, config_path=path)
    return settings, load_config(path, os.environ)


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
