"""Who lives, by the database's clock."""

from datetime import timedelta

import pytest

from mta.store.mongo import Mongo
from mta.store.workers import Presence, Standing, Workers


@pytest.fixture
def workers(db: Mongo) -> Workers:
    return Workers(db)


@pytest.fixture
def beat(workers: Workers):
    def beat(owner: str, *zones: str, started: int = 0, busy: int = 0) -> Standing:
        return workers.beat(
            owner, zones=zones, host="h", pid=1, started=started, busy=busy
        )

    return beat


@pytest.fixture
def age(db: Mongo):
    """Make a worker's last beat older."""

    def age(owner: str, by: timedelta) -> None:
        ago = {"$subtract": ["$seen_at", int(by.total_seconds() * 1000)]}
        db.workers.update_one({"_id": owner}, [{"$set": {"seen_at": ago}}])

    return age


def test_ranks_are_by_name_zone_by_zone_and_over_all(beat):
    """All see the same order, whoever came first."""
    beat("c", "default", "bulk")
    beat("a", "default")
    beat("b", "bulk")

    seen = beat("c", "default", "bulk")

    assert seen.zones == {"default": Presence(1, 2), "bulk": Presence(1, 2)}
    assert seen.everyone == Presence(2, 3)
    assert beat("a", "default").zones == {"default": Presence(0, 2)}


def test_who_was_silent_for_45_seconds_is_given_up(beat, age, workers):
    """Its share goes to the others."""
    beat("a", "default")
    age("a", timedelta(seconds=44))
    before = beat("b", "default")
    age("a", timedelta(seconds=1))

    assert before.everyone == Presence(1, 2)
    assert beat("b", "default").is_alone
    assert [worker.owner for worker in workers.live()] == ["b"]


def test_who_leaves_is_gone_at_once(beat, workers):
    """A worker that ends in good order keeps no share."""
    beat("a", "default")
    beat("b", "default")

    workers.leave("a")

    assert beat("b", "default").is_alone


def test_a_live_worker_is_shown_with_what_it_said(beat, workers):
    """For the operator, and for the watchdog."""
    beat("a", "default", "bulk", started=7, busy=2)

    (worker,) = workers.live()

    assert (worker.owner, worker.host, worker.pid) == ("a", "h", 1)
    assert worker.zones == ("bulk", "default")
    assert (worker.started, worker.busy) == (7, 2)
    assert worker.since == worker.seen_at == worker.changed_at


def test_progress_is_seen_by_the_clock_of_the_database(beat, workers, db):
    """A worker that beats and begins nothing shows since when."""
    beat("a", "default", started=7)
    back = {"$subtract": ["$changed_at", 60_000]}
    db.workers.update_one({"_id": "a"}, [{"$set": {"changed_at": back}}])

    beat("a", "default", started=7)
    (stuck,) = workers.live()
    beat("a", "default", started=8)
    (moving,) = workers.live()

    assert stuck.seen_at - stuck.changed_at >= timedelta(seconds=59)
    assert moving.changed_at == moving.seen_at
    assert moving.since == stuck.since


def test_names_are_never_taken_for_expressions(beat, workers):
    """A zone called $started is a zone called $started."""
    beat("$pid", "$started")

    (worker,) = workers.live()

    assert (worker.owner, worker.zones) == ("$pid", ("$started",))
