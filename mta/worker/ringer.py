"""Rings for the rows of a zone that must be looked after, each tenant in its turn.

What the broker's list may hold (``Drain``) is shared out among the lanes that have
rows (``mta.policy.fairness``). A lane that has less than its share lends the rest.

A row whose doorbell is still in the broker's list is not rung again: the list is
first in, first out, so what was rung after the list's oldest is still in it.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mta.config.live import Live
from mta.config.zones import Config
from mta.delivery import CLAIMABLE, Delivery
from mta.policy.fairness import interleave, low_water, share_out
from mta.store.deliveries import RING_GRACE
from mta.store.due import Due
from mta.worker.drain import Drain

# Rows looked at per zone and tick: one zone must not keep the others waiting.
LOOK_AT_ONCE = 2_000


class Broker(Protocol):
    """What the scheduler asks of the broker; see ``mta.worker.doorbell.Doorbell``."""

    @property
    def eta_lead(self) -> timedelta: ...

    def depth(self, zone: str) -> int | None: ...

    def oldest_rung_at(
        self, zone: str, *, is_transactional: bool = False
    ) -> datetime | None: ...

    def ring(
        self, zone: str, deliveries: Sequence[Delivery], *, rung_at: datetime
    ) -> int: ...


@dataclass(kw_only=True)
class Ringer:
    """Rings fairly, and not too far ahead of the workers."""

    due: Due
    broker: Broker
    config: Live[Config]
    monotonic: Callable[[], float] = time.monotonic
    _drains: defaultdict[str, Drain] = field(
        default_factory=lambda: defaultdict(Drain), init=False
    )
    # By zone, when those are due that were rung before: until then a worker holds them,
    # and no list shows them.
    _ahead: defaultdict[str, deque[datetime]] = field(
        default_factory=lambda: defaultdict(deque), init=False
    )
    _shares: int = field(default=0, init=False)

    def ring_zone(self, zone: str, now: datetime) -> bool:
        """Ring for as many rows as should lie ready.

        Returns:
            Whether to come back soon: there was more to look at than a tick may, or
            the workers may be faster than was known.

        Raises:
            StoreUnavailable: Some may have been marked and not rung; they are later.
        """
        lanes = set(self.due.lanes(zone, now))
        if not lanes:
            return False
        depth = self.broker.depth(zone)
        if depth is None:
            return False  # the broker is away
        drain = self._drains[zone]
        low = low_water(self.config.current.connections_of(zone))
        room = drain.target(depth, self.monotonic(), low=low) - depth
        room -= self._count_ahead(zone, now)
        looked_at = rung = 0
        while rung < room and lanes and looked_at < LOOK_AT_ONCE:
            most = min(room - rung, LOOK_AT_ONCE - looked_at)
            rows = self._take(zone, lanes, most, now)
            looked_at += len(rows)
            rung += self._ring(zone, rows, now)
        drain.note(depth + rung, self.monotonic())
        return bool(lanes) and (rung < room or depth == 0)

    def _take(
        self, zone: str, lanes: set[str], most: int, now: datetime
    ) -> list[Delivery]:
        """Up to ``most`` rows, shared out; lanes that have no more are dropped."""
        self._shares += 1
        config = self.config.current
        shares = share_out(
            most,
            dict.fromkeys(lanes),
            weight_of=config.tenant_weight,
            floor=config.queue.transactional_share,
            offset=self._shares,
        )
        due_by = now + self.broker.eta_lead
        found = {}
        for lane, share in shares.items():
            if share:
                rows = self.due.to_ring(zone, lane, now, due_by=due_by, limit=share)
                found[lane] = rows
                if len(rows) < share:
                    lanes.remove(lane)
        return interleave(found)

    def _ring(self, zone: str, rows: Sequence[Delivery], now: datetime) -> int:
        """Ring for those that need it; returns how many doorbells were added."""
        rows = self._without_ended(rows, now)
        waiting = self._still_in_broker(zone, rows)
        if waiting:
            self.due.postpone_ring(waiting, now, now + RING_GRACE)
            kept = {row.id for row in waiting}
            rows = [row for row in rows if row.id not in kept]
        if rows:
            # First the record, then the bell: a crash between costs one wait.
            self.due.mark_rung(rows, now)
            self.broker.ring(zone, rows, rung_at=now)
            self._ahead[zone].extend(sorted(r.due_at for r in rows if r.due_at > now))
        return len(rows)

    def _count_ahead(self, zone: str, now: datetime) -> int:
        ahead = self._ahead[zone]
        while ahead and ahead[0] <= now:
            ahead.popleft()
        return len(ahead)

    def _without_ended(
        self, rows: Sequence[Delivery], now: datetime
    ) -> Sequence[Delivery]:
        """Those that may be tried again before their time is over."""
        ended = [row for row in rows if row.due_at >= row.give_up_at]
        if not ended:
            return rows
        self.due.leave_to_the_end(ended, now)
        return [row for row in rows if row.due_at < row.give_up_at]

    def _still_in_broker(self, zone: str, rows: Sequence[Delivery]) -> list[Delivery]:
        waiting = []
        for is_transactional in (False, True):
            rung = [
                row
                for row in rows
                if row.is_transactional == is_transactional and _may_wait_in_broker(row)
            ]
            if not rung:
                continue
            # Each class has a list of its own.
            oldest = self.broker.oldest_rung_at(zone, is_transactional=is_transactional)
            if oldest is not None:
                waiting += [
                    row for row in rung if row.rung_at and row.rung_at >= oldest
                ]
        return waiting


def _may_wait_in_broker(row: Delivery) -> bool:
    return row.state in CLAIMABLE and row.rung_at is not None
