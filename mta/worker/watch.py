"""Watches that work is done: what stands still without anybody's error says so here.

A queue that nobody consumes raises nothing: Celery does not notice, and mail only
waits. So the leader looks every few seconds, shows what it finds as gauges, and says
it in the log: from the second look on (a worker may just be starting), then once a
minute while it lasts, and once when it is over.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mta.config.live import Live
from mta.config.zones import Config
from mta.observe import metrics
from mta.store.due import Due
from mta.store.workers import WorkerSeen

log = logging.getLogger(__name__)

AGAIN_S = 60.0
# A worker that begins nothing for so long while tasks wait, and does nothing either;
# or is at work, but no transaction takes that long.
IDLE = timedelta(minutes=2)
STUCK = timedelta(minutes=75)


class Registry(Protocol):
    """Who is at work; see ``mta.store.workers.Workers``."""

    def live(self) -> Sequence[WorkerSeen]: ...


class Depths(Protocol):
    """How much waits in the broker; see ``mta.worker.doorbell.Doorbell``."""

    def depth(self, zone: str) -> int | None: ...


@dataclass
class _Alarm:
    """One complaint. ``said_at_s`` is None as long as nobody heard of it."""

    said_at_s: float | None = None


@dataclass(kw_only=True)
class Watch:
    """The watchdogs."""

    due: Due
    workers: Registry
    broker: Depths
    config: Live[Config]
    monotonic: Callable[[], float] = time.monotonic
    _alarms: dict[str, _Alarm] = field(default_factory=dict, init=False)
    _known: set[str] = field(default_factory=set, init=False)
    _waiting_since: dict[str, float] = field(default_factory=dict, init=False)

    def look(self, now: datetime) -> None:
        """Look at every zone that is configured, or has mail.

        Raises:
            StoreUnavailable: Not all were looked at.
        """
        live = self.workers.live()
        self._known |= {*self.config.current.zones, *self.due.zones()}
        for zone in sorted(self._known):
            here = [worker for worker in live if zone in worker.zones]
            depth = self.broker.depth(zone) or 0
            oldest = self.due.oldest_due_at(zone, now)
            age = max(now - oldest, timedelta(0)) if oldest else timedelta(0)
            has_work = depth > 0 or oldest is not None
            self._check_for_worker(zone, has_work=has_work, is_served=bool(here))
            self._check_for_idlers(zone, here, depth)
            self._check_age(zone, age)

    def _check_for_worker(self, zone: str, *, has_work: bool, is_served: bool) -> None:
        known = self.config.current.zones.get(zone)
        # A zone is disabled to let its mail wait: that is no news.
        is_forsaken = has_work and not is_served and not (known and known.disabled)
        metrics.ZONE_WITHOUT_WORKER.labels(zone).set(is_forsaken)
        self._say(f"zone has work and no worker zone={zone}", is_forsaken)

    def _check_for_idlers(
        self, zone: str, workers: Sequence[WorkerSeen], depth: int
    ) -> None:
        waits_for_s = self._waits_for(zone, depth)
        idle = [
            worker
            for worker in workers
            if waits_for_s >= IDLE.total_seconds()
            and worker.seen_at - worker.changed_at >= (STUCK if worker.busy else IDLE)
        ]
        metrics.IDLE_WORKERS.labels(zone).set(len(idle))
        names = " ".join(worker.owner for worker in idle)
        self._say(
            f"workers begin nothing though tasks wait zone={zone}",
            bool(idle),
            f"tasks={depth} workers={names}",
        )

    def _waits_for(self, zone: str, depth: int) -> float:
        """Seconds for which there were tasks at every look."""
        if not depth:
            self._waiting_since.pop(zone, None)
            return 0.0
        at_s = self.monotonic()
        return at_s - self._waiting_since.setdefault(zone, at_s)

    def _check_age(self, zone: str, age: timedelta) -> None:
        metrics.OLDEST_WAITING_SECONDS.labels(zone).set(age.total_seconds())
        self._say(
            f"mail waits for long zone={zone}",
            age > self.config.current.queue.old_after,
            f"oldest_s={age.total_seconds():.0f}",
        )

    def _say(self, what: str, is_so: bool, details: str = "") -> None:
        at_s = self.monotonic()
        alarm = self._alarms.get(what)
        if not is_so:
            if self._alarms.pop(what, _Alarm()).said_at_s is not None:
                log.info("over: %s", what)
        elif alarm is None:
            self._alarms[what] = _Alarm()
        elif alarm.said_at_s is None or at_s - alarm.said_at_s >= AGAIN_S:
            alarm.said_at_s = at_s
            log.warning("%s %s", what, details)
