"""How many connections are open and how fast mail goes, over all processes at once.

Redis keeps the exact count, in one indivisible step per question; while it is away
or not to be relied on (``limits_link``), each process keeps its share
(``limits_local``), and neither more nor none. Slots are leases: what a process that
died held is free after ``LEASE``.

Nobody who waits for a slot is forgotten. The order is what sees to it:

- Who is denied a slot *parks* its row in MongoDB first, and calls ``want``
  afterwards. That notes the key as wanted and tells whether a slot is free, in one
  step.
- Who frees a slot calls ``release``, which frees it and tells whether the key is
  wanted, in one step; if so, it looks for a parked row afterwards.

Redis runs one step at a time, so a release comes either after a want, then it hears
of it, and finds the row, which was parked before; or before it, then the want finds
the slot free, unless another one has taken it, whose own release is still to come.
The same holds for every later pair, whatever the processes.

- Who finds no parked row calls ``unwant``, and then looks once more. A row whose
  want came before the unwant is seen by that look; one whose want comes after it
  notes the key again. Whoever does find something at that last look calls ``want``
  before anything else: there may be a second such row, which then waits at most
  until the first one's release.

Slots that no release frees, because a process died, are found by the beat of those
who live, within seconds of the lease's end: exactly one of them hears of each. While
Redis is away or unsettled, and without one, ``release`` counts every key as wanted.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from redis.exceptions import RedisError

from mta.policy.limits import (
    Answer,
    Demand,
    Full,
    Granted,
    Later,
    Pace,
    Slot,
    Trouble,
    bounded_key,
)
from mta.store.limits_link import Link, OnFreed
from mta.store.limits_local import LocalLimits, SharedClock
from mta.store.limits_redis import RedisLimits, Unsettled, connect
from mta.store.limits_scripts import SETTLING_US
from mta.store.limits_troubles import Troubles
from mta.store.limits_wanted import Wanted
from mta.store.workers import Standing

__all__ = [
    "Answer",
    "Demand",
    "Full",
    "Granted",
    "Later",
    "Limits",
    "Pace",
    "Slot",
    "Trouble",
]

CONNECTIONS = 16
SETTLING = timedelta(microseconds=SETTLING_US)
_RETRIES = 3
# Somebody whom the others do not count yet asks again so soon, and then so late.
_NEWCOMER_NAP_S = 0.25
_NEWCOMER_WAIT = timedelta(seconds=2)


class Limits:
    """The limits, as one process knows them. Thread-safe; one per process.

    Args:
        url: Redis; None: this process's shares alone.
        connections: To Redis at a time; who finds none free waits.
    """

    def __init__(
        self,
        url: str | None,
        *,
        connections: int = CONNECTIONS,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._counted_from = 0.0
        clock = SharedClock(monotonic=monotonic, wall=wall)
        self._local = LocalLimits(clock)
        self._troubles = Troubles(monotonic=monotonic)
        self._wanted = Wanted(None, monotonic=monotonic)
        self._link: Link | None = None
        if url is not None:
            beats = RedisLimits(connect(url, connections=1))
            # One to listen, one to ask what was missed.
            ears = connect(url, connections=2)
            self._wanted = Wanted((ears, RedisLimits(ears)), monotonic=monotonic)
            self._link = Link(
                beats, self._local, self._wanted, clock, monotonic=monotonic
            )
            pool = connect(
                url, connections=connections, on_connect=self._link.check_run
            )
            self._shared = RedisLimits(pool)

    @property
    def is_shared(self) -> bool:
        """Whether Redis is asked; else this process decides alone."""
        return self._link is not None and self._link.is_up

    @property
    def _is_newcomer(self) -> bool:
        """Others do not count this process yet: what is to be its share is in use."""
        return self._monotonic() < self._counted_from

    def start(self, on_wanted: Callable[[str], None], on_freed: OnFreed) -> None:
        """Begin to beat and to listen; returns once Redis has answered, or not.

        Args:
            on_wanted: Called with each key that somebody says to wait for, this
                process included, in a thread of its own.
            on_freed: Called with the key of each slot that its holder's death has
                freed, of those that somebody waits for.
        """
        if self._link is not None:
            self._link.start(on_freed)
        self._wanted.start(on_wanted)

    def stop(self) -> None:
        """End both. What is held is free after ``LEASE``, if it is not released."""
        self._wanted.stop()
        if self._link is not None:
            self._link.stop()

    def set_standing(
        self, standing: Standing, *, counted_in: timedelta | None = None
    ) -> None:
        """Learn what the share of this process is; before, it is all.

        Args:
            counted_in: Until then others may not count this process yet, and use
                its share: it decides nothing alone, but waits. None: as it was.
        """
        self._local.set_standing(standing)
        if counted_in is not None:
            self._counted_from = self._monotonic() + counted_in.total_seconds()

    def acquire(
        self,
        member: str,
        demand: Demand,
        *,
        has_turn: bool = False,
        drop: Sequence[str] = (),
        trouble: str = "",
    ) -> Answer:
        """Take all slots and paces of ``demand``, or nothing.

        Args:
            member: Who holds the slots, unique over all processes. Slots that it
                holds already are no obstacle; every call counts against the paces.
            has_turn: It was told ``Later`` before, and has waited.
            drop: Keys of slots that are given up if this is granted.
            trouble: Key under which a failure of the destination may be noted.
        """
        question = _Question(member, demand, has_turn, trouble)
        kept = {slot.key for slot in demand.slots}
        dropped = [key for key in drop if key not in kept]
        for _ in range(_RETRIES):
            answer = self._ask(question, dropped)
            if answer is not None and not isinstance(answer, Unsettled):
                return answer
            if self._is_newcomer:
                self._sleep(_NEWCOMER_NAP_S)  # Redis may answer any moment
                continue
            if answer is None:
                alone = self._decide_alone(question)
            else:
                alone = self._decide_unsettled(question, answer.left or SETTLING)
            if alone is not None:
                return self._drop(member, dropped, alone)
        if self._is_newcomer:
            key = next((slot.key for slot in demand.slots), member)
            return Later(key, _NEWCOMER_WAIT, is_turn=False)
        # It comes and goes faster than it can be asked.
        return self._drop(member, dropped, self._decide(question))

    def release(self, member: str, keys: Sequence[str]) -> list[str]:
        """Give slots up; returns those of ``keys`` that somebody waits for."""
        self._local.release(member, keys)
        link = self._link
        if not keys or link is None:
            return list(keys)
        if link.is_up:
            try:
                return self._shared.release(member, keys)
            except RedisError as error:
                link.fail(error)
            except BaseException:
                link.orphan(member, keys)
                raise
        link.orphan(member, keys)
        return list(keys)

    def want(self, slot: Slot) -> bool:
        """Somebody is parked for ``slot``; True: one is free, hand it over."""
        self._wanted.add(bounded_key(slot.key))
        is_free: bool | None = None
        if self._link is not None and self._link.is_up:
            try:
                is_free = self._shared.want(slot)
            except RedisError as error:
                self._link.fail(error)
        return self._local.has_room(slot) if is_free is None else is_free

    def is_wanted(self, key: str) -> bool:
        """Whether somebody may wait for ``key``; asks nobody."""
        return bounded_key(key) in self._wanted

    def unwant(self, key: str) -> None:
        """Nobody is parked for ``key`` any more."""
        self._wanted.discard(bounded_key(key))
        self._tell(lambda shared: shared.unwant(key))

    def note_trouble(self, key: str, text: str, ttl: timedelta) -> None:
        """Answer ``acquire`` with ``text`` for ``ttl``, wherever ``key`` is given."""
        self._troubles.note(key, text, ttl)
        self._tell(lambda shared: shared.note_trouble(key, text, ttl))

    def clear_trouble(self, key: str) -> None:
        """``key`` works again."""
        self._troubles.clear(key)
        self._tell(lambda shared: shared.clear_trouble(key))

    def _ask(
        self, question: "_Question", dropped: Sequence[str]
    ) -> Answer | Unsettled | None:
        """Ask Redis; None if it does not answer."""
        link = self._link
        if link is None or not link.is_up:
            return None
        member, demand, has_turn, trouble = question
        link.adopt(member)
        try:
            answer = self._shared.acquire(
                member, demand, has_turn=has_turn, drop=dropped, trouble=trouble
            )
        except RedisError as error:
            link.orphan(member, self._local.missing(member, demand))
            link.fail(error)
            return None
        except BaseException:
            # Stopped in the middle of it: nobody would give the slots back.
            link.orphan(member, self._local.missing(member, demand))
            raise
        if isinstance(answer, Unsettled):
            link.doubt(is_expected=answer.left is not None)
            return answer
        link.rely()
        if isinstance(answer, Granted):
            self._local.hold(member, (slot.key for slot in demand.slots))
            self._local.release(member, dropped)
        return answer

    def _decide(self, question: "_Question") -> Answer:
        """Answer out of this process's share."""
        member, demand, has_turn, trouble = question
        known = self._troubles.find(trouble) if trouble else None
        return known or self._local.acquire(member, demand, has_turn=has_turn)

    def _decide_alone(self, question: "_Question") -> Answer | None:
        """Answer out of the share, unless Redis can be asked again."""
        link = self._link
        if link is None:
            return self._decide(question)
        return link.decide_alone(lambda: self._decide(question))

    def _decide_unsettled(
        self, question: "_Question", left: timedelta
    ) -> Answer | None:
        """Answer out of the share, and tell Redis; None if that came too late.

        Args:
            left: After that Redis knows better than to make anybody wait for his
                turn of a share.
        """
        member, demand = question.member, question.demand
        taken = self._local.missing(member, demand)
        answer = self._decide(question)
        if isinstance(answer, Later):
            return replace(answer, wait=min(answer.wait, left))
        if not isinstance(answer, Granted) or not (taken or demand.paces):
            return answer
        is_told = False
        try:
            grants = self._local.list_grants(pace.key for pace in demand.paces)
            is_told = self._shared.register_one(member, taken, grants)
        except RedisError as error:
            if self._link is not None:
                self._link.fail(error)
            is_told = True  # it will be, by the beat
        finally:
            if not is_told:
                self._local.release(member, taken)
                if self._link is not None:
                    self._link.orphan(member, taken)
        return answer if is_told else None

    def _drop(self, member: str, keys: Sequence[str], answer: Answer) -> Answer:
        if isinstance(answer, Granted) and keys:
            return Granted(answer.wait, tuple(self.release(member, keys)))
        return answer

    def _tell(self, say: Callable[[RedisLimits], None]) -> None:
        """Say something that is no great loss if it is not heard."""
        if self._link is not None and self._link.is_up:
            try:
                say(self._shared)
            except RedisError as error:
                self._link.fail(error)


class _Question(NamedTuple):
    member: str
    demand: Demand
    has_turn: bool
    trouble: str
