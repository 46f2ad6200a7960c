"""Who must be rung, who is out of time, and what asking costs; on a real MongoDB."""

import itertools
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import DeliveryState, Outcome
from mta.reply import make_reply
from mta.store.census import Census
from mta.store.deliveries import ETA_LEAD, Deliveries
from mta.store.due import Due
from mta.store.parking import Parking

NOW = datetime.now(UTC).replace(microsecond=0)
KEEP = NOW + timedelta(days=30)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
LANE = "5:"
# A lease that is over before it began, its grace included.
NO_LEASE = timedelta(milliseconds=-3000)


@pytest.fixture
def due(db, deliveries):
    return Due(db, grace=deliveries.grace)


@pytest.fixture
def a_row(a_row):
    """Insert a row that is due, and to be looked after, at NOW."""

    def insert(number=1, **changes):
        return a_row(number, **{"due_at": NOW, "ring_at": NOW, **changes})

    return insert


def read(db, delivery_id):
    message_id = delivery_id.rpartition(".")[0]
    rows = Census(db).of_message(message_id, limit=50)
    (row,) = [row for row in rows if row.id == delivery_id]
    return row


def to_ring(due, now, *, lane=LANE, lead=ETA_LEAD, limit=10):
    return due.to_ring("default", lane, now, due_by=now + lead, limit=limit)


def an_end(state=DeliveryState.EXPIRED, **facts):
    return Outcome(at=NOW, state=state, reply=make_reply(554, None, "over"), **facts)


def test_a_deferral_is_rung_shortly_before_it_is_due(due, deliveries, a_row):
    """Days are spent in MongoDB, seconds in Celery."""
    claimed = deliveries.claim(a_row(), owner="w")
    due_at = NOW + HOUR
    deferral = Outcome(
        at=NOW,
        state=DeliveryState.DEFERRED,
        reply=make_reply(451, None, "later"),
        attempt=1,
        due_at=due_at,
    )
    deliveries.settle(claimed, deferral, keep_until=KEEP)

    early = to_ring(due, due_at - 2 * ETA_LEAD)
    rung = to_ring(due, due_at - ETA_LEAD)

    assert early == []
    assert [(row.id, row.attempts) for row in rung] == [(claimed.id, 1)]


def test_a_broker_that_holds_nothing_is_rung_when_it_is_due(due, a_row):
    """RabbitMQ hands every task out at once."""
    row = a_row(due_at=NOW + ETA_LEAD)

    assert to_ring(due, NOW, lead=timedelta(0)) == []
    assert [r.id for r in to_ring(due, NOW + ETA_LEAD, lead=timedelta(0))] == [row]


def test_the_longest_waiting_rows_of_a_lane_come_first(due, a_row):
    """And those of other lanes and zones do not come."""
    late, early = a_row(1, ring_at=NOW - SECOND), a_row(2, ring_at=NOW - 9 * SECOND)
    a_row(3, lane="0:shop")
    a_row(4, zone="news")

    assert [row.id for row in to_ring(due, NOW)] == [early, late]


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "held"},
        {"waits_for": "zone:default"},
        {"state": "sending", "dot_at": NOW},
        {"ring_at": NOW + SECOND},
    ],
)
def test_rows_for_which_a_doorbell_changes_nothing_are_not_rung(due, a_row, fields):
    """They wait for a person, a slot, a judgement, or their time."""
    a_row(**{"ring_at": NOW, **fields})

    assert to_ring(due, NOW) == []


def test_a_lease_that_ran_out_is_rung(due, a_row):
    """Its owner died before the final dot: anybody may try."""
    row = a_row(state="sending", owner="dead", ring_at=NOW)

    assert [found.id for found in to_ring(due, NOW)] == [row]


def test_zones_and_lanes_are_found_though_nobody_configured_them(due, a_row):
    """The mail of a zone that is no more still has to end somehow."""
    a_row(1)
    a_row(2, lane="0:shop")
    a_row(3, zone="gone", ring_at=KEEP)

    assert due.zones() == ["default", "gone"]
    assert due.lanes("default", NOW) == ["0:shop", LANE]
    assert due.lanes("gone", NOW) == []


def test_a_finished_delivery_is_never_rung(due, deliveries, a_row, an_outcome):
    """Nothing terminal stands in the ring index."""
    claimed = deliveries.claim(a_row(), owner="w")
    deliveries.settle(claimed, an_outcome(DeliveryState.DELIVERED), keep_until=KEEP)

    assert due.zones() == []


def test_each_ring_waits_longer_than_the_one_before(due, a_row):
    """A delivery that nobody takes is rung ever less often."""
    now = NOW
    a_row()
    rung_at = []
    for _ in range(4):
        (row,) = to_ring(due, now, limit=1)
        due.mark_rung([row], now)
        rung_at.append(now)
        now = next(
            later
            for later in (now + timedelta(seconds=5 * n) for n in range(1, 200))
            if to_ring(due, later, limit=1)
        )
    waits = [b - a for a, b in itertools.pairwise(rung_at)]

    assert waits == sorted(waits)
    assert waits[-1] > waits[0]


def test_a_row_that_was_claimed_meanwhile_is_not_marked(db, due, deliveries, a_row):
    """Its lease says when to look after it now."""
    a_row()
    (row,) = to_ring(due, NOW)
    deliveries.claim(row.id, owner="w")
    before = db.deliveries.find_one({"_id": row.id})

    due.mark_rung([row], NOW)
    due.postpone_ring([row], NOW, KEEP)
    due.leave_to_the_end([row], NOW)

    assert db.deliveries.find_one({"_id": row.id}) == before


def test_a_postponed_row_comes_back_then(due, a_row):
    """Its doorbell is still in the broker, or is lost by then."""
    a_row()
    rows = to_ring(due, NOW)

    due.postpone_ring(rows, NOW, NOW + SECOND)

    assert to_ring(due, NOW) == []
    assert len(to_ring(due, NOW + SECOND)) == 1


def test_what_is_left_to_the_end_comes_back_then(db, due, a_row):
    """Nobody tries it any more."""
    row = a_row(give_up_at=NOW + HOUR)

    due.leave_to_the_end(to_ring(due, NOW), NOW)

    assert db.deliveries.find_one({"_id": row})["ring_at"] == NOW + HOUR


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "queued"},
        {"state": "queued", "waits_for": "domain:default:b.test"},
        {"state": "deferred", "ring_at": KEEP},
        {"state": "in_doubt", "ring_at": KEEP},
        {"state": "held", "ring_at": KEEP},
        {"state": "queued", "zone": "gone"},
    ],
)
def test_all_that_waits_expires_when_its_time_is_over(db, due, a_row, fields):
    """Whatever it waits for, and whether it would have been rung or not."""
    a_row(give_up_at=NOW, **fields)

    (row,) = due.overdue(NOW, limit=10)
    is_ours = due.expire(row, an_end(), keep_until=KEEP)

    found = db.deliveries.find_one({"_id": row.id})
    assert (is_ours, found["state"], found["expires_at"]) == (True, "expired", KEEP)
    assert not {"ring_at", "waits_for"} & set(found)
    assert found["log"][-1]["text"] == "over"
    assert due.overdue(NOW, limit=10) == []


def test_what_is_being_sent_does_not_expire(due, a_row):
    """Its worker may be just about to succeed."""
    lease_until = datetime.now(UTC) + timedelta(minutes=1)
    a_row(state="sending", give_up_at=NOW, lease_until=lease_until)

    assert due.overdue(NOW, limit=10) == []


def test_what_a_dead_worker_left_expires_as_well(db, a_row):
    """Its zone may have no worker any more: it must not be `sending` for ever."""
    short = Deliveries(db, lease=NO_LEASE)
    due = Due(db, grace=short.grace)
    short.claim(a_row(give_up_at=NOW), owner="dead")

    (row,) = due.overdue(NOW, limit=10)

    assert due.expire(row, an_end(), keep_until=KEEP)


def test_of_two_leaders_one_expires_a_row(due, a_row):
    """And only that one counts and logs it."""
    a_row(give_up_at=NOW)
    (row,) = due.overdue(NOW, limit=10)

    ours = [due.expire(row, an_end(), keep_until=KEEP) for _ in range(2)]

    assert ours == [True, False]


@pytest.fixture
def a_death(db, a_row):
    """A row whose owner died after the final dot; its lease is over or not."""

    def die(*, lease=NO_LEASE):
        short = Deliveries(db, lease=lease)
        claimed = short.claim(a_row(), owner="dead")
        short.mark_dot(claimed)
        return Due(db, grace=short.grace), claimed

    return die


def doubt(state=DeliveryState.IN_DOUBT, due_at=NOW + HOUR):
    return an_end(state, due_at=due_at, attempt=1, is_doubtful=True, category="doubt")


def test_a_death_after_the_final_dot_becomes_a_doubt(db, a_death):
    """The next hop may have the message: no row says that it was not sent."""
    due, claimed = a_death()

    (row,) = due.doubtful(limit=10)
    is_ours = due.doubt(row, doubt(), keep_until=KEEP)

    found = db.deliveries.find_one({"_id": claimed.id})
    assert is_ours
    assert (found["state"], found["doubts"], found["attempts"]) == ("in_doubt", 1, 1)
    assert found["due_at"] == NOW + HOUR
    assert "dot_at" not in found
    assert due.doubtful(limit=10) == []


def test_a_doubt_that_is_taken_for_delivered_is_still_listed(db, a_death):
    """The policy says so; the list says that nobody knows."""
    due, claimed = a_death()
    (row,) = due.doubtful(limit=10)

    due.doubt(row, doubt(DeliveryState.DELIVERED, None), keep_until=KEEP)

    ((listed, _),) = Census(db).doubted(before=None, limit=10)
    assert (listed.id, listed.state) == (claimed.id, DeliveryState.DELIVERED)
    assert listed.doubts == 1


def test_an_owner_that_lives_is_not_doubted(db, a_death):
    """It waits for the reply to its dot, and renews its lease."""
    due, claimed = a_death(lease=timedelta(seconds=60))

    settled = due.doubt(claimed, doubt(), keep_until=KEEP)

    assert due.doubtful(limit=10) == []
    assert not settled


def test_an_owner_that_comes_back_within_the_grace_settles_itself(
    db, a_death, an_outcome
):
    """Cut off for a while, it knows what the next hop said."""
    due, claimed = a_death()
    (row,) = due.doubtful(limit=10)
    deliveries = Deliveries(db, lease=NO_LEASE)
    outcome = an_outcome(DeliveryState.DELIVERED)

    deliveries.settle(claimed, outcome, keep_until=KEEP)

    assert not due.doubt(row, doubt(), keep_until=KEEP)
    assert read(db, claimed.id).doubts == 0


def test_the_oldest_due_row_of_a_zone_is_known(due, a_row):
    """Parked or queued; not what waits on purpose, nor what is being sent."""
    a_row(1, due_at=NOW - 9 * SECOND, waits_for="zone:default")
    a_row(2, due_at=NOW - 5 * SECOND)
    a_row(3, due_at=NOW + HOUR)
    a_row(4, due_at=NOW - HOUR, state="sending")
    a_row(5, due_at=NOW - HOUR, zone="news")

    assert due.oldest_due_at("default", NOW) == NOW - 9 * SECOND
    assert due.oldest_due_at("gone", NOW) is None


@contextmanager
def profiled(db):
    """What MongoDB did for the queries of a block."""
    operations = []
    db.command("profile", 2)
    try:
        yield operations
    finally:
        db.command("profile", 0)
    query = {"ns": f"{db.name}.deliveries", "op": {"$in": ["query", "command"]}}
    operations += db["system.profile"].find(query)


@pytest.fixture
def many_rows(db, a_row):
    """Insert rows by the hundred."""
    ids = itertools.count(1)

    def insert(count, **changes):
        template = db.deliveries.find_one({"_id": a_row(next(ids), **changes)})
        for _ in range(count - 1):
            template["_id"] = f"m{next(ids):06x}.001"
            db.deliveries.insert_one(template)

    return insert


def test_a_tick_reads_no_row_that_need_not_be_looked_after(
    db, due, deliveries, many_rows
):
    """A million deferrals, and thirty days of finished mail, must cost it nothing."""
    later = {"ring_at": KEEP, "due_at": KEEP, "give_up_at": KEEP}
    for lane in ("5:a", "5:b", "5:c"):
        many_rows(100, lane=lane, state="deferred", **later)
    many_rows(100, lane="5:a", waits_for="zone:default", **later)
    many_rows(100, state="delivered", give_up_at=NOW)
    db.deliveries.update_many({"state": "delivered"}, {"$unset": {"ring_at": 1}})
    many_rows(100, zone="gone", **later)
    parking = Parking(db, deliveries, choose=lambda lanes: lanes[0])

    with profiled(db) as operations:
        assert due.zones() == ["default", "gone"]
        assert due.lanes("default", NOW) == []
        assert to_ring(due, NOW, lane="5:a") == []
        assert due.overdue(NOW, limit=10) == []
        assert due.doubtful(limit=10) == []
        assert due.oldest_due_at("default", NOW) is None
        assert parking.keys_to_ring(NOW) == []

    assert len(operations) == 7
    for operation in operations:
        assert operation.get("docsExamined", 0) == 0, operation
        # One key for each of three lanes or two zones, and one to see that it was
        # the last.
        assert operation["keysExamined"] <= 6, operation


def test_a_backlog_of_one_lane_is_not_read_for_another(db, due, many_rows):
    """What a tick reads follows from what it rings, not from what waits."""
    many_rows(200, lane="5:news")
    many_rows(1, lane="5:shop")

    with profiled(db) as operations:
        assert due.lanes("default", NOW) == ["5:news", "5:shop"]
        assert len(to_ring(due, NOW, lane="5:shop")) == 1
        assert len(to_ring(due, NOW, lane="5:news", limit=7)) == 7
        assert due.oldest_due_at("default", NOW) is not None

    assert sum(operation.get("docsExamined", 0) for operation in operations) <= 10
    assert max(operation["keysExamined"] for operation in operations) <= 8
