"""The scheduler: rings what is due, and repairs what a crash left.

A tick is idempotent and bounded: it looks at no row that need not be looked after,
and at no more of those than it can deal with in about a second. Only the leader of
the replicas ticks; two leaders at once would ring twice, which is harmless. Each
tick, and each of these apart from the others, so that a fault in one leaves the rest:

1. mail whose time is over, and deliveries that a crash left in doubt (``Mender``);
2. rows whose ``ring_at`` has come (``Ringer``): deferrals shortly before they are
   due (as Celery retries with ``retries`` and ``eta``), rows for which the broker had
   no room, doorbells that were lost, and leases that ran out;
3. parked rows whose word may have been lost (``Mender``);
4. now and then: the maintenance worker is asked to delete bodies, the queue is
   measured, and looked over for what stands still (``Watch``); what has to be done
   for TLS is begun, in a thread of its own (``TlsChores``);
5. rows that are missing because their message's acceptor died.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import Protocol

from mta.config.live import Live
from mta.config.zones import Config
from mta.delivery import WAITING
from mta.errors import StoreUnavailable
from mta.intake.expand import Expander
from mta.observe import metrics
from mta.store.census import Census
from mta.store.due import Due
from mta.store.leader import Leadership
from mta.store.messages import Messages
from mta.store.vitals import QueueVitals
from mta.worker.mender import Mender
from mta.worker.ringer import Ringer
from mta.worker.tls_chores import TlsChores
from mta.worker.watch import Watch

log = logging.getLogger(__name__)

TICK_S = 1.0  # less than Drain's AHEAD_S
SOON_S = 0.1  # when a tick left something that it could have done
LEADER_EVERY_S = 4.0  # several tries within the leader's lease of 15 s
DOUBTS_EVERY_S = 5.0
SWEEP_EVERY_S = 15.0
MEASURE_EVERY_S = 15.0
WATCH_EVERY_S = 15.0
TLS_EVERY_S = 60.0
EXPAND_AT_ONCE = 10
GIVE_UP_AFTER = 3  # zones: then MongoDB is away, and each would wait for it
# Counting a million rows takes a while: it may have this part of the time.
_MEASURE_PART = 0.01


class Broker(Protocol):
    """What the scheduler itself asks of the broker."""

    def depth(self, zone: str) -> int | None: ...

    def request_sweep(self) -> None: ...


@dataclass(kw_only=True)
class Scheduler:
    """One replica of the scheduler.

    Attributes:
        now: The clock; aware UTC.
        prepare: Creates indexes that are missing; called when the lead is taken.
        chores: What is to be done for TLS; None: nothing is.
        vitals: Where the doors learn how much is waiting; None: nowhere.
    """

    due: Due
    ringer: Ringer
    mender: Mender
    watch: Watch
    census: Census
    messages: Messages
    expander: Expander
    broker: Broker
    leadership: Leadership
    config: Live[Config]
    now: Callable[[], datetime]
    prepare: Callable[[], None]
    vitals: QueueVitals | None = None
    chores: TlsChores | None = None
    monotonic: Callable[[], float] = time.monotonic
    _is_leader: bool = field(default=False, init=False)
    _next: dict[str, float] = field(default_factory=dict, init=False)

    def run(self, stop: Event) -> None:
        """Tick every second while leading, until ``stop`` is set."""
        pause_s = TICK_S
        while not stop.wait(pause_s):
            pause_s = TICK_S
            try:
                if self._run_once():
                    pause_s = SOON_S
            except StoreUnavailable as error:
                self._is_leader = False
                log.warning("tick failed error=%s", error)
            except Exception:
                # The next tick may do better; without any, deferred mail would wait.
                log.exception("tick broke")
        if self._is_leader:
            with suppress(StoreUnavailable):  # the lease runs out by itself
                self.leadership.resign()

    def _run_once(self) -> bool:
        if self._is_time("leader", LEADER_EVERY_S):
            was_leader, self._is_leader = self._is_leader, self.leadership.acquire()
            if self._is_leader and not was_leader:
                log.info("leading")
                # Queries name their indexes: without them nothing would ring.
                self.prepare()
        if not self._is_leader:
            return False
        with metrics.SCHEDULER_TICK.time():
            return self.tick()

    def tick(self) -> bool:
        """Do everything that is due, once.

        Returns:
            Whether there is more that could be done at once.

        Raises:
            StoreUnavailable: MongoDB is away; the next tick does the rest.
        """
        now = self.now()
        # First, so that those they deal with are not looked at again below.
        self._try("expire", partial(self.mender.expire, now))
        self._try("doubts", partial(self.mender.settle_doubts, now), DOUBTS_EVERY_S)
        is_behind = self._ring(now)
        self._try("parked", partial(self.mender.unpark, now))
        self._try("sweep", self.broker.request_sweep, SWEEP_EVERY_S)
        self._try("watch", partial(self.watch.look, now), WATCH_EVERY_S)
        self._try("measure", self._measure, MEASURE_EVERY_S)
        if self.chores is not None:
            self._try("tls", self.chores.start, TLS_EVERY_S)
        # Last: a message that cannot be expanded must not keep others from ringing.
        self._try("expand", partial(self._expand, now))
        return is_behind

    def _ring(self, now: datetime) -> bool:
        """Ring for every zone; what MongoDB denies to one, it may give to the next."""
        is_behind, failures = False, 0
        for zone in self.due.zones():
            try:
                step = partial(self.ringer.ring_zone, zone, now)
                is_behind |= bool(self._try(f"ring {zone}", step))
            except StoreUnavailable as error:
                failures += 1
                if failures == GIVE_UP_AFTER:
                    raise
                log.warning("not rung for zone=%s error=%s", zone, error)
        return is_behind

    def _try(
        self, what: str, step: Callable[[], bool | None], every_s: float = 0.0
    ) -> bool | None:
        """Do one step, if it is time for it; its bugs are its own."""
        if every_s and not self._is_time(what, every_s):
            return None
        try:
            return step()
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("step broke step=%s", what)
            return None

    def _expand(self, now: datetime) -> None:
        for message, recipients in self.messages.unexpanded(now, limit=EXPAND_AT_ONCE):
            log.info("expanding again id=%s", message.id)
            # One that cannot be must not keep the others waiting.
            expand = partial(self.expander.expand, message, recipients, now)
            self._try(f"expand {message.id}", expand)

    def _measure(self) -> None:
        began_s = self.monotonic()
        counts = self.census.count_live()
        metrics.show_queue(counts)
        for zone in self.config.current.enabled_zones():
            depth = self.broker.depth(zone.name)
            if depth is not None:
                metrics.BROKER_DEPTH.labels(zone.name).set(depth)
        took_s = self.monotonic() - began_s
        self._next["measure"] += took_s / _MEASURE_PART
        if self.vitals is not None:
            again_in_s = self._next["measure"] - self.monotonic()
            self.vitals.tell(
                sum(counts.get(state, 0) for state in WAITING),
                again_in=timedelta(seconds=again_in_s),
            )

    def _is_time(self, what: str, every_s: float) -> bool:
        if self.monotonic() < self._next.get(what, 0.0):
            return False
        self._next[what] = self.monotonic() + every_s
        return True
