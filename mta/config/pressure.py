"""When the doors take no more mail for now."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator

from mta.config.base import SECOND, Frozen
from mta.config.fields import Ratio, lasting, whole

__all__ = ["PressureConfig"]

MOST_MEMORY = 0.5  # of what has to be free; more, and no mail would come in
_MILLISECOND = timedelta(milliseconds=1)


def _leaves_some(part: float) -> float:
    if part > MOST_MEMORY:
        raise ValueError(f"is out of range; it must be from 0% to {MOST_MEMORY:.0%}")
    return part


class PressureConfig(Frozen):
    """What there may be before new mail has to come later; each alone is enough.

    Attributes:
        max_waiting: Deliveries that wait, in the whole queue.
        max_latency: Of a write to MongoDB that a majority has in its journal. Less
            than the 20 s after which every operation is given up.
        min_memory: Part of the machine's memory, or of the control group's, that has
            to be free; 0: none.
    """

    max_waiting: Annotated[int, whole(1, 1_000_000_000)] = 5_000_000
    max_latency: Annotated[timedelta, lasting(_MILLISECOND, 10 * SECOND)] = 2 * SECOND
    min_memory: Annotated[Ratio, AfterValidator(_leaves_some)] = 0.05
