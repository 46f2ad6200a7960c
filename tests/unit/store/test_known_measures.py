"""What one process knows of the measures in force."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.errors import StoreUnavailable
from mta.policy.measures import Measure
from mta.store.known_measures import KnownMeasures

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_measure(site="b.test"):
    return Measure(
        action="suspend",
        site=site,
        since=NOW,
        until=NOW + timedelta(hours=1),
        cause="421 no",
        rule="r",
    )


class Store:
    """Has measures; their version is raised by hand."""

    def __init__(self):
        self.measures = [a_measure()]
        self.changes = 0
        self.is_away = False
        self.reads = 0

    def version(self):
        if self.is_away:
            raise StoreUnavailable("away")
        return self.changes

    def in_force(self, now):
        self.reads += 1
        return self.measures


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def known(store):
    return KnownMeasures(store, lambda: NOW)


def test_nothing_is_known_before_it_is_read(known):
    """Whoever asks reads first."""
    assert not known
    assert known.in_force(["b.test"], "") == []


def test_what_was_read_is_in_force(known, store):
    """At that place and at no other."""
    known.read()

    assert known
    assert known.in_force(["b.test"], "shop") == store.measures
    assert known.in_force(["c.test"], "shop") == []


def test_what_has_not_changed_is_not_read_again(known, store):
    """Each explanation asks, and each worker every second."""
    for _ in range(3):
        known.read()

    assert store.reads == 1


def test_what_has_changed_is_read(known, store):
    """Some measures come, others go."""
    known.read()
    store.measures, store.changes = [], 1

    known.read()

    assert not known


def test_while_mongodb_is_away_what_was_known_stays(known, store):
    """Mail to a suspended site must not go out because of that."""
    known.read()
    store.is_away = True

    known.read()

    assert known.in_force(["b.test"], "") == store.measures


def test_a_measure_is_known_before_it_is_read(known):
    """By the process that took it."""
    known.add(a_measure("c.test"))

    assert known.in_force(["c.test"], "") == [a_measure("c.test")]
