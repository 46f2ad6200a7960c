"""The queue's depth, told by one and asked by all, by the database's clock."""

import threading
from datetime import timedelta

import pytest

from mta.errors import StoreUnavailable
from mta.store.mongo import Mongo, connect
from mta.store.vitals import GRACE, QueueVitals

SOON = timedelta(seconds=15)
PATIENCE = timedelta(seconds=5)


@pytest.fixture
def vitals(db: Mongo) -> QueueVitals:
    return QueueVitals(db)


@pytest.fixture
def age(db: Mongo):
    """Make the count older."""

    def age(by: timedelta) -> None:
        ago = {"$subtract": ["$holds_until", int(by.total_seconds() * 1000)]}
        db.vitals.update_one({}, [{"$set": {"holds_until": ago}}])

    return age


@pytest.fixture
def locked(db: Mongo):
    """The database takes no writes meanwhile."""
    db.client.admin.command("fsync", lock=True)
    yield
    db.client.admin.command("fsyncUnlock")


def test_a_door_learns_what_the_scheduler_counted(vitals):
    """And for how long that says something."""
    vitals.tell(7, again_in=SOON)

    depth = vitals.ask(patience=PATIENCE)

    assert depth.waiting == 7
    assert SOON < depth.holds <= SOON + GRACE


def test_the_last_count_is_the_one(vitals):
    """There is one document, whoever wrote it first."""
    vitals.ask(patience=PATIENCE)
    vitals.tell(7, again_in=SOON)
    vitals.tell(0, again_in=SOON)

    assert vitals.ask(patience=PATIENCE).waiting == 0


def test_nobody_knows_before_somebody_has_counted(vitals):
    """A door may be there before any scheduler."""
    first, second = (vitals.ask(patience=PATIENCE) for _ in range(2))

    assert (first, second) == (None, None)


def test_a_count_that_is_overdue_by_two_minutes_says_nothing(vitals, age):
    """Without a scheduler, a queue that was long once would keep all mail out."""
    vitals.tell(7, again_in=SOON)
    age(SOON + GRACE - timedelta(seconds=10))
    before = vitals.ask(patience=PATIENCE)
    age(timedelta(seconds=10))

    assert before.waiting == 7
    assert vitals.ask(patience=PATIENCE) is None


def test_a_count_of_a_long_queue_holds_until_the_next_one(vitals, age):
    """It takes long, so it is done seldom."""
    vitals.tell(7, again_in=timedelta(hours=1))
    age(timedelta(hours=1))

    assert vitals.ask(patience=PATIENCE).waiting == 7


def test_all_doors_may_ask_at_once(vitals):
    """The first of them makes the document, and the others do not mind."""
    answers = []
    doors = [
        threading.Thread(target=lambda: answers.append(vitals.ask(patience=PATIENCE)))
        for _ in range(20)
    ]

    for door in doors:
        door.start()
    for door in doors:
        door.join()

    assert answers == [None] * 20


def test_asking_fails_where_nothing_can_be_written(vitals, locked):
    """Reading would go well, and every promise would fail."""
    with pytest.raises(StoreUnavailable):
        vitals.ask(patience=timedelta(seconds=0.2))


def test_asking_fails_in_time_where_nobody_answers():
    """However long other operations may take."""
    away = connect("mongodb://127.0.0.1:1/mta", name="test")

    with pytest.raises(StoreUnavailable):
        QueueVitals(away).ask(patience=timedelta(seconds=0.2))

    away.client.close()
