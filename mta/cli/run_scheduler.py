"""The process of ``mta scheduler``."""

import logging
import signal
import threading
from types import FrameType

from mta.cli import process
from mta.cli.reloading import Reloading
from mta.config.settings import Settings
from mta.errors import StoreUnavailable
from mta.wiring import (
    build_scheduler,
    count_live_in,
    open_clock,
    open_database,
    prepare_database,
)
from mta.wiring_content import build_key_watch

log = logging.getLogger(__name__)

PREPARE_AGAIN_S = 2.0


def main() -> None:
    """Ring what is due until SIGTERM or SIGINT."""
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    settings, config = process.load()
    settings = process.start_logging(settings, "scheduler")
    reloading = Reloading(settings, config, held_in=count_live_in(settings))
    scheduler = build_scheduler(settings, reloading.config)
    reloading.listen()
    prepare(settings, stop)
    db, clock = open_database(settings), open_clock(settings)
    watch = build_key_watch(db, reloading.config, clock.now)
    threading.Thread(target=watch.run, args=[stop], name="keys", daemon=True).start()
    process.say_ready()
    scheduler.run(stop)


def prepare(settings: Settings, stop: threading.Event) -> None:
    """Create the database's indexes; wait for a database that is not there yet."""
    while not stop.is_set():
        try:
            prepare_database(settings)
            return
        except StoreUnavailable as error:
            log.warning("database not ready error=%s", error)
            stop.wait(PREPARE_AGAIN_S)


if __name__ == "__main__":
    process.run(main)
