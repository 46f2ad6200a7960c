"""Measures: taken once, prolonged, counted, pinned and cleared."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.config.zones import Rate
from mta.policy.measures import Measure
from mta.store.measures import Measures

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def measures(db):
    return Measures(db)


def a_measure(since=NOW, **changes):
    fields = {
        "action": "rest",
        "site": "mx.b.test",
        "source": "192.0.2.10",
        "since": since,
        "until": since + HOUR,
        "cause": "421 no",
        "rule": "blacklist",
    }
    return Measure(**{**fields, **changes})


def test_a_measure_comes_back_as_it_was_taken(measures):
    slow = a_measure(action="slow", rate=Rate(5, MINUTE), max_connections=2, tenant="t")

    assert measures.take(slow) == slow
    assert measures.in_force(NOW) == [slow]
    assert measures.get(slow.id) == slow


def test_text_from_outside_is_no_expression(measures):
    hostile = a_measure(cause="$until", site="$since", tenant="$$ROOT")

    assert measures.take(hostile) == hostile


def test_the_same_again_prolongs_it_and_is_counted(measures):
    measures.take(a_measure())
    again = a_measure(since=NOW + MINUTE, cause="421 still no")

    taken = measures.take(again)

    assert (taken.since, taken.until) == (NOW, again.until)
    assert (taken.hits, taken.cause) == (2, "421 still no")


def test_a_shorter_one_does_not_shorten_it(measures):
    measures.take(a_measure())

    taken = measures.take(a_measure(until=NOW + MINUTE))

    assert taken.until == NOW + HOUR


def test_one_that_is_over_begins_anew(measures):
    measures.take(a_measure())
    later = a_measure(since=NOW + 2 * HOUR)

    taken = measures.take(later)

    assert (taken.since, taken.hits) == (later.since, 1)


def test_what_is_over_is_not_in_force(measures):
    measures.take(a_measure())

    assert measures.in_force(NOW + HOUR) == []


def test_a_pinned_one_holds_until_it_is_unpinned(measures, db):
    measure = measures.take(a_measure())
    measures.pin(measure.id, is_pinned=True)
    pinned = measures.take(a_measure(since=NOW + MINUTE))

    assert measures.in_force(NOW + 100 * HOUR) == [pinned]
    assert "expires_at" not in db.measures.find_one()

    measures.pin(measure.id, is_pinned=False)

    assert measures.in_force(NOW + 100 * HOUR) == []
    assert "expires_at" in db.measures.find_one()


def test_one_that_is_cleared_holds_no_more(measures):
    measure = measures.take(a_measure())

    assert measures.clear(measure.id) == measure
    assert measures.in_force(NOW) == []
    assert measures.clear(measure.id) is None
    assert measures.pin(measure.id, is_pinned=True) is None


def test_a_rule_that_counts_waits_for_its_number_within_its_period(measures):
    rate = Rate(3, HOUR)

    early = [measures.count("r", rate, NOW + n * MINUTE) for n in range(2)]
    too_late = measures.count("r", rate, NOW + HOUR)
    in_time = measures.count("r", rate, NOW + HOUR)

    assert (early, too_late, in_time) == ([False, False], False, True)
