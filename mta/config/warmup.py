"""How an address that is new to the world gets more to send, day by day."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from mta.config.base import Frozen
from mta.config.fields import Ratio, whole

MAX_PER_DAY = 100_000_000
DEFAULT_PLAN = "default"


def _date(value: object) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError("is not a date, such as 2026-03-01") from error


class WarmUp(Frozen):
    """An address that is warming up.

    Attributes:
        started: Its first day, in UTC.
        plan: One of ``warmup``.
    """

    started: Annotated[date, PlainValidator(_date)]
    plan: str = DEFAULT_PLAN


class WarmupPlan(Frozen):
    """What an address may send to one provider, by the day of its warm-up.

    Attributes:
        name: Its key in ``warmup``.
        daily: Messages on the first, second, ... day; after the last it is warm.
        hourly: Part of the day's messages that one hour may have.
        overflow: What becomes of the rest: the ``next`` address of the pool has it,
            or it must ``wait``.
        hold_above: A day of which more than this part was deferred is repeated.
        hold_from: A day with fewer messages says nothing about that.
    """

    derived = frozenset({"name"})

    name: str
    daily: Annotated[
        tuple[Annotated[int, whole(1, MAX_PER_DAY)], ...],
        Field(min_length=1, max_length=366),
    ]
    hourly: Ratio = 0.125
    overflow: Literal["next", "wait"] = "next"
    hold_above: Ratio = 0.05
    hold_from: Annotated[int, whole(1, MAX_PER_DAY)] = 20


_HUNDREDS = (50, 100, 200, 400, 700, 1000, 1500, 2000, 3000, 4000, 5500, 7500)
_THOUSANDS = (10, 13, 17, 22, 28, 35, 45, 60, 80, 100, 130, 170, 220, 280, 350, 450)


def built_in_plans() -> Mapping[str, WarmupPlan]:
    """What there is unless the file has plans of the same names: four weeks."""
    daily = (*_HUNDREDS, *(1000 * count for count in _THOUSANDS))
    return MappingProxyType({DEFAULT_PLAN: WarmupPlan(name=DEFAULT_PLAN, daily=daily)})
