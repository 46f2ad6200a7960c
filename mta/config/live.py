"""The configuration in force, and what is worked out from it.

Configurations stay frozen; what changes is which of them is in force. Whoever does a
piece of work reads ``current`` once, when it begins, so that all of that piece is done
by one configuration.
"""

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")
D = TypeVar("D")


class Live(Generic[T]):
    """A value that may be replaced while others work by it.

    Attributes:
        current: The value in force. Only ``replace`` sets it.
    """

    def __init__(self, value: T) -> None:
        self.current = value
        self._plans: list[Callable[[T], list[Callable[[], None]]]] = []

    def derive(self, make: Callable[[T], D]) -> "Live[D]":
        """What ``make`` makes of the value, whichever is in force."""
        derived = Live(make(self.current))
        self._plans.append(lambda value: derived._plan(make(value)))
        return derived

    def replace(self, value: T) -> None:
        """Put another value in force, and all that is derived from it.

        Everything is made first and put in place afterwards: should something that
        is derived raise, nothing has changed.
        """
        for put in self._plan(value):
            put()

    def _plan(self, value: T) -> list[Callable[[], None]]:
        steps = [step for plan in self._plans for step in plan(value)]
        return [*steps, partial(setattr, self, "current", value)]
