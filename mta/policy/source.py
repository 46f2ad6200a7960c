"""Which of our addresses a delivery leaves from, and why not from another.

Weighted rendezvous hashing: each address gets a score from the key and its own
text, and the best one wins. A delivery keeps its address over all its attempts,
which greylisting wants, until that address leaves the pool; an address that
comes or goes moves only the keys it gains or loses.

A ratio fixes an address's part of the load, as for one that is warming up; the
others share the rest evenly. They compete as one: should one of them go, the rest
of them take over what it had, and nothing moves to or from an address with a ratio.

A ratio of zero means never. Ratios that add up to 1 or more leave nothing to the
addresses without one. Ratios that do not add up to 1, with nobody to take the rest,
still say how the addresses relate to each other.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Literal

from mta.config.zones import IPAddress, PoolAddress

_SPAN = float(2**64)
_DIGITS = 9  # of a share: ratios that add up to 1 may fall short of it by a hair
_NONE: Mapping[IPAddress, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """The address that was picked, and what became of the others.

    Attributes:
        address: None if the pool has none to give.
        shares: Those that took part, each with its share of 1.
        passed_over: Those that did not, each with its cause.
    """

    address: PoolAddress | None
    shares: tuple[tuple[PoolAddress, float], ...]
    passed_over: tuple[tuple[PoolAddress, str], ...]


def choose_source(
    addresses: Sequence[PoolAddress],
    key: str,
    family: Literal[4, 6],
    barred: Mapping[IPAddress, str] = _NONE,
    passed: Mapping[IPAddress, str] = _NONE,
) -> SourceChoice:
    """Pick an address of this family.

    Args:
        addresses: The pool. Shares are reckoned within the family, without those
            that are barred.
        key: What should stick to one address: a delivery's id, or a sender.
        barred: Addresses that may not be used now, each with its cause.
        passed: Addresses that keep their shares, and that this key passes over, each
            with its cause. What would have been theirs goes to those without a ratio:
            nothing else moves.
    """
    taking_part: list[PoolAddress] = []
    passed_over: list[tuple[PoolAddress, str]] = []
    for entry in addresses:
        cause = _cause(entry, family, barred)
        if cause:
            passed_over.append((entry, cause))
        else:
            taking_part.append(entry)
    shares = share_load(taking_part)
    picked = _pick(shares, key)
    if picked is not None and picked.address in passed:
        passed_over += [
            (e, passed[e.address]) for e, _ in shares if e.address in passed
        ]
        picked = _pick(_stand_ins(shares, passed), key)
    return SourceChoice(picked, tuple(shares), tuple(passed_over))


def share_load(addresses: Sequence[PoolAddress]) -> list[tuple[PoolAddress, float]]:
    """Give each address that has one its share of 1."""
    rated = math.fsum(a.ratio for a in addresses if a.ratio is not None)
    plain = sum(1 for a in addresses if a.ratio is None)
    rest = max(0.0, round(1.0 - rated, _DIGITS)) / plain if plain else 0.0
    shares = [rest if a.ratio is None else a.ratio for a in addresses]
    total = math.fsum(shares) or 1.0
    parts = [share / total for share in shares]
    return [(a, part) for a, part in zip(addresses, parts, strict=True) if part]


def _cause(
    entry: PoolAddress, family: Literal[4, 6], barred: Mapping[IPAddress, str]
) -> str:
    """Why an address does not take part; empty if it does."""
    if entry.address.version != family:
        return f"the target has IPv{family}"
    if entry.ratio == 0:
        return "its ratio is 0"
    return barred.get(entry.address, "")


def _stand_ins(
    shares: Sequence[tuple[PoolAddress, float]], passed: Mapping[IPAddress, str]
) -> Sequence[tuple[PoolAddress, float]]:
    """Those that take over what others cannot: without a ratio, if there are any."""
    left = [entry for entry, _ in shares if entry.address not in passed]
    plain = [entry for entry in left if entry.ratio is None]
    return share_load(plain or left)


def _pick(shares: Sequence[tuple[PoolAddress, float]], key: str) -> PoolAddress | None:
    """Draw among the addresses with ratios and the group of those without."""
    rated = [(a, share) for a, share in shares if a.ratio is not None]
    plain = [(a, share) for a, share in shares if a.ratio is None]
    if not rated or not plain:
        return _draw(key, shares)
    group = (None, math.fsum(share for _, share in plain))
    return _draw(key, [*rated, group]) or _draw(key, plain)


def _draw(
    key: str, entries: Iterable[tuple[PoolAddress | None, float]]
) -> PoolAddress | None:
    best: PoolAddress | None = None
    best_score = math.inf
    for entry, share in entries:
        score = _score(key, str(entry.address) if entry else "", share)
        if score < best_score:
            best, best_score = entry, score
    return best


def _score(key: str, name: str, share: float) -> float:
    # A draw from an exponential distribution whose rate is the share: of several
    # draws the smallest is each one's in proportion to its share.
    text = f"{key}\0{name}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(blake2b(text, digest_size=8).digest())
    return -math.log((number + 0.5) / _SPAN) / share
