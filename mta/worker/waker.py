"""Wakes what waits for limits that are no more.

A parked delivery is woken by whoever frees a slot, one by one, and a delivery that a
rate has given a turn comes at its time. When a limit is raised neither would notice
for a while: so each worker, once it goes by the new configuration, wakes as many of
its zones' deliveries as there are new slots, and all that wait for turns by a rate
that was another one. Who is woken for nothing parks again.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mta.config.zones import Config
from mta.policy.limits import slots_of, zone_of

log = logging.getLogger(__name__)

WAKE_AT_MOST = 1_000  # for one limit: a worker could not start more at once
_WITH_RATES = ("zones", "domains", "providers", "pools", "limits", "warmup")


class Rows(Protocol):
    """The deliveries; see ``mta.store.parking.Parking``."""

    def parked_for(self) -> list[str]: ...

    def end_turns(self, zone: str, now: datetime) -> int: ...


class Bells(Protocol):
    """Rings for parked rows; see ``mta.worker.handover.HandOver``."""

    def ring_next(self, keys: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Waker:
    """Knows what to wake after a reload.

    Attributes:
        now: The clock; aware UTC.
    """

    rows: Rows
    bells: Bells
    now: Callable[[], datetime]

    def wake(self, zones: Sequence[str], old: Config, new: Config) -> None:
        """Wake what waits in ``zones``, which this worker serves.

        Raises:
            StoreUnavailable: Some may sleep on until their time, or a minute.
        """
        for key in self.rows.parked_for():
            if zone_of(key) in ("", *zones):
                for _ in range(_raised_by(slots_of(old, key), slots_of(new, key))):
                    self.bells.ring_next([key])
        if any(getattr(old, part) != getattr(new, part) for part in _WITH_RATES):
            count = sum(self.rows.end_turns(zone, self.now()) for zone in zones)
            log.info("rates may have changed: asked again deliveries=%d", count)


def _raised_by(old: int | None, new: int | None) -> int:
    if old is None:
        return 0
    return WAKE_AT_MOST if new is None else min(new - old, WAKE_AT_MOST)
