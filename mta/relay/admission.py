"""Who may open a session or go on with one: asks for slots and turns, makes room.

One question for everything a delivery counts against, all or none. Where a limit is
reached only because of an idle session of ours, that one goes first.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from mta.errors import RateReached, SlotsTaken
from mta.policy.limits import Demand, Full, Granted, Later
from mta.relay.held import Endings, HeldSession
from mta.relay.permits import Permit, Permits
from mta.relay.pool import SessionPool
from mta.relay.troubles import Troubles

# For the end of a session in our way; its own patience is a little less.
ROOM_WAIT = timedelta(seconds=2.5)


@dataclass(slots=True)
class Turn:
    """What the rates have granted to one delivery so far.

    Attributes:
        has_turn: It comes at the time that a rate once gave it.
        paid: Rates that it has been counted against: once, however many sessions
            it takes.
        ready_at: Instant, on the monotonic clock, before which MAIL is too early.
        admitted: Keys of the limits of which it had a slot.
    """

    has_turn: bool
    paid: set[str] = field(default_factory=set)
    ready_at: float = 0.0
    admitted: set[str] = field(default_factory=set)


class Admission:
    """Grants permits, or says what a delivery has to wait for."""

    def __init__(
        self,
        *,
        permits: Permits,
        pool: SessionPool[HeldSession],
        endings: Endings,
        troubles: Troubles,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._permits = permits
        self._pool = pool
        self._endings = endings
        self._troubles = troubles
        self._monotonic = monotonic

    def admit(
        self, permit: Permit, demand: Demand, turn: Turn, *, trouble: str = ""
    ) -> None:
        """Exchange the permit's slots for those of ``demand``, and take its turn.

        Without a round trip if there is nothing to ask for.

        Args:
            trouble: The destination's key if it has to be free of trouble.

        Raises:
            SlotsTaken: a limit is reached; the permit is as it was.
            RateReached: likewise.
            TransientFailure: the destination could not be reached a moment ago.
        """
        unpaid = tuple(pace for pace in demand.paces if pace.key not in turn.paid)
        if not unpaid and permit.covers(demand):
            turn.admitted.update(permit.keys)
            return
        asked = replace(demand, paces=unpaid)
        has_turn = turn.has_turn
        answer = self._permits.ask(permit, asked, has_turn=has_turn, trouble=trouble)
        if isinstance(answer, Full) and self._make_room(answer.key):
            answer = self._permits.ask(
                permit, asked, has_turn=has_turn, trouble=trouble
            )
        if isinstance(answer, Full):
            raise SlotsTaken(answer.key, answer.limit)
        if isinstance(answer, Later):
            raise RateReached(answer.key, answer.wait, is_turn=answer.is_turn)
        if not isinstance(answer, Granted):
            raise self._troubles.hear(trouble, answer.text, answer.left)
        turn.paid.update(pace.key for pace in unpaid)
        turn.admitted.update(permit.keys)
        ready_at = self._monotonic() + answer.wait.total_seconds()
        turn.ready_at = max(turn.ready_at, ready_at)

    def _make_room(self, key: str) -> bool:
        """See to it that a session of ours gives back a slot of ``key``, if one can."""
        ending = self._endings.claim(key)
        if ending is None:
            idle = self._pool.take_holding(key)
            if idle is None:
                return False
            ending = self._endings.begin(idle, is_claimed=True)
        return ending.wait(ROOM_WAIT.total_seconds())
