"""The database's clock, on a machine whose own one is wrong."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from mta.errors import StoreUnavailable
from mta.store.clock import DatabaseClock
from mta.store.mongo import connect

HOUR = timedelta(hours=1)
A_LITTLE = timedelta(seconds=5)


def an_hour_ahead():
    return datetime.now(UTC) + HOUR


def test_the_databases_time_counts_on_a_machine_that_is_wrong(db):
    """Retries and lifetimes are the same on every host."""
    clock = DatabaseClock(db, wall=an_hour_ahead, monotonic=time.monotonic)

    before = clock.now()
    clock.adjust()
    after = clock.now()

    assert before - datetime.now(UTC) > HOUR - A_LITTLE
    assert abs(after - datetime.now(UTC)) < A_LITTLE


def test_a_jump_of_the_machines_clock_changes_nothing(db):
    """Between two looks at the database, time only goes by."""
    wall = [datetime.now(UTC)]
    clock = DatabaseClock(db, wall=lambda: wall[0], monotonic=time.monotonic)
    clock.adjust()

    wall[0] += HOUR

    assert abs(clock.now() - datetime.now(UTC)) < A_LITTLE


def test_time_goes_by_without_the_database():
    """A database that is away stops no clock."""
    away = connect("mongodb://127.0.0.1:1/mta?serverSelectionTimeoutMS=50", name="test")
    seconds = [100.0]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = DatabaseClock(away, wall=lambda: start, monotonic=lambda: seconds[0])

    with pytest.raises(StoreUnavailable):
        clock.adjust()
    seconds[0] += 7

    assert clock.now() == start + timedelta(seconds=7)
    away.client.close()


def test_the_time_is_in_whole_milliseconds(db):
    """What we hold and what we read back from the database must be equal."""
    clock = DatabaseClock(db, wall=an_hour_ahead, monotonic=time.monotonic)
    clock.adjust()

    assert clock.now().microsecond % 1000 == 0
