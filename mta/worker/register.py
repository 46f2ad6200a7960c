"""Says every now and then that this worker lives, and learns of the others.

The others count twice: for this process's share of each limit while Redis is away,
and for the scheduler, who misses workers that have work and do nothing.
"""

import logging
from collections.abc import Callable, Sequence
from threading import Event, Thread

from mta.errors import StoreUnavailable
from mta.store.workers import Presence, Workers

log = logging.getLogger(__name__)

BEAT_EVERY_S = 10.0


class Register:
    """This worker's entry in the registry.

    Args:
        on_presence: Told our rank among the workers that share a zone with us.
        count: Deliveries begun so far, and being worked on now.
    """

    def __init__(
        self,
        workers: Workers,
        *,
        owner: str,
        host: str,
        pid: int,
        on_presence: Callable[[Presence], None],
        count: Callable[[], tuple[int, int]],
    ) -> None:
        self._workers = workers
        self._owner = owner
        self._host = host
        self._pid = pid
        self._on_presence = on_presence
        self._count = count
        self._zones: Sequence[str] = ()
        self._stopping = Event()

    def start(self, zones: Sequence[str]) -> None:
        """Register as a worker of ``zones``, and go on doing so."""
        self._zones = zones
        self.beat()
        Thread(target=self._run, name="register", daemon=True).start()

    def stop(self) -> None:
        """Take the entry out: this worker is no more."""
        self._stopping.set()
        try:
            self._workers.leave(self._owner)
        except StoreUnavailable as error:
            log.warning("could not sign off error=%s", error)

    def beat(self) -> None:
        """Say once that we live; while MongoDB is away, what we knew stays."""
        started, busy = self._count()
        try:
            presence = self._workers.beat(
                self._owner,
                zones=self._zones,
                host=self._host,
                pid=self._pid,
                started=started,
                busy=busy,
            )
        except StoreUnavailable as error:
            log.warning("could not sign in error=%s", error)
        else:
            self._on_presence(presence)

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_EVERY_S):
            try:
                self.beat()
            except Exception:
                # The scheduler would take us for dead, and others our share.
                log.exception("register broke")
