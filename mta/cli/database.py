"""The database of the system that runs here, for commands that need no API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from mta.cli.process import load
from mta.config.zones import Config
from mta.embedded.state import read_ready
from mta.errors import MtaError, StoreUnavailable
from mta.store.mongo import Mongo


class StoreAway(MtaError):
    """The database did not answer; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The database, and the clock that all processes go by."""

    config: Config
    db: Mongo
    now: Callable[[], datetime]


@contextmanager
def opened(config_path: Path | None) -> Iterator[Opened]:
    """Open the database of the system that runs here, or that of MTA_MONGO_URI.

    Raises:
        StoreAway: Instead of StoreUnavailable.
    """
    from mta.wiring import open_clock, open_database

    settings, config = load(config_path)
    if settings.mongo_uri is None:
        running = read_ready(settings.state_dir).get("mongo")
        if isinstance(running, str):
            settings = replace(settings, mongo_uri=running)
    try:
        db, clock = open_database(settings), open_clock(settings)
        clock.adjust()
        yield Opened(config, db, clock.now)
    except StoreUnavailable as error:
        raise StoreAway(
            "no answer from MongoDB. Is `mta up` running? "
            "MTA_STATE_DIR names its state folder, MTA_MONGO_URI another database"
        ) from error
