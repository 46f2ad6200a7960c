"""How much an address that is warming up may send to a provider today.

Its plan has a number for each day. A day climbs one step, unless too much of its mail
was deferred: then the next day has the same number. After the last step it is warm.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from mta.config.zones import WarmUp, WarmupPlan


class DayStats(NamedTuple):
    """What an address did for a provider on one day of UTC."""

    sent: int = 0
    deferred: int = 0


@dataclass(frozen=True, slots=True)
class Ration:
    """What it may send in this day and in each of its hours.

    Attributes:
        step: Of the plan, from 1.
        held: Days so far that were repeated.
    """

    step: int
    steps: int
    per_day: int
    per_hour: int
    held: int


def ration_of(
    warmup: WarmUp, plan: WarmupPlan, today: date, history: Mapping[date, DayStats]
) -> Ration | None:
    """What an address may send today; None: as much as it likes.

    Args:
        history: Earlier days on which there was mail; others climb as well.
    """
    # If its first day is still to come, it begins like that.
    days = max(0, (today - warmup.started).days)
    held = sum(
        is_held(plan, history.get(warmup.started + timedelta(days=n), DayStats()))
        for n in range(days)
    )
    step = days - held + 1
    if step > len(plan.daily):
        return None
    per_day = plan.daily[step - 1]
    per_hour = min(per_day, max(1, math.ceil(per_day * plan.hourly)))
    return Ration(step, len(plan.daily), per_day, per_hour, held)


def is_held(plan: WarmupPlan, day: DayStats) -> bool:
    """Whether a day is to be repeated."""
    if day.sent + day.deferred < plan.hold_from:
        return False
    return day.deferred > plan.hold_above * (day.sent + day.deferred)


def warm_from(ration: Ration, today: date) -> date:
    """The day on which it will be warm, if no more days are repeated."""
    return today + timedelta(days=ration.steps - ration.step + 1)
