"""The record's promises, on a real MongoDB."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from mta.delivery import DeliveryState
from mta.store.deliveries import ETA_LEAD, SKEW, Deliveries

KEEP = datetime.now(UTC) + timedelta(days=30)
HOUR = timedelta(hours=1)


def read(deliveries, delivery_id):
    message_id = delivery_id.rpartition(".")[0]
    (row,) = [
        row
        for row in deliveries.of_message(message_id, limit=50)
        if row.id == delivery_id
    ]
    return row


def test_of_fifty_claims_one_wins(deliveries, a_row):
    """Two workers can never hold the same delivery."""
    row = a_row()

    with ThreadPoolExecutor(50) as pool:
        claims = list(
            pool.map(lambda n: deliveries.claim(row, owner=f"w{n}"), range(50))
        )

    assert len([claim for claim in claims if claim]) == 1


def test_a_delivery_that_is_not_due_is_not_claimed(deliveries, a_row):
    """A doorbell that comes early finds nothing to do."""
    row = a_row(due_at=datetime.now(UTC) + HOUR)

    assert deliveries.claim(row, owner="w") is None


def test_a_doorbell_within_the_skew_of_clocks_is_not_too_early(deliveries, a_row):
    """Workers hold an ETA by their own clock, which may run ahead a little."""
    row = a_row(due_at=datetime.now(UTC) + SKEW / 2)

    assert deliveries.claim(row, owner="w") is not None


def test_a_settled_delivery_is_not_claimed_again(deliveries, a_row, an_outcome):
    """An echo after the settlement changes nothing."""
    claimed = deliveries.claim(a_row(), owner="w")
    deliveries.settle(claimed, an_outcome(DeliveryState.DELIVERED), keep_until=KEEP)

    assert deliveries.claim(claimed.id, owner="w2") is None


def test_a_lease_that_ran_out_lets_another_worker_claim(db, a_row):
    """A worker that died holds its delivery no longer than its lease and a grace."""
    short = Deliveries(db, lease=timedelta(milliseconds=-3000))
    row = a_row()
    short.claim(row, owner="dead")

    second = short.claim(row, owner="alive")

    assert second is not None
    assert second.claims == 2


def test_a_late_owner_cannot_settle_what_another_has_claimed(db, a_row, an_outcome):
    """The fence: the first owner's outcome is refused, the second's is kept."""
    short = Deliveries(db, lease=timedelta(milliseconds=-3000))
    row = a_row()
    first = short.claim(row, owner="late")
    second = short.claim(row, owner="alive")

    late = short.settle(first, an_outcome(DeliveryState.BOUNCED, 550), keep_until=KEEP)
    good = short.settle(second, an_outcome(DeliveryState.DELIVERED), keep_until=KEEP)

    assert (late, good) == (False, True)
    assert read(short, row).state is DeliveryState.DELIVERED


def test_renewing_tells_which_claims_are_lost(db, a_row):
    """The heartbeat learns of a lost lease before the final dot is sent."""
    short = Deliveries(db, lease=timedelta(milliseconds=-3000))
    kept = short.claim(a_row(1), owner="w")
    lost = short.claim(a_row(2), owner="w")
    short.claim(lost.id, owner="thief")

    assert short.renew([kept, lost]) == {lost.id}


def test_a_deferral_is_rung_shortly_before_it_is_due(deliveries, a_row, an_outcome):
    """Days are spent in MongoDB, seconds in Celery."""
    claimed = deliveries.claim(a_row(), owner="w")
    due_at = datetime.now(UTC) + HOUR
    outcome = an_outcome(DeliveryState.DEFERRED, 451, due_at)
    deliveries.settle(claimed, outcome, keep_until=KEEP)

    early = deliveries.to_ring("default", due_at - 2 * ETA_LEAD, limit=10)
    rung = deliveries.to_ring("default", due_at - ETA_LEAD, limit=10)

    assert early == []
    assert [(row.id, row.attempts) for row in rung] == [(claimed.id, 1)]


def test_a_finished_delivery_is_never_rung(deliveries, a_row, an_outcome):
    """Nothing terminal stands in the ring index."""
    claimed = deliveries.claim(a_row(), owner="w")
    deliveries.settle(claimed, an_outcome(DeliveryState.DELIVERED), keep_until=KEEP)

    assert deliveries.zones_to_ring(KEEP) == []


def test_rows_are_inserted_once_however_often(deliveries, a_row):
    """Expanding a message again changes no row that is already on its way."""
    row = a_row()
    deliveries.claim(row, owner="w")

    a_row()

    assert read(deliveries, row).state is DeliveryState.SENDING


def test_each_ring_waits_longer_than_the_one_before(deliveries, a_row):
    """A delivery that nobody takes is rung ever less often."""
    now = datetime.now(UTC)
    a_row()
    rung_at = []
    for _ in range(4):
        (row,) = deliveries.to_ring("default", now, limit=1)
        deliveries.mark_rung([row], now)
        rung_at.append(now)
        now = next(
            later
            for later in (now + timedelta(seconds=5 * n) for n in range(1, 200))
            if deliveries.to_ring("default", later, limit=1)
        )
    waits = [b - a for a, b in itertools.pairwise(rung_at)]

    assert waits == sorted(waits)
    assert waits[-1] > waits[0]


def test_the_ring_query_reads_only_its_index(db, deliveries, a_row):
    """A million deferrals that are not due must cost a tick nothing."""
    for number in range(1, 30):
        a_row(number, ring_at=KEEP, due_at=KEEP)

    query = {"zone": "default", "ring_at": {"$lte": datetime.now(UTC)}}
    plan = db.deliveries.find(query).sort([("zone", 1), ("ring_at", 1)]).explain()
    stats = plan["executionStats"]

    assert (stats["totalKeysExamined"], stats["totalDocsExamined"]) == (0, 0)


def test_looking_for_zones_to_ring_reads_no_finished_row(db, deliveries, a_row):
    """Thirty days of finished mail must cost a tick nothing."""
    for number in range(1, 30):
        a_row(number, state="delivered")
    db.deliveries.update_many({}, {"$unset": {"ring_at": 1}})
    a_row(40, zone="news")

    assert deliveries.zones_to_ring(KEEP) == ["news"]
    query = {"zone": {"$gte": ""}, "ring_at": {"$lte": KEEP}}
    distinct = {"distinct": "deliveries", "key": "zone", "query": query}
    plan = db.command({"explain": distinct, "verbosity": "executionStats"})
    assert plan["executionStats"]["totalDocsExamined"] == 0


def test_counting_live_rows_reads_an_index_only(db, deliveries, a_row):
    """The gauges must not cost a million reads."""
    for number in range(1, 30):
        a_row(number)

    assert deliveries.count_live()[DeliveryState.QUEUED] == 29
    query = {"aggregate": "deliveries", "cursor": {}}
    query["pipeline"] = [{"$match": {"state": "queued"}}, {"$count": "n"}]
    plan = db.command({"explain": query, "verbosity": "executionStats"})
    assert "'docsExamined': 29" not in str(plan)
