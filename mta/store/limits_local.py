"""The limits of a process that cannot ask Redis: its own share of each, no more.

Shares are by rank and count among the live workers: of a limit of slots, an equal
part of the number; of a rate, every count-th tick of a clock that all share (the
one of Redis as last heard, or the machine's). Whose part is larger by one, or none at
all, differs from limit to limit. Together they keep the limit as long as all know
the same count; it may lag behind by the 45 s after which a worker that does not
answer is given up. Of several rates that one message needs, the slowest is kept to
its ticks; of the others each process keeps its share, so that they hold over time,
and for a moment one message per process may come together.

Slots that the process was granted before count as well: it opens no more than its
share even while it holds more. Others may do that too; so after Redis went nobody
opens anything for ``CLOSED``, in which sessions that are waited for, as all are then,
come to their end.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from threading import Lock
from zlib import crc32

from mta.policy.limits import (
    PATIENCE_US,
    Beat,
    Demand,
    Full,
    Granted,
    Later,
    Pace,
    Slot,
    beat_of,
    share_of,
)
from mta.store.limits_ledger import Ledger
from mta.store.limits_redis import LEASE, Grant
from mta.store.workers import Presence, Standing

CLOSED = LEASE
# Who has no part in a limit asks again so soon: by then another's task may have it.
ASK_AGAIN = timedelta(seconds=2)
_MICROSECOND = timedelta(microseconds=1)


class SharedClock:
    """Microseconds of a clock that all processes share, without asking."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._ahead = round((wall() - monotonic()) * 1e6)

    def __call__(self) -> int:
        return round(self._monotonic() * 1e6) + self._ahead

    def set(self, now_us: int, *, asked_at: float, heard_at: float) -> None:
        """Learn the time of Redis, told between two instants of ``monotonic``.

        An answer that took long tells little, and moves the clock as little.
        """
        most, least = now_us - round(asked_at * 1e6), now_us - round(heard_at * 1e6)
        self._ahead = min(max(self._ahead, least), most)


class LocalLimits:
    """What this process holds, and what it may take on its own. Thread-safe."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._ledger = Ledger()
        self._lock = Lock()
        self._standing = Standing()
        self._is_alone = False
        self._floor = 0
        self._closed_until = 0

    def set_standing(self, standing: Standing) -> None:
        """Learn this process's rank and the count of those that share."""
        self._standing = standing

    def begin(self, *, after_others: bool) -> None:
        """From now on decide alone; harmless to repeat.

        Args:
            after_others: Somebody may just have been granted something by Redis,
                to be used within ``PATIENCE``: then all rates wait for that, and
                an interval. And somebody may hold more than his share of slots.
        """
        with self._lock:
            if not self._is_alone:
                self._is_alone = True
                now = self._clock()
                self._floor = now + PATIENCE_US if after_others else 0
                closed = CLOSED // _MICROSECOND
                self._closed_until = now + closed if after_others else 0

    def end(self) -> bool:
        """Redis decides again, and knows what was granted meanwhile.

        Returns:
            Whether this process had decided alone.
        """
        if not self._is_alone:
            return False
        with self._lock:
            self._is_alone = False
            self._ledger.forget_clocks()
        return True

    def acquire(
        self, member: str, demand: Demand, *, has_turn: bool
    ) -> Granted | Full | Later:
        """Take all or nothing, out of our share."""
        slots = [Slot(slot.key, self._share(slot)) for slot in demand.slots]
        beats = [self._beat(pace) for pace in demand.paces]
        with self._lock:
            now = self._clock()
            for slot in slots:
                wait = self._opens_in(slot, now)
                if wait and not self._ledger.is_held(member, slot.key):
                    return Later(slot.key, wait, is_turn=False)
            answer = self._ledger.acquire(
                now, member, slots, beats, has_turn=has_turn, floor=self._floor
            )
        if isinstance(answer, Full):
            # The limit as the operator knows it.
            return Full(answer.key, dict(demand.slots)[answer.key])
        return answer

    def has_room(self, slot: Slot) -> bool:
        """Whether our share has a slot that is free."""
        share = self._share(slot)
        with self._lock:
            if self._opens_in(Slot(slot.key, share), self._clock()):
                return False
            return self._ledger.count(slot.key) < share

    def hold(self, member: str, keys: Iterable[str]) -> None:
        """Note slots that Redis granted."""
        with self._lock:
            self._ledger.hold(member, keys)

    def release(self, member: str, keys: Iterable[str]) -> None:
        """Note slots given up."""
        with self._lock:
            self._ledger.release(member, keys)

    def missing(self, member: str, demand: Demand) -> list[str]:
        """The slots of ``demand`` that ``member`` does not hold yet."""
        with self._lock:
            return [
                slot.key
                for slot in demand.slots
                if not self._ledger.is_held(member, slot.key)
            ]

    def is_held(self, member: str, key: str) -> bool:
        """Whether ``member`` holds a slot of ``key``."""
        with self._lock:
            return self._ledger.is_held(member, key)

    def list_held(self) -> Mapping[str, list[str]]:
        """All who hold slots in this process, by key."""
        with self._lock:
            return self._ledger.list_held()

    def list_grants(self, keys: Iterable[str] | None = None) -> list[Grant]:
        """What each rate, or each of ``keys``, was last granted without Redis."""
        chosen = None if keys is None else set(keys)
        with self._lock:
            grants = self._ledger.list_grants()
        return [
            _grant(beat, at)
            for beat, at in grants
            if chosen is None or beat.key in chosen
        ]

    def _share(self, slot: Slot) -> int:
        rank, count = self._place(slot.key)
        return share_of(slot.limit, rank=rank, count=count)

    def _beat(self, pace: Pace) -> Beat:
        rank, count = self._place(pace.key)
        return beat_of(pace, parts=count, part=rank)

    def _place(self, key: str) -> Presence:
        """Our place among those who share ``key``; another one for each key."""
        rank, count = self._standing.among_users_of(key)
        turned = rank + crc32(key.encode("utf-8", "surrogatepass"))
        return Presence(turned % count, count)

    def _opens_in(self, share: Slot, now: int) -> timedelta:
        """How long nothing may be opened under a key, if that is so at all."""
        if not share.limit:
            return ASK_AGAIN
        if now >= self._closed_until or self._place(share.key).count == 1:
            return timedelta(0)
        return min((self._closed_until - now) * _MICROSECOND, ASK_AGAIN)


def _grant(beat: Beat, at: int) -> Grant:
    return Grant(beat.key, at, beat.interval)
