"""Who gets what is scarce: shares among tenants, by weight.

The rule is weighted max-min fairness. Nobody gets more than he asks for; what one
leaves is lent to the others, so nothing is wasted; and of two who both want more, the
one with twice the weight gets twice as much. The transactional lanes have together at
least ``floor`` of what there is, if they want it.

A lane is a class of priority and a tenant (``mta.delivery.lane_of``). A tenant's
weight holds in each of his lanes.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import floor as whole
from typing import TypeAlias, TypeVar

from mta.delivery import TRANSACTIONAL_LANE

# Celery messages of one zone in the broker at once: Redis stays small, a flush costs
# seconds, and priorities still work. The rest waits in MongoDB.
HIGH_WATER = 5_000
# A backlog keeps so many there, however slowly they are taken: ten for each connection
# of the zone, within these. More, and mail that comes later would wait behind them.
LEAST_LOW_WATER, LOW_WATER = 30, 500
_PER_CONNECTION = 10
# Acceptance rings by itself only while fewer than this part of that wait in the list
# of their class. Both classes together: less than what a second leaves of three
# seconds' worth (two thirds), or who submits without pause would keep the scheduler
# from ringing for anybody else.
_DIRECT_PART = 0.3

Weights: TypeAlias = Callable[[str], int]  # by tenant
T = TypeVar("T")

# Steps of the golden ratio fall evenly into 0..1, however many there are of them.
_GOLDEN, _UNIT = 0x9E3779B9, 2**32


def low_water(connections: int) -> int:
    """How many doorbells of a backlog wait in the broker at least.

    Args:
        connections: Of the zone.
    """
    return min(LOW_WATER, max(LEAST_LOW_WATER, _PER_CONNECTION * connections))


def direct_water(connections: int) -> int:
    """How many may wait there, of one class, when acceptance still rings itself."""
    return int(low_water(connections) * _DIRECT_PART)


def share_out(
    room: int,
    lanes: Mapping[str, int | None],
    *,
    weight_of: Weights,
    floor: float,
    offset: int,
) -> dict[str, int]:
    """Share ``room`` places among lanes.

    What does not come out even goes to different lanes at different offsets: over
    consecutive ones, every lane gets its exact share on average.

    Args:
        lanes: How many places each wants; None: as many as it can get.
        floor: The transactional lanes' part, 0 to 1.
        offset: Counts the calls.

    Returns:
        Places per lane, for every lane; together ``room``, or all that are wanted.
    """
    room = max(0, room)
    wanted = {
        lane: room if most is None else min(most, room)
        for lane, most in sorted(lanes.items())
    }
    weights = {lane: weight_of(_tenant(lane)) for lane in wanted}
    shares = _fill(Fraction(room), wanted, weights)
    first = {lane: most for lane, most in wanted.items() if _is_first(lane)}
    due = Fraction(floor).limit_denominator(1000) * room
    least = min(Fraction(sum(first.values())), due)
    if sum(shares[lane] for lane in first) < least:
        rest = {lane: most for lane, most in wanted.items() if lane not in first}
        shares = _fill(least, first, weights) | _fill(room - least, rest, weights)
    return _round(shares, Fraction(offset * _GOLDEN % _UNIT, _UNIT))


def choose_lane(
    lanes: Sequence[str], *, weight_of: Weights, floor: float, draw: float
) -> str:
    """Choose whose turn it is when one place gets free: a lottery by weight.

    Args:
        lanes: Those that want the place; at least one.
        floor: The transactional lanes' chance together, if it is not higher anyway.
        draw: Evenly distributed, from 0 to below 1.
    """
    weights = {lane: weight_of(_tenant(lane)) for lane in lanes}
    total = sum(weights.values())
    first = sum(weight for lane, weight in weights.items() if _is_first(lane))
    chance = first / total
    if 0 < first < total:
        chance = max(chance, floor)
    chosen = lanes[0]
    for lane, weight in weights.items():
        share = chance / first if _is_first(lane) else (1 - chance) / (total - first)
        if share:  # rounding must not end in a lane without a chance
            chosen = lane
        draw -= weight * share
        if draw < 0:
            break
    return chosen


def interleave(lanes: Mapping[str, Sequence[T]]) -> list[T]:
    """One list of all, each lane's spread evenly: nobody is behind all of another's."""
    spread = [
        (number / len(items), lane, number, item)
        for lane, items in lanes.items()
        for number, item in enumerate(items)
    ]
    return [item for *_, item in sorted(spread, key=lambda entry: entry[:3])]


def _fill(
    room: Fraction, wanted: Mapping[str, int], weights: Mapping[str, int]
) -> dict[str, Fraction]:
    """Exact shares: like water that rises in all of them alike."""
    left, weight_left = room, sum(weights[lane] for lane in wanted)
    shares = {}
    for lane in sorted(wanted, key=lambda lane: wanted[lane] / weights[lane]):
        # Who wants least for his weight is full first, and leaves the others more.
        level = left / weight_left
        shares[lane] = min(Fraction(wanted[lane]), weights[lane] * level)
        left -= shares[lane]
        weight_left -= weights[lane]
    return shares


def _round(shares: Mapping[str, Fraction], start: Fraction) -> dict[str, int]:
    """Whole numbers with the same sum, each less than one from its share.

    The shares lie end to end on a line, whose whole numbers are the places: which
    ones fall to whom depends on where the line starts.
    """
    places = {}
    here = start
    for lane in sorted(shares):
        there = here + shares[lane]
        places[lane] = whole(there) - whole(here)
        here = there
    return places


def _is_first(lane: str) -> bool:
    return lane.startswith(TRANSACTIONAL_LANE)


def _tenant(lane: str) -> str:
    return lane.partition(":")[2]
