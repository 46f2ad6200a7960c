"""A slot that gets free goes to the next delivery that waits for it.

Who is denied a slot parks its row first and says so afterwards; who frees one asks
whether anybody waits, and looks for a parked row afterwards. So one of the two
always sees the other, and nobody has to poll.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from mta.delivery import Delivery
from mta.errors import StoreUnavailable
from mta.policy.limits import Slot
from mta.store.parking import Parking

log = logging.getLogger(__name__)


class Wants(Protocol):
    """Who waits for which limit; see ``mta.store.limits.Limits``."""

    def want(self, slot: Slot) -> bool: ...

    def unwant(self, key: str) -> None: ...

    def is_wanted(self, key: str) -> bool: ...


class Bell(Protocol):
    """Wakes the workers of a zone."""

    @property
    def eta_lead(self) -> timedelta: ...

    def ring(
        self, zone: str, deliveries: Sequence[Delivery], *, rung_at: datetime
    ) -> int: ...


class HandOver:
    """Passes free slots on."""

    def __init__(
        self, limits: Wants, parking: Parking, bell: Bell, now: Callable[[], datetime]
    ) -> None:
        self._limits = limits
        self._parking = parking
        self._bell = bell
        self._now = now

    @property
    def eta_lead(self) -> timedelta:
        """How long before it is due a doorbell may be rung."""
        return self._bell.eta_lead

    def is_wanted(self, key: str) -> bool:
        """Somebody waits for a slot of ``key``, as far as is known."""
        return self._limits.is_wanted(key)

    def ring_for(self, row: Delivery, now: datetime) -> None:
        """Ring for a row that is soon due."""
        self._bell.ring(row.zone, [row], rung_at=now)

    def wait_for(self, slot: Slot) -> None:
        """A row was parked for ``slot``; should one be free by now, pass it on."""
        if self._limits.want(slot):
            self.ring_next([slot.key])

    def ring_next(self, keys: Sequence[str]) -> None:
        """A slot of each of ``keys`` got free: ring for the next row parked for it.

        Never raises: if MongoDB is away, the scheduler's safety net is left.
        """
        try:
            for key in keys:
                self._ring_one(key)
        except StoreUnavailable as error:
            log.warning("free slots left to the scheduler error=%s", error)

    def claim_next(self, key: str, *, zone: str, owner: str) -> Delivery | None:
        """Claim the next row of ``zone`` parked for ``key``, or ring for another's.

        Raises:
            StoreUnavailable: MongoDB is away.
        """
        claimed = self._parking.claim_next(key, zone=zone, owner=owner)
        if claimed is None:
            self._ring_one(key)  # another zone's, or the last look
        return claimed

    def _ring_one(self, key: str) -> None:
        now = self._now()
        row = self._parking.pick_next(key, now)
        if row is None:
            # First the word, then another look: who parked in between is seen now,
            # and who parks from now on gives the word again.
            self._limits.unwant(key)
            row = self._parking.pick_next(key, now)
            if row is None:
                return
            self._limits.want(Slot(key, 0))
        self._bell.ring(row.zone, [row], rung_at=now)
