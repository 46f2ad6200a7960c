"""How fast the workers of a zone take doorbells, and how many should lie ready.

Too few, and they run dry before the next tick; too many, and mail that comes later
waits behind a long list, whosever turn it is. So the list holds what is taken in
three seconds.
"""

import math

from mta.policy.fairness import HIGH_WATER

AHEAD_S = 3.0  # must exceed the time between two ticks, with some to spare
# A list of which less than this part is left may have been empty meanwhile.
_DRY_PART = 0.1
# What was measured this long ago says half as much; alone, it says nothing any more.
_WORTH_S = 60.0


class Drain:
    """The estimate for one zone, from the list's length at each tick."""

    def __init__(self) -> None:
        self.rate = 0.0  # doorbells a second
        self._left = 0
        self._at_s = float("-inf")

    def target(self, depth: int, at_s: float, *, low: int) -> int:
        """How many doorbells should lie ready; ``depth`` is how many do.

        At least ``low``, however slowly they are taken.

        A list that ran dry tells only the least that its workers can do, so the
        estimate grows at once, by as much as was seen: from the shortest list to the
        longest in a few ticks. Otherwise it follows in the course of ``AHEAD_S``.
        """
        elapsed_s = at_s - self._at_s
        if elapsed_s > _WORTH_S:
            self.rate = 0.0
        elif elapsed_s > 0 and depth <= self._left:  # else others rang: nothing is seen
            seen = (self._left - depth) / elapsed_s
            if depth <= self._left * _DRY_PART:
                self.rate = max(self.rate * 0.5 ** (elapsed_s / _WORTH_S), seen)
            else:
                self.rate += (seen - self.rate) * min(1.0, elapsed_s / AHEAD_S)
        return max(low, min(HIGH_WATER, math.ceil(self.rate * AHEAD_S)))

    def note(self, depth: int, at_s: float) -> None:
        """Remember how many lie ready now, after ringing."""
        self._left, self._at_s = depth, at_s
