"""The database's clock, as every process of ours tells the time.

Rows are judged by it, on whatever host: a machine whose own clock is wrong, or jumps,
would otherwise retry at once, or give up what has days left. Between two looks at
the database a clock that never jumps carries on.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock, Thread

from mta.errors import StoreUnavailable
from mta.store.mongo import Mongo, guarded

log = logging.getLogger(__name__)

ADJUST_EVERY_S = 60.0
# A machine that is off by more than this is worth a word.
NOTABLE = timedelta(seconds=2)


class DatabaseClock:
    """Tells the database's time; the machine's own until it was asked once.

    Args:
        wall: The machine's clock, aware UTC.
        monotonic: Seconds of a clock that never jumps.
    """

    def __init__(
        self,
        db: Mongo,
        *,
        wall: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._db = db
        self._monotonic = monotonic
        self._wall = wall
        self._lock = Lock()
        self._adjusted_at = float("-inf")
        # What the time was at second 0 of ``monotonic``.
        self._origin = wall() - timedelta(seconds=monotonic())

    def now(self) -> datetime:
        """The time; aware UTC, in whole milliseconds, as BSON keeps it."""
        since_s = self._monotonic()
        if since_s - self._adjusted_at > ADJUST_EVERY_S:
            self._adjusted_at = since_s
            Thread(target=self._try_adjust, name="clock", daemon=True).start()
        now = self._origin + timedelta(seconds=since_s)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def timestamp(self) -> float:
        """The time in seconds since 1970."""
        return self.now().timestamp()

    @guarded
    def adjust(self) -> None:
        """Ask the database now.

        Raises:
            StoreUnavailable: It does not answer; the time is carried on.
        """
        with self._lock:
            asked_at = self._monotonic()
            told: datetime = self._db.command("hello")["localTime"]
            heard_at = self._monotonic()
            self._adjusted_at = heard_at
            halfway = timedelta(seconds=(asked_at + heard_at) / 2)
            self._origin = told.astimezone(UTC) - halfway
            off = self._wall() - (self._origin + timedelta(seconds=heard_at))
        if abs(off) > NOTABLE:
            log.warning(
                "this machine's clock is off by %.1f s against the database's",
                off.total_seconds(),
            )

    def _try_adjust(self) -> None:
        try:
            self.adjust()
        except StoreUnavailable as error:
            log.info("clock not adjusted error=%s", error)
