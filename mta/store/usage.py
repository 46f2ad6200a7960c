"""How much a user has sent in this hour and in this day of UTC, and how much is left.

One document for each user and window, counted up only as far as the quota goes, in one
step: however many ask at once, nobody gets more. A crash between a reservation and
its message costs the user one message until the window is over. Users without a quota
are not counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from pymongo.errors import DuplicateKeyError

from mta.store.mongo import USAGE, Document, Mongo, guarded

MAX_LIMIT: Final = 2**31 - 1
# How long a count outlives its window: for whoever wants to know, and for clocks.
KEPT: Final = timedelta(days=1)

MESSAGES: Final = "messages"
RECIPIENTS: Final = "recipients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much may be sent in an hour and in a day of UTC; None: any number.

    Raises:
        ValueError: A limit is not from 0 to ``MAX_LIMIT``.
    """

    messages_per_hour: int | None = None
    messages_per_day: int | None = None
    recipients_per_hour: int | None = None
    recipients_per_day: int | None = None

    def __post_init__(self) -> None:
        for name, limit in self.limits().items():
            if limit is not None and not 0 <= limit <= MAX_LIMIT:
                raise ValueError(f"{name} is from 0 to {MAX_LIMIT}")

    def limits(self) -> dict[str, int | None]:
        """All limits by name."""
        return {limit.name: getattr(self, limit.name) for limit in fields(self)}


NO_QUOTA: Final = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A limit that a message would exceed.

    Attributes:
        what: ``MESSAGES`` or ``RECIPIENTS``.
        period: ``hour`` or ``day``.
        until: When counting starts again.
        is_hopeless: The message alone is more than the limit.
    """

    limit: int
    what: str
    period: str
    until: datetime
    is_hopeless: bool = False


class Window(NamedTuple):
    """An hour or a day, and what may be counted in it."""

    period: str
    letter: str
    form: str
    length: timedelta

    def key(self, user: str, now: datetime) -> str:
        return f"{user}|{self.letter}|{now:{self.form}}"

    def end(self, now: datetime) -> datetime:
        start = now.replace(minute=0, second=0, microsecond=0)
        if self.period == "day":
            start = start.replace(hour=0)
        return start + self.length

    def limits(self, quota: Quota) -> dict[str, int]:
        """The limits of this window, by what they count."""
        by_name = quota.limits()
        limits = {what: by_name[f"{what}_per_{self.period}"] for what in _COUNTED}
        return {what: limit for what, limit in limits.items() if limit is not None}


_COUNTED = (MESSAGES, RECIPIENTS)
# The day first: who has used it up need not hear of the hour.
_WINDOWS = (
    Window("day", "d", "%Y-%m-%d", timedelta(days=1)),
    Window("hour", "h", "%Y-%m-%dT%H", timedelta(hours=1)),
)


class Usage:
    """A collection of counts; all times are aware UTC.

    Args:
        kept: How long a count outlives its window.
    """

    def __init__(self, db: Mongo, name: str = USAGE, *, kept: timedelta = KEPT) -> None:
        # Not written with ``durable``: at worst, a user may send a little more.
        self._usage = db[name]
        self._kept = kept

    @guarded
    def reserve(
        self, user: str, quota: Quota, recipients: int, now: datetime
    ) -> Exceeded | None:
        """Count a message with so many recipients, in all windows or in none.

        Returns:
            None; or the limit in the way, and nothing is counted.
        """
        windows = list(_windows(quota))
        counts = _counts(recipients)
        if hopeless := _find_hopeless(windows, counts, now):
            return hopeless
        for taken, (window, limits) in enumerate(windows):
            if not self._take(window, limits, user, counts, now):
                for before, _ in windows[:taken]:
                    self._put_back(before, user, counts, now)
                what = self._find_cause(window, limits, user, counts, now)
                return _exceeded(window, what, limits[what], now)
        return None

    @guarded
    def exceeded(
        self, user: str, quota: Quota, recipients: int, now: datetime
    ) -> Exceeded | None:
        """Say what ``reserve`` would, and count nothing."""
        windows = list(_windows(quota))
        counts = _counts(recipients)
        if hopeless := _find_hopeless(windows, counts, now):
            return hopeless
        for window, limits in windows:
            found = self._usage.find_one({"_id": window.key(user, now)}) or {}
            for what, limit in limits.items():
                if found.get(what, 0) + counts[what] > limit:
                    return _exceeded(window, what, limit, now)
        return None

    @guarded
    def give_back(
        self, user: str, quota: Quota, recipients: int, reserved_at: datetime
    ) -> None:
        """Undo a reservation made at ``reserved_at``: the message was not taken."""
        for window, _ in _windows(quota):
            self._put_back(window, user, _counts(recipients), reserved_at)

    @guarded
    def used(self, user: str, quota: Quota, now: datetime) -> dict[str, int]:
        """What counts against each limit of the quota, by the limit's name."""
        used: dict[str, int] = {}
        for window, limits in _windows(quota):
            found = self._usage.find_one({"_id": window.key(user, now)}) or {}
            for what in limits:
                used[f"{what}_per_{window.period}"] = int(found.get(what, 0))
        return used

    def _take(
        self,
        window: Window,
        limits: Mapping[str, int],
        user: str,
        counts: Mapping[str, int],
        now: datetime,
    ) -> bool:
        room = {what: {"$lte": limits[what] - counts[what]} for what in limits}
        if_room = {"_id": window.key(user, now), **room}
        count: Document = {
            "$inc": dict(counts),
            "$setOnInsert": {"expires_at": window.end(now) + self._kept},
        }
        try:
            self._usage.update_one(if_room, count, upsert=True)
        except DuplicateKeyError:
            # There is a document: one without room, or one that another made just now.
            return self._usage.update_one(if_room, count).matched_count == 1
        return True

    def _find_cause(
        self,
        window: Window,
        limits: Mapping[str, int],
        user: str,
        counts: Mapping[str, int],
        now: datetime,
    ) -> str:
        found = self._usage.find_one({"_id": window.key(user, now)}) or {}
        full = (w for w in limits if found.get(w, 0) + counts[w] > limits[w])
        # Somebody may have given back meanwhile; then it was any of them.
        return next(full, next(iter(limits)))

    def _put_back(
        self, window: Window, user: str, counts: Mapping[str, int], now: datetime
    ) -> None:
        is_counted = {what: {"$gte": count} for what, count in counts.items()}
        self._usage.update_one(
            {"_id": window.key(user, now), **is_counted},
            {"$inc": {what: -count for what, count in counts.items()}},
        )


def read_quota(stored: Any) -> Quota:
    """Read a quota, whoever wrote it: a limit that cannot be understood is 0."""
    if stored is None:
        return NO_QUOTA
    known = NO_QUOTA.limits()
    if not isinstance(stored, Mapping):
        return Quota(**dict.fromkeys(known, 0))
    return Quota(**{name: _read_limit(stored.get(name)) for name in known})


def _read_limit(stored: Any) -> int | None:
    if stored is None:
        return None
    # MongoDB's old shell writes every number as a double.
    is_limit = isinstance(stored, int | float) and stored >= 0
    return int(min(stored, MAX_LIMIT)) if is_limit else 0


def _windows(quota: Quota) -> Iterator[tuple[Window, dict[str, int]]]:
    """The windows that have limits."""
    for window in _WINDOWS:
        limits = window.limits(quota)
        if limits:
            yield window, limits


def _find_hopeless(
    windows: Iterable[tuple[Window, Mapping[str, int]]],
    counts: Mapping[str, int],
    now: datetime,
) -> Exceeded | None:
    """Find a limit that a message alone is more than."""
    for window, limits in windows:
        for what, limit in limits.items():
            if counts[what] > limit:
                return _exceeded(window, what, limit, now, is_hopeless=True)
    return None


def _counts(recipients: int) -> dict[str, int]:
    return {MESSAGES: 1, RECIPIENTS: recipients}


def _exceeded(
    window: Window, what: str, limit: int, now: datetime, *, is_hopeless: bool = False
) -> Exceeded:
    return Exceeded(
        limit=limit,
        what=what,
        period=window.period,
        until=window.end(now),
        is_hopeless=is_hopeless,
    )
