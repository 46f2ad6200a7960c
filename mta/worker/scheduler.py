"""The scheduler: rings what is due, and repairs what a crash left.

A tick is idempotent and bounded. Only the leader of the replicas ticks; two
leaders at once would ring twice, which is harmless. Each tick:

1. rings rows whose ``ring_at`` has come: deferrals shortly before they are due
   (as Celery retries with ``retries`` and ``eta``), rows for which the broker had
   no room, doorbells that were lost, and leases that ran out;
2. expires waiting rows whose time is over;
3. asks the maintenance worker to delete bodies no delivery needs;
4. measures the queue for the metrics;
5. writes missing rows of messages whose acceptor died.

A row whose doorbell is still in the broker's list is not rung again: the list is
first in, first out, so what was rung after the list's oldest is still in it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Protocol

from mta.config.zones import QueueConfig
from mta.delivery import WAITING, Delivery, DeliveryState, Outcome
from mta.errors import StoreUnavailable
from mta.intake.expand import Bell, Expander
from mta.observe import metrics
from mta.reply import make_reply
from mta.store.deliveries import RING_GRACE, Deliveries
from mta.store.leader import Leadership
from mta.store.messages import Messages

log = logging.getLogger(__name__)

TICK_S = 1.0
LEADER_EVERY_S = 4.0  # several tries within the leader's lease of 15 s
SWEEP_EVERY_S = 15.0
MEASURE_EVERY_S = 15.0
# Rows looked at per zone and tick, whatever room the broker has.
RING_AT_ONCE = 2_000
EXPAND_AT_ONCE = 10

_EXPIRED = make_reply(554, "5.4.7", "Delivery time expired")


class Broker(Bell, Protocol):
    """What the scheduler asks of the broker, beyond ringing."""

    def depth(self, zone: str) -> int | None: ...

    def oldest_rung_at(self, zone: str) -> datetime | None: ...

    def request_sweep(self) -> None: ...


@dataclass(kw_only=True)
class Scheduler:
    """One replica of the scheduler.

    Attributes:
        now: The clock; aware UTC.
        zones: Names of the configured zones, for the gauges.
    """

    deliveries: Deliveries
    messages: Messages
    expander: Expander
    broker: Broker
    leadership: Leadership
    queue: QueueConfig
    zones: Sequence[str]
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._is_leader = False
        self._next: dict[str, float] = {}

    def run(self, stop: Event) -> None:
        """Tick every second while leading, until ``stop`` is set."""
        while not stop.wait(TICK_S):
            try:
                self._run_once()
            except StoreUnavailable as error:
                self._is_leader = False
                log.warning("tick failed error=%s", error)
            except Exception:
                # The next tick may do better; without any, deferred mail would wait.
                log.exception("tick broke")
        if self._is_leader:
            with suppress(StoreUnavailable):  # the lease runs out by itself
                self.leadership.resign()

    def _run_once(self) -> None:
        if self._is_time("leader", LEADER_EVERY_S):
            was_leader, self._is_leader = self._is_leader, self.leadership.acquire()
            if self._is_leader and not was_leader:
                log.info("leading")
        if self._is_leader:
            with metrics.SCHEDULER_TICK.time():
                self.tick()

    def tick(self) -> None:
        """Do everything that is due, once.

        Raises:
            StoreUnavailable: MongoDB is away; the next tick does the rest.
        """
        now = self.now()
        for zone in self.deliveries.zones_to_ring(now):
            self._ring_zone(zone, now)
        if self._is_time("sweep", SWEEP_EVERY_S):
            self.broker.request_sweep()
        if self._is_time("measure", MEASURE_EVERY_S):
            self._measure()
        # Last: a message that cannot be expanded must not keep others from ringing.
        for message, recipients in self.messages.unexpanded(now, limit=EXPAND_AT_ONCE):
            log.info("expanding again id=%s", message.id)
            self.expander.expand(message, recipients, now)

    def _ring_zone(self, zone: str, now: datetime) -> None:
        for row in self.deliveries.overdue(zone, now, limit=RING_AT_ONCE):
            self._expire(row, now)
        limit = min(self.broker.room(zone), RING_AT_ONCE)
        if limit == 0:
            return
        rows = self.deliveries.to_ring(zone, now, limit=limit)
        waiting = self._still_in_broker(zone, rows)
        if waiting:
            self.deliveries.postpone_ring(waiting, now, now + RING_GRACE)
        kept = {row.id for row in waiting}
        due = [row for row in rows if row.id not in kept]
        if due:
            # First the record, then the bell: a crash between costs one wait.
            self.deliveries.mark_rung(due, now)
            self.broker.ring(zone, due, rung_at=now)

    def _still_in_broker(self, zone: str, rows: Sequence[Delivery]) -> list[Delivery]:
        if not any(_may_wait_in_broker(row) for row in rows):
            return []
        oldest = self.broker.oldest_rung_at(zone)
        if oldest is None:
            return []
        return [
            row
            for row in rows
            if _may_wait_in_broker(row) and row.rung_at and row.rung_at >= oldest
        ]

    def _expire(self, row: Delivery, now: datetime) -> None:
        outcome = Outcome(
            at=now, state=DeliveryState.EXPIRED, reply=_EXPIRED, category="queue"
        )
        if self.deliveries.expire(
            row, outcome, keep_until=now + self.queue.keep_records
        ):
            latency_s = (now - row.created_at).total_seconds()
            metrics.count_outcome(row.zone, outcome, latency_s=latency_s)
            log.info("expired id=%s to=<%s>", row.id, row.recipient)

    def _measure(self) -> None:
        metrics.show_queue(self.deliveries.count_live())
        for zone in self.zones:
            depth = self.broker.depth(zone)
            if depth is not None:
                metrics.BROKER_DEPTH.labels(zone).set(depth)

    def _is_time(self, what: str, every_s: float) -> bool:
        if self.monotonic() < self._next.get(what, 0.0):
            return False
        self._next[what] = self.monotonic() + every_s
        return True


def _may_wait_in_broker(row: Delivery) -> bool:
    return row.state in WAITING and row.rung_at is not None
