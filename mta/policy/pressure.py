"""When to take no more mail for now, why, and what clients hear then.

There are three bounds, and each alone is enough. A strain begins above its bound and
ends a tenth below it, so that the doors do not swing with every measurement. What is
not known is no reason for anything.

RFC 5321 §4.3.2 (MAIL may be answered 451 and 452), RFC 3463 §3.4 (X.3.0, X.3.1).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from mta.config.zones import PressureConfig
from mta.reply import Reply, make_reply

EASED: Final = 0.9  # of its bound, below which a strain is over

_LEAST_MEMORY: Final = 1e-9  # a part of nothing


class Strain(StrEnum):
    """What there is too much, or too little, of."""

    DATABASE = "database"
    MEMORY = "memory"
    QUEUE = "queue"


# The gravest first: it is the one that clients hear of.
REFUSALS: Final[Mapping[Strain, Reply]] = {
    Strain.DATABASE: make_reply(451, "4.3.0", "The message store is slow, try later"),
    Strain.MEMORY: make_reply(452, "4.3.1", "Out of memory for now, try later"),
    Strain.QUEUE: make_reply(452, "4.3.1", "Too much mail is waiting, try later"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What was measured last; None: nobody knows.

    Attributes:
        waiting: Deliveries that wait, in the whole queue.
        free_memory: As a part of all there is.
        latency: Of a write to MongoDB that a majority has in its journal.
    """

    waiting: int | None = None
    free_memory: float | None = None
    latency: timedelta | None = None


def judge(
    vitals: Vitals, limits: PressureConfig, was: Collection[Strain]
) -> frozenset[Strain]:
    """Find what keeps us from taking mail.

    Args:
        was: What was found the last time.
    """
    return frozenset(
        strain
        for strain, load, _ in _weigh(vitals, limits)
        if load > 1 or (strain in was and load >= EASED)
    )


def choose_refusal(strains: Collection[Strain]) -> Reply | None:
    """What a client hears that has a message for us; None: it is welcome."""
    return next((REFUSALS[strain] for strain in REFUSALS if strain in strains), None)


def explain(vitals: Vitals, limits: PressureConfig) -> dict[Strain, str]:
    """What was measured and what is allowed, for the operator alone."""
    return {strain: text for strain, _, text in _weigh(vitals, limits)}


def _weigh(
    vitals: Vitals, limits: PressureConfig
) -> Iterator[tuple[Strain, float, str]]:
    """How much of each bound is used, 1 being all of it, and the figures."""
    if vitals.latency is not None:
        took_s = vitals.latency.total_seconds()
        most_s = limits.max_latency.total_seconds()
        text = f"a write takes {took_s:.3g} s; {most_s:g} s are allowed"
        yield Strain.DATABASE, took_s / most_s, text
    if vitals.free_memory is not None:
        free, least = vitals.free_memory, limits.min_memory
        text = f"{free:.1%} of the memory is free; {least:.1%} has to be"
        yield Strain.MEMORY, least / max(free, _LEAST_MEMORY), text
    if vitals.waiting is not None:
        waiting, most = vitals.waiting, limits.max_waiting
        text = f"{waiting} deliveries wait; {most} are allowed"
        yield Strain.QUEUE, waiting / most, text
