"""Mail that moves from one zone to another, in a real MongoDB."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.operate.move import Moved, Movers
from mta.store import moving
from mta.store.census import Census
from mta.store.moving import Moving

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def movers(db):
    return Movers(Moving(db), lambda: NOW)


@pytest.fixture
def insert(db):
    """Insert a row of the zone "old"; returns its id."""

    def insert(name="m.001", **fields):
        row = {
            "_id": name,
            "message": "m",
            "zone": "old",
            "domain": "b.test",
            "recipient": "bob@b.test",
            "state": "queued",
            "lane": "",
            "created_at": NOW,
            "due_at": NOW,
            "give_up_at": NOW + 24 * HOUR,
            "ring_at": NOW,
            "rung_at": NOW,
            "rings": 3,
            "claims": 0,
            "attempts": 0,
            "doubts": 0,
            "log": [],
        }
        db.deliveries.insert_one(row | fields)
        return name

    return insert


def test_what_waits_is_moved_and_says_so(movers, insert, db):
    """The timeline tells where it came from; its state is as it was."""
    row = insert(state="deferred", due_at=NOW + HOUR)

    moved = movers.move("old", "new")

    found = Census(db).find(row)
    assert moved == Moved(1, 0)
    assert (found.zone, found.state) == ("new", "deferred")
    assert (found.last.state, found.last.category) == ("deferred", "operator")
    assert found.last.text == "Moved here from zone old by an operator"


def test_what_was_moved_has_its_zone_by_an_operator(movers, insert, db):
    """Whatever rule chose the old one."""
    row = insert(rule="recipient domain b.test")

    movers.move("old", "new")

    assert Census(db).find(row).rule == "moved by an operator"


def test_what_was_deferred_keeps_its_time(movers, insert, db):
    """The pause after a failure is the recipient's, not the zone's."""
    row = insert(state="deferred", due_at=NOW + HOUR, claims=2)

    movers.move("old", "new")

    found = db.deliveries.find_one({"_id": row})
    assert found["due_at"] == NOW + HOUR
    assert NOW < found["ring_at"] < NOW + HOUR


@pytest.mark.parametrize(
    "waiting",
    [
        pytest.param({"waits_for": "zone:old"}, id="for a slot"),
        pytest.param(
            {"due_at": NOW + HOUR, "has_turn": True, "claims": 1}, id="for a turn"
        ),
        pytest.param(
            {"due_at": NOW + HOUR, "put_off_by": "zone:old", "claims": 1},
            id="for a ration",
        ),
    ],
)
def test_what_waited_for_the_old_zone_is_due_now(movers, insert, db, waiting):
    """Its slots and turns mean nothing in the new one."""
    row = insert(**{"ring_at": NOW + HOUR, **waiting})

    movers.move("old", "new")

    found = db.deliveries.find_one({"_id": row})
    assert (found["due_at"], found["ring_at"]) == (NOW, NOW)
    assert found.keys().isdisjoint({"waits_for", "has_turn", "put_off_by"})


def test_what_is_being_sent_stays(movers, insert, db):
    """Nobody can take it back; it is counted."""
    insert(state="sending", owner="me", lease_until=NOW + HOUR)

    assert movers.look("old") == Moved(0, 1)
    assert movers.move("old", "new") == Moved(0, 1)
    assert db.deliveries.count_documents({"zone": "old"}) == 1


def test_what_is_held_stays_held(movers, insert, db):
    """It waits for a person, in the new zone as in the old one."""
    row = insert(state="held", due_at=NOW + 24 * HOUR, ring_at=NOW + 24 * HOUR)

    movers.move("old", "new")

    found = db.deliveries.find_one({"_id": row})
    assert (found["zone"], found["state"]) == ("new", "held")
    assert found["ring_at"] == NOW + 24 * HOUR


def test_a_large_zone_is_moved_in_batches(movers, insert, db, monkeypatch):
    """All of it, and what is another zone's is left."""
    monkeypatch.setattr(moving, "MOVED_AT_ONCE", 2)
    for number in range(5):
        insert(f"m.{number:03}")
    insert("n.001", zone="other")
    told = []

    moved = movers.move("old", "new", told.append)

    assert (moved, told) == (Moved(5, 0), [2, 4, 5])
    assert db.deliveries.count_documents({"zone": "other"}) == 1


def test_zones_that_hold_mail_are_counted(insert, db):
    """What is finished is no reason to keep a zone."""
    insert()
    insert("n.001", zone="done", state="delivered")

    assert Census(db).count_live_in(["old", "done", "empty"]) == {"old": 1}
