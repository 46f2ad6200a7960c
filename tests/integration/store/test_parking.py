"""Parked rows on a real MongoDB: who takes them, and in which order."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from mta.store.parking import SAFETY_NET, Parking

KEY = "domain:default:b.test"
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def parking(db, deliveries):
    return Parking(db, deliveries, choose=lambda lanes: lanes[0])


@pytest.fixture
def a_parked_row(a_row):
    def park(number, **changes):
        facts = {"waits_for": KEY, "ring_at": NOW + SAFETY_NET, **changes}
        return a_row(number, **facts)

    return park


def claim_all(parking, key=KEY):
    claimed = []
    while row := parking.claim_next(key, zone="default", owner="w"):
        claimed.append(row.id)
    return claimed


def test_parked_rows_are_taken_in_the_order_they_were_parked(parking, a_parked_row):
    """Who waits longest goes first, within a lane."""
    late = a_parked_row(1, due_at=NOW - timedelta(seconds=1))
    early = a_parked_row(2, due_at=NOW - timedelta(seconds=9))

    assert claim_all(parking) == [early, late]


def test_only_rows_parked_for_this_limit_are_taken(parking, a_parked_row):
    """A free slot of one domain is nothing to another."""
    a_parked_row(1, waits_for="domain:default:other.test")

    assert claim_all(parking) == []


def test_the_lane_is_chosen_among_those_that_wait(db, deliveries, a_parked_row):
    """The choice is the caller's: weights and floors are no business of the store."""
    asked = []
    parking = Parking(
        db, deliveries, choose=lambda lanes: asked.append(lanes) or lanes[-1]
    )
    a_parked_row(1, lane="0:shop")
    last = a_parked_row(2, lane="5:news")

    claimed = parking.claim_next(KEY, zone="default", owner="w")

    assert (claimed.id, asked) == (last, [["0:shop", "5:news"]])


def test_a_row_that_waits_is_claimed_once_by_many(parking, a_parked_row):
    """Eight that free a slot at the same time take eight different rows."""
    rows = {a_parked_row(number) for number in range(1, 9)}

    with ThreadPoolExecutor(8) as pool:
        claims = list(
            pool.map(
                lambda n: parking.claim_next(KEY, zone="default", owner=f"w{n}"),
                range(8),
            )
        )

    assert {claim.id for claim in claims if claim} == rows


def test_rows_of_another_zone_are_left_to_its_workers(parking, a_parked_row):
    """A source address may serve several zones; this worker serves one."""
    a_parked_row(1, zone="news")

    assert claim_all(parking) == []


def test_a_picked_row_is_out_of_the_park(db, parking, a_parked_row):
    """Two that ring at the same time ring for two rows."""
    rows = [a_parked_row(number) for number in (1, 2)]

    picked = [parking.pick_next(KEY, NOW).id for _ in range(2)]

    assert sorted(picked) == sorted(rows)
    assert parking.pick_next(KEY, NOW) is None


def test_a_picked_row_says_what_woke_it_until_it_is_done_with(
    db, parking, deliveries, a_parked_row
):
    """So that a slot that it does not take after all is passed on."""
    row = a_parked_row(1)
    parking.pick_next(KEY, NOW)

    claimed = deliveries.claim(row, owner="w")
    deliveries.postpone(claimed, ring_at=NOW, waits_for="zone:default")

    assert claimed.woken_by == KEY
    assert "woken_by" not in db.deliveries.find_one({"_id": row})


def test_of_very_many_lanes_none_is_left_out(db, deliveries, a_row):
    """A thousand and more tenants may wait for one address."""
    now = [0.0]
    asked = set()
    parking = Parking(
        db,
        deliveries,
        choose=lambda lanes: asked.update(lanes) or lanes[0],
        monotonic=lambda: now[0],
    )
    for number in range(1, 1_022):
        a_row(number, waits_for=KEY, lane=f"5:t{number:04}", ring_at=NOW)

    for now[0] in (0.0, 0.5):
        parking.pick_next(KEY, NOW)

    assert len(asked) == 1_021


def test_unparked_rows_are_the_schedulers(db, parking, a_parked_row):
    """As many as asked for; it rings for them like for any others."""
    for number in range(1, 4):
        a_parked_row(number)

    parking.unpark(KEY, 2, NOW)

    waits = {"waits_for": {"$exists": True}}
    assert db.deliveries.count_documents({**waits, "ring_at": NOW + SAFETY_NET}) == 1
    assert db.deliveries.count_documents({"ring_at": NOW}) == 2


def test_a_row_nobody_took_comes_back_by_its_safety_net(parking, a_parked_row):
    """Whoever should have taken it may be dead."""
    a_parked_row(1)

    in_time = parking.keys_to_ring(NOW)
    too_late = parking.keys_to_ring(NOW + SAFETY_NET)
    parking.postpone(KEY, NOW + SAFETY_NET)

    assert (in_time, too_late) == ([], [KEY])
    assert parking.keys_to_ring(NOW + SAFETY_NET) == []


def test_every_limit_that_is_waited_for_is_listed(parking, a_parked_row):
    """Whatever the time of its safety net."""
    a_parked_row(1)
    a_parked_row(2, waits_for="zone:default")
    a_parked_row(3)

    assert parking.parked_for() == [KEY, "zone:default"]


def test_what_a_rate_put_off_may_ask_again(db, parking, a_row):
    """Not what nobody has tried yet, nor what failed: those wait for a reason."""
    later = NOW + timedelta(hours=1)
    turn = a_row(1, due_at=later, ring_at=later, claims=1, has_turn=True)
    for number, facts in enumerate(({"claims": 0}, {"claims": 1, "state": "deferred"})):
        a_row(2 + number, due_at=later, ring_at=later, **facts)

    count = parking.end_turns("default", NOW)

    due = [row["_id"] for row in db.deliveries.find({"due_at": NOW, "ring_at": NOW})]
    assert (count, due) == (1, [turn])
