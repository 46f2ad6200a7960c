"""Which of our addresses a delivery leaves from.

Weighted rendezvous hashing: each address gets a score from the key and its own
text, and the best one wins. A delivery keeps its address over all its attempts,
which greylisting wants, until that address leaves the pool; an address that
comes or goes moves only the keys it gains or loses.

A ratio fixes an address's part of the load, as for one that is warming up; the
others share the rest evenly. A ratio of zero means never.
"""

import math
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Literal

from mta.config.zones import IPAddress, PoolAddress

_SPAN = float(2**64)


def choose_source(
    addresses: Sequence[PoolAddress], key: str, family: Literal[4, 6]
) -> PoolAddress | None:
    """Pick an address of this family, or None if the pool has none to give.

    Args:
        addresses: The pool. Shares are reckoned within the family.
        key: What should stick to one address: a delivery's id, or a sender.
    """
    best: PoolAddress | None = None
    best_score = math.inf
    for address, share in share_load(addresses, family):
        score = _score(key, address, share)
        if score < best_score:
            best, best_score = address, score
    return best


def leave_out(
    addresses: Sequence[PoolAddress], disabled: Collection[IPAddress]
) -> Sequence[PoolAddress]:
    """Drop from a pool what may not be used for some domain.

    What is left shares the load anew; a delivery whose address stays keeps it.
    """
    if not disabled:
        return addresses
    return [entry for entry in addresses if entry.address not in disabled]


def share_load(
    addresses: Sequence[PoolAddress], family: Literal[4, 6]
) -> list[tuple[PoolAddress, float]]:
    """List the family's addresses that take part, each with its share of 1."""
    pool = [address for address in addresses if address.address.version == family]
    rated = sum(address.ratio for address in pool if address.ratio is not None)
    plain = sum(1 for address in pool if address.ratio is None)
    rest = max(0.0, 1.0 - rated) / plain if plain else 0.0
    shares = [rest if a.ratio is None else a.ratio for a in pool]
    # Ratios that do not add up to 1, all of them given, still say how they
    # relate to each other.
    total = sum(shares)
    return [(a, share / total) for a, share in zip(pool, shares, strict=True) if share]


def _score(key: str, address: PoolAddress, share: float) -> float:
    # A draw from an exponential distribution whose rate is the share: of several
    # draws the smallest is each one's in proportion to its share.
    text = f"{key}\0{address.address}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(text, digest_size=8).digest())
    return -math.log((number + 0.5) / _SPAN) / share
