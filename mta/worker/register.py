"""Says every now and then that this worker lives, and learns of the others.

The others count twice: for this process's share of each limit while Redis is away,
and for the scheduler, who misses workers that have work and do nothing.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from threading import Event, Thread
from typing import Protocol

from mta.errors import StoreUnavailable
from mta.observe import metrics
from mta.store.workers import Standing, Workers

log = logging.getLogger(__name__)

BEAT_EVERY_S = 10.0
# When all others have beaten since we came, and so know of us.
KNOWN_IN = timedelta(seconds=BEAT_EVERY_S + 2)
_NEVER = timedelta(days=1_000)  # until MongoDB has told who is there


class Shares(Protocol):
    """Who wants to know our rank; see ``mta.store.limits.Limits``."""

    @property
    def is_shared(self) -> bool: ...

    def set_standing(
        self, standing: Standing, *, counted_in: timedelta | None = None
    ) -> None: ...


class Work(Protocol):
    """What there is to tell; see ``mta.worker.attempt.Counts``."""

    @property
    def started(self) -> int: ...

    @property
    def busy(self) -> int: ...


class Register:
    """This worker's entry in the registry."""

    def __init__(
        self,
        workers: Workers,
        *,
        owner: str,
        host: str,
        pid: int,
        shares: Shares,
        work: Work,
    ) -> None:
        self._workers = workers
        self._owner = owner
        self._host = host
        self._pid = pid
        self._shares = shares
        self._work = work
        self._zones: Sequence[str] = ()
        self._stopping = Event()
        self._standing: Standing | None = None
        self._has_shrunk = False

    def start(self, zones: Sequence[str]) -> None:
        """Register as a worker of ``zones``, and go on doing so."""
        self._zones = zones
        if not self.beat():
            self._shares.set_standing(Standing(), counted_in=_NEVER)
        Thread(target=self._run, name="register", daemon=True).start()

    def stop(self) -> None:
        """Take the entry out: this worker is no more."""
        self._stopping.set()
        try:
            self._workers.leave(self._owner)
        except StoreUnavailable as error:
            log.warning("could not sign off error=%s", error)

    def beat(self) -> bool:
        """Say once that we live; while MongoDB is away, what we knew stays.

        Returns:
            Whether MongoDB took it.
        """
        metrics.LIMITS_LOCAL.set(not self._shares.is_shared)
        try:
            seen = self._workers.beat(
                self._owner,
                zones=self._zones,
                host=self._host,
                pid=self._pid,
                started=self._work.started,
                busy=self._work.busy,
            )
        except StoreUnavailable as error:
            log.warning("could not sign in error=%s", error)
            return False
        if self._standing is None:
            known_in = timedelta(0) if seen.is_alone else KNOWN_IN
            self._shares.set_standing(seen, counted_in=known_in)
            self._standing = seen
        elif self._is_credible(seen):
            self._shares.set_standing(seen)
            self._standing = seen
        return True

    def _is_credible(self, seen: Standing) -> bool:
        """That there are fewer of us is believed when it is seen twice.

        After MongoDB was away, whoever comes first sees nobody else.
        """
        before, self._has_shrunk = self._has_shrunk, False
        if self._standing is None or not seen.is_smaller_than(self._standing):
            return True
        self._has_shrunk = not before
        return before

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_EVERY_S):
            try:
                self.beat()
            except Exception:
                # The scheduler would take us for dead, and others our share.
                log.exception("register broke")
