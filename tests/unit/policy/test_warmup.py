"""How much an address may send on each day of its warm-up."""

from datetime import date, timedelta

import pytest

from mta.config.warmup import built_in_plans
from mta.config.zones import WarmUp, WarmupPlan
from mta.policy.warmup import DayStats, is_held, ration_of, warm_from

START = date(2026, 3, 1)
DAY = timedelta(days=1)
WARMUP = WarmUp(started=START)


def a_plan(*daily, **changes):
    return WarmupPlan(name="p", daily=daily or (10, 20, 40), **changes)


def a_ration(days, history=None, plan=None):
    return ration_of(WARMUP, plan or a_plan(), START + days * DAY, history or {})


@pytest.mark.parametrize(("days", "per_day"), [(0, 10), (1, 20), (2, 40), (-5, 10)])
def test_each_day_has_its_step_of_the_plan(days, per_day):
    assert a_ration(days).per_day == per_day


def test_after_the_last_step_it_is_warm():
    assert a_ration(3) is None


def test_a_day_on_which_too_much_was_deferred_is_repeated():
    history = {START: DayStats(sent=90, deferred=10)}

    tomorrow, day_after = a_ration(1, history), a_ration(2, history)

    assert (tomorrow.step, tomorrow.per_day, tomorrow.held) == (1, 10, 1)
    assert day_after.step == 2
    assert a_ration(3, history) is not None


@pytest.mark.parametrize(
    ("day", "held"),
    [
        (DayStats(95, 5), False),
        (DayStats(94, 6), True),
        (DayStats(0, 19), False),
        (DayStats(0, 20), True),
        (DayStats(), False),
    ],
)
def test_a_day_is_held_above_the_bound_if_it_had_enough_mail(day, held):
    assert is_held(a_plan(), day) is held


@pytest.mark.parametrize(
    ("hourly", "per_hour"), [(0.125, 13), (0.0, 1), (1.0, 100), (0.001, 1)]
)
def test_an_hour_has_its_part_of_the_day_and_one_message_at_least(hourly, per_hour):
    plan = a_plan(100, hourly=hourly)

    assert a_ration(0, plan=plan).per_hour == per_hour


def test_the_day_on_which_it_will_be_warm_follows_from_the_step():
    today = START + DAY

    assert warm_from(a_ration(1), today) == START + 3 * DAY


def test_the_plan_that_is_there_climbs_without_a_pause():
    daily = built_in_plans()["default"].daily

    assert list(daily) == sorted(set(daily))
    assert len(daily) == 28
