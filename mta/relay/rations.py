"""Sees to it that an address that is warming up sends no more than its ration.

A message is counted before it is sent, and given back if nobody heard of it: whoever
receives counts it from MAIL on.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Protocol

from mta.config.zones import IPAddress, WarmUp, WarmupPlan
from mta.errors import StoreUnavailable
from mta.policy.warmup import DayStats, Ration, ration_of

log = logging.getLogger(__name__)

MAX_KNOWN = 10_000
# Others may give back what they had counted.
BELIEVED_FOR = timedelta(seconds=30)


class Exceeded(Protocol):
    """A number that is reached, and when counting begins anew."""

    @property
    def until(self) -> datetime: ...


class Book(Protocol):
    """Keeps the counts; see ``mta.store.warmup.WarmupBook``."""

    def reserve(
        self, address: str, site: str, ration: Ration, now: datetime
    ) -> Exceeded | None: ...

    def give_back(
        self, address: str, site: str, ration: Ration, reserved_at: datetime
    ) -> None: ...

    def note_deferred(self, address: str, site: str, reserved_at: datetime) -> None: ...

    def history(
        self, address: str, site: str, since: date
    ) -> Mapping[date, DayStats]: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that counts against a ration."""

    address: str
    site: str
    ration: Ration
    at: datetime


@dataclass(frozen=True, slots=True)
class UsedUp:
    """The ration is used up; after ``wait`` there is more."""

    wait: timedelta


@dataclass(slots=True)
class Rations:
    """The rations of one process's attempts.

    Args:
        now: The clock; aware UTC.
    """

    book: Book
    now: Callable[[], datetime]
    _histories: dict[tuple[str, str, date], tuple[date, Mapping[date, DayStats]]] = (
        field(default_factory=dict)
    )
    # Used up until then, by that plan: many messages would like to leave from there.
    _ends: dict[tuple[str, str], tuple[WarmUp, WarmupPlan, datetime, datetime]] = field(
        default_factory=dict
    )

    def take(
        self, address: IPAddress, site: str, warmup: WarmUp, plan: WarmupPlan
    ) -> Taken | UsedUp | None:
        """Count a message; None if the address is warm.

        Raises:
            StoreUnavailable: Nobody can say now.
        """
        now, name = self.now(), str(address)
        history = self._history(name, site, warmup.started, now.date())
        ration = ration_of(warmup, plan, now.date(), history)
        if ration is None:
            return None
        until = self.used_up_until(address, site, warmup, plan)
        if until is None:
            exceeded = self.book.reserve(name, site, ration, now)
            if exceeded is None:
                return Taken(name, site, ration, now)
            until = exceeded.until
            self._ends[name, site] = warmup, plan, until, now + BELIEVED_FOR
        return UsedUp(until - now)

    def used_up_until(
        self, address: IPAddress, site: str, warmup: WarmUp, plan: WarmupPlan
    ) -> datetime | None:
        """When there is more, if it is known that there is none now; asks nobody."""
        known = self._ends.get((str(address), site))
        if known is None or known[:2] != (warmup, plan):
            return None
        until, believed_until = known[2:]
        return until if self.now() < min(until, believed_until) else None

    def give_back(self, taken: Taken) -> None:
        """Nobody heard of the message."""
        self._ends.pop((taken.address, taken.site), None)
        self._try(
            lambda: self.book.give_back(
                taken.address, taken.site, taken.ration, taken.at
            )
        )

    def note_deferred(self, taken: Taken) -> None:
        """The message was not taken, for now."""
        self._try(lambda: self.book.note_deferred(taken.address, taken.site, taken.at))

    def _history(
        self, address: str, site: str, started: date, today: date
    ) -> Mapping[date, DayStats]:
        """The days before ``today``: they change no more."""
        key = (address, site, started)
        day, history = self._histories.get(key, (None, _NO_DAYS))
        if day != today:
            history = self.book.history(address, site, started)
            if len(self._histories) >= MAX_KNOWN:
                self._histories.clear()
            self._histories[key] = (today, history)
        return history

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StoreUnavailable as error:
            # One message less today; the delivery itself matters more.
            log.warning("ration not put right error=%s", error)


_NO_DAYS: Mapping[date, DayStats] = {}
