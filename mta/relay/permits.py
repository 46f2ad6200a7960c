"""The slots that sessions hold, and those who wait for them.

A permit is asked for before the dial and given back when the session is really
over. It can grow and shrink in between, when a session goes on to a delivery that
counts against other limits.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Protocol

from mta.policy.limits import Answer, Demand, Granted, Slot

log = logging.getLogger(__name__)

OnFree = Callable[[Sequence[str]], None]


class Limits(Protocol):
    """The part of the shared limits that is needed here; see ``mta.store.limits``."""

    def acquire(
        self,
        member: str,
        demand: Demand,
        *,
        has_turn: bool = False,
        drop: Sequence[str] = (),
        trouble: str = "",
    ) -> Answer: ...

    def release(self, member: str, keys: Sequence[str]) -> list[str]: ...

    def is_wanted(self, key: str) -> bool: ...

    def note_trouble(self, key: str, text: str, ttl: timedelta) -> None: ...

    def clear_trouble(self, key: str) -> None: ...


@dataclass(eq=False, slots=True)
class Permit:
    """The slots of one session, or of one that is about to be.

    Attributes:
        member: Names the session in the shared limits.
        slots: None before it is granted and after it is given back.
    """

    issuer: "Permits"
    member: str
    slots: tuple[Slot, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The limits it counts against."""
        return tuple(slot.key for slot in self.slots)

    def covers(self, demand: Demand) -> bool:
        """The slots are those demanded, and no others."""
        return set(self.keys) == {slot.key for slot in demand.slots}

    def hand_over(self) -> "Permit":
        """Move the slots to a permit of their own; this one is as good as new."""
        taken = Permit(self.issuer, self.member, self.slots)
        fresh = self.issuer.new()
        self.member, self.slots = fresh.member, ()
        return taken

    def release(self) -> None:
        """Give the slots back; doing it again changes nothing."""
        slots, self.slots = self.slots, ()
        if slots:
            self.issuer.give_back(self.member, [slot.key for slot in slots])


class Permits:
    """Asks the shared limits on behalf of this process's sessions.

    Args:
        on_free: Told of limits that have a slot again and are waited for.
    """

    def __init__(self, limits: Limits, on_free: OnFree) -> None:
        self._limits = limits
        self._on_free = on_free
        self._name = secrets.token_hex(8)
        self._numbers = count(1)

    def new(self) -> Permit:
        """A permit for nothing yet."""
        return Permit(self, f"{self._name}.{next(self._numbers)}")

    def ask(
        self, permit: Permit, demand: Demand, *, has_turn: bool, trouble: str
    ) -> Answer:
        """Exchange the permit's slots for those of ``demand``, or leave them be.

        Args:
            trouble: A destination's key, to hear of trouble with it instead.
        """
        held, wanted = permit.slots, {slot.key for slot in demand.slots}
        drop = [slot.key for slot in held if slot.key not in wanted]
        # If this is cut short nobody knows what was granted: all of it goes back.
        permit.slots = tuple(dict.fromkeys((*held, *demand.slots)))
        answer = self._limits.acquire(
            permit.member, demand, has_turn=has_turn, drop=drop, trouble=trouble
        )
        if not isinstance(answer, Granted):
            permit.slots = held
            return answer
        permit.slots = demand.slots
        self._tell(answer.freed)
        return answer

    def is_in_the_way(self, keys: Sequence[str]) -> bool:
        """An idle session with these slots keeps another delivery waiting."""
        return any(self._limits.is_wanted(key) for key in keys)

    def has_next(self, keys: Sequence[str]) -> bool:
        """Another delivery waits for the very domain of a session with these slots."""
        return any(key[:7] == "domain:" and self._limits.is_wanted(key) for key in keys)

    def give_back(self, member: str, keys: Sequence[str]) -> None:
        """Release slots, and tell of those that are waited for.

        Never fails: what it could fail with is not the fault of the message that
        was sent. A slot that is not given back runs out.
        """
        try:
            freed = self._limits.release(member, keys)
        except Exception:
            log.exception("slots not released keys=%s", " ".join(keys))
            return
        self._tell(freed)

    def _tell(self, freed: Sequence[str]) -> None:
        if not freed:
            return
        try:
            self._on_free(freed)
        except Exception:
            log.exception("freed slots not handed on keys=%s", " ".join(freed))
