"""Addresses of a pool, and how much of the mail each has to carry.

Reckoned from what the reference says of shares, not with the code that keeps to it.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

DEVIATIONS = 5.0  # standard ones, until chance is no excuse


class Address(NamedTuple):
    """One of the pool: its part of the load, and its cap if it warms up."""

    address: str
    ratio: float | None = None
    cap: int | None = None


def wanted_shares(pool: Sequence[Address], absent: Collection[str]) -> dict[str, float]:
    """What each has to carry: its ratio, or an even part of what ratios leave."""
    present = [one for one in pool if one.address not in absent]
    rated = math.fsum(one.ratio for one in present if one.ratio is not None)
    plain = sum(one.ratio is None for one in present)
    shares = {
        one.address: (1 - rated) / plain if one.ratio is None else one.ratio
        for one in present
    }
    return {one.address: shares.get(one.address, 0.0) for one in pool}


class Stretch(NamedTuple):
    """A time during which the shares were the same."""

    name: str
    wanted: Mapping[str, float]
    seen: Counter[str]

    @property
    def total(self) -> int:
        return self.seen.total()

    def share(self, address: str) -> float:
        return self.seen[address] / max(1, self.total)

    def is_right(self, address: str) -> bool:
        """The share is the one wanted, as far as chance allows."""
        wanted = self.wanted[address]
        spread = math.sqrt(wanted * (1 - wanted) / max(1, self.total))
        return abs(self.share(address) - wanted) <= DEVIATIONS * spread
