"""Slots and clocks in memory: the same rules as the scripts in Redis.

What one process reckons with while it cannot ask, and what the tests hold the
scripts against. Knows no clock and no lock: instants, in microseconds, are
arguments, and whoever shares a ledger between threads sees to it.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from mta.policy.limits import (
    HORIZON,
    HORIZON_US,
    PATIENCE_US,
    Beat,
    Clock,
    Full,
    Granted,
    Later,
    Slot,
    find_opening,
    heal,
)

FOREVER = 2**62
_UNUSED = Clock(0, 0)
_MICROSECOND = timedelta(microseconds=1)
_MANY_CLOCKS = 10_000


class Ledger:
    """Who holds which slots until when, and when each rate was last granted."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[str, int]] = {}
        self._clocks: dict[str, tuple[Clock, Beat]] = {}

    def acquire(
        self,
        now: int,
        member: str,
        slots: Sequence[Slot],
        beats: Sequence[Beat],
        *,
        has_turn: bool = False,
        until: int = FOREVER,
        floor: int = 0,
    ) -> Granted | Full | Later:
        """Take all or nothing.

        Args:
            until: When the slots are free again, if they are not given up before.
            floor: Until when others may have been granted something.
        """
        full = self._find_full(now, member, slots)
        if full is not None:
            return full
        opening = now
        if beats:
            clocks = self._read_clocks(now, beats, floor)
            opening, decisive = find_opening(
                now, beats, clocks.__getitem__, has_turn=has_turn, floor=floor
            )
            if opening - now > PATIENCE_US:
                beat = beats[decisive]
                clock = clocks[beat.key]
                return self._give_turn(now, beat, clock, opening, has_turn=has_turn)
            for beat in beats:
                clock = clocks[beat.key]._replace(granted=opening)
                self._set_clock(now, clock, beat)
        self.hold(member, (slot.key for slot in slots), until)
        return Granted((opening - now) * _MICROSECOND)

    def hold(self, member: str, keys: Iterable[str], until: int = FOREVER) -> None:
        """Take slots, whether or not they are free."""
        for key in keys:
            self._slots.setdefault(key, {})[member] = until

    def release(self, member: str, keys: Iterable[str]) -> None:
        """Give slots up; harmless if ``member`` does not hold them."""
        for key in keys:
            members = self._slots.get(key, {})
            members.pop(member, None)
            if not members:
                self._slots.pop(key, None)

    def count(self, key: str, now: int = 0) -> int:
        """How many hold a slot of ``key``."""
        return sum(until > now for until in self._slots.get(key, {}).values())

    def is_held(self, member: str, key: str) -> bool:
        """Whether ``member`` holds a slot of ``key``."""
        return member in self._slots.get(key, {})

    def list_held(self) -> dict[str, list[str]]:
        """All who hold slots, by key."""
        return {key: list(members) for key, members in self._slots.items()}

    def list_grants(self) -> list[tuple[Beat, int]]:
        """The instant of each rate's last grant."""
        return [
            (beat, clock.granted)
            for clock, beat in self._clocks.values()
            if clock.granted
        ]

    def forget_clocks(self) -> None:
        """Start the clocks anew, as if nothing had been granted."""
        self._clocks.clear()

    def _find_full(self, now: int, member: str, slots: Sequence[Slot]) -> Full | None:
        for slot in slots:
            holds = self._slots.get(slot.key, {}).get(member, now) > now
            if not holds and self.count(slot.key, now) >= slot.limit:
                return Full(*slot)
        return None

    def _read_clocks(
        self, now: int, beats: Sequence[Beat], floor: int
    ) -> dict[str, Clock]:
        clocks = {}
        for beat in beats:
            clock, before = self._clocks.get(beat.key, (_UNUSED, beat))
            if before.interval != beat.interval:
                # Another rate than it was: its turns are void, its last grant is not.
                clock = Clock(clock.granted, 0)
            clocks[beat.key] = heal(clock, beat, now=now, floor=floor)
        return clocks

    def _give_turn(
        self, now: int, beat: Beat, clock: Clock, opening: int, *, has_turn: bool
    ) -> Later:
        last = clock.again if has_turn else clock.turn
        turn = beat.tick(max(opening, last + beat.step))
        if turn - now > HORIZON_US:
            return Later(beat.key, HORIZON)
        if beat.parts > 1 and max(clock.turn, clock.again) <= now:
            # The first of a line; it is not void for having waited for its tick.
            clock = clock._replace(granted=max(clock.granted, now - beat.step))
        given = {"again": turn} if has_turn else {"turn": turn}
        self._set_clock(now, clock._replace(**given), beat)
        return Later(beat.key, (turn - now) * _MICROSECOND)

    def _set_clock(self, now: int, clock: Clock, beat: Beat) -> None:
        self._clocks[beat.key] = clock, beat
        if len(self._clocks) > _MANY_CLOCKS:
            self._drop_idle_clocks(now)

    def _drop_idle_clocks(self, now: int) -> None:
        self._clocks = {
            key: (clock, beat)
            for key, (clock, beat) in self._clocks.items()
            if max(clock) + beat.step > now
        }
