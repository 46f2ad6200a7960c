"""When a changed limit is seen to hold: reckoned from what a sink noted.

All instants are of the monotonic clock, as in the sink's journal.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """A connection was opened or closed.

    Attributes:
        is_opening: Else it was closed.
        is_open: How many were open from then on.
        client: What the one who opened it called itself; "" if it never did.
    """

    at: float
    is_opening: bool
    is_open: int
    client: str


class Came(NamedTuple):
    """A message, and how long after the one before it; from whom."""

    at: float
    gap_s: float
    client: str


class Journal:
    """What the sink's journal says of each of its addresses.

    Attributes:
        steps: By the sink's address.
        came: Likewise.
    """

    def __init__(self, path: Path) -> None:
        lines = [line.split() for line in path.read_text().splitlines()]
        clients = {fields[2]: fields[3] for fields in lines if fields[0] == "E"}
        hosts = {fields[2]: fields[3] for fields in lines if fields[0] == "O"}
        self.steps: dict[str, list[Step]] = {host: [] for host in hosts.values()}
        self.came: dict[str, list[Came]] = {host: [] for host in hosts.values()}
        is_open = dict.fromkeys(self.steps, 0)
        for kind, when, number, *_ in lines:
            host, client, at = hosts[number], clients.get(number, ""), float(when)
            if kind in "OC":
                is_open[host] += 1 if kind == "O" else -1
                self.steps[host].append(Step(at, kind == "O", is_open[host], client))
            elif kind == "A":
                before = self.came[host][-1].at if self.came[host] else 0.0
                self.came[host].append(Came(at, at - before, client))


def last_over(steps: Iterable[Step], limit: int, since: float, until: float) -> float:
    """The last instant at which more than ``limit`` were open; ``since`` if none."""
    last, is_over = since, False
    for step in steps:
        if step.at > until:
            break
        if is_over:
            last = max(last, step.at)
        is_over = step.is_open > limit
    return until if is_over else last


def last_opened_over(
    steps: Iterable[Step], limit: int, since: float, until: float
) -> float:
    """When the last one was opened that was more than ``limit``; or ``since``."""
    openings = (s.at for s in steps if s.is_opening and s.is_open > limit)
    return max((at for at in openings if since <= at <= until), default=since)


def last_above(
    times: Sequence[float], per_second: float, late_s: float, since: float
) -> float:
    """Since when messages have come no faster than a rate; ``since`` if always.

    Of a rate that is kept, a time of ``w`` seconds has at most ``w * per_second + 1``
    messages, wherever it begins; if each may come up to ``late_s`` after its turn, as
    many as a time that is so much longer.
    """
    own = [at for at in times if at >= since]
    # From the end: the most that a later message says against the windows before it.
    most = float("-inf")
    for number in range(len(own) - 1, -1, -1):
        most = max(most, number + 1 - own[number] * per_second)
        if most - number + (own[number] - late_s) * per_second > 1:
            return own[number]
    return since


class Deed(NamedTuple):
    """What a client did; ``is_new``: the old limit would have forbidden it."""

    at: float
    client: str
    is_new: bool


def last_as_before(deeds: Iterable[Deed], since: float) -> float:
    """The last deed, of any client, that the old limit allowed before it did another.

    A client that did nothing had nothing to do. ``since`` if each began with a deed
    that only the new limit allows.
    """
    known: set[str] = set()
    last = since
    for deed in deeds:
        if deed.is_new:
            known.add(deed.client)
        elif deed.client not in known:
            last = max(last, deed.at)
    return last
