"""The record's promises, on a real MongoDB."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from pymongo.errors import AutoReconnect

from mta.delivery import DeliveryState
from mta.reasons import Limit, PassedOver, Reasons
from mta.store.census import Census
from mta.store.deliveries import ETA_LEAD, SKEW, Deliveries

KEEP = datetime.now(UTC) + timedelta(days=30)
HOUR = timedelta(hours=1)


# A lease that is over before it began, its grace included.
NO_LEASE = timedelta(milliseconds=-3000)


def read(db, delivery_id):
    message_id = delivery_id.rpartition(".")[0]
    rows = Census(db).of_message(message_id, limit=50)
    (row,) = [row for row in rows if row.id == delivery_id]
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
    short = Deliveries(db, lease=NO_LEASE)
    row = a_row()
    short.claim(row, owner="dead")

    second = short.claim(row, owner="alive")

    assert second is not None
    assert second.claims == 2


def test_a_late_owner_cannot_settle_what_another_has_claimed(db, a_row, an_outcome):
    """The fence: the first owner's outcome is refused, the second's is kept."""
    short = Deliveries(db, lease=NO_LEASE)
    row = a_row()
    first = short.claim(row, owner="late")
    second = short.claim(row, owner="alive")

    late = short.settle(first, an_outcome(DeliveryState.BOUNCED, 550), keep_until=KEEP)
    good = short.settle(second, an_outcome(DeliveryState.DELIVERED), keep_until=KEEP)

    assert (late, good) == (False, True)
    assert read(db, row).state is DeliveryState.DELIVERED


def test_renewing_tells_which_claims_are_lost(db, a_row):
    """The heartbeat learns of a lost lease before the final dot is sent."""
    short = Deliveries(db, lease=NO_LEASE)
    kept = short.claim(a_row(1), owner="w")
    lost = short.claim(a_row(2), owner="w")
    short.claim(lost.id, owner="thief")

    assert short.renew([kept, lost]) == {lost.id}


def test_rows_are_inserted_once_however_often(db, deliveries, a_row):
    """Expanding a message again changes no row that is already on its way."""
    row = a_row()
    deliveries.claim(row, owner="w")

    a_row()

    assert read(db, row).state is DeliveryState.SENDING


def test_a_marked_delivery_is_claimed_by_nobody(db, a_row):
    """Its owner may have died after the final dot: that is for the scheduler."""
    short = Deliveries(db, lease=NO_LEASE)
    claimed = short.claim(a_row(), owner="dead")

    is_marked = short.mark_dot(claimed)

    assert is_marked
    assert short.claim(claimed.id, owner="alive") is None


def test_the_mark_tells_that_the_claim_is_lost(db, a_row):
    """The last look at the lease, by the database's clock: no dot is sent."""
    short = Deliveries(db, lease=NO_LEASE)
    late = short.claim(a_row(), owner="late")
    short.claim(late.id, owner="other")

    assert short.mark_dot(late) is False


def test_many_marks_tell_each_whether_it_counts(db, a_row):
    """A group shares its round trip, not its fate."""
    short = Deliveries(db, lease=NO_LEASE)
    kept = [short.claim(a_row(n), owner="w") for n in range(1, 20)]
    lost = short.claim(a_row(20), owner="w")
    short.claim(lost.id, owner="thief")

    with ThreadPoolExecutor(20) as pool:
        marks = list(pool.map(short.mark_dot, [*kept, lost]))

    assert marks == [True] * 19 + [False]


def test_a_late_word_of_its_owner_ends_a_doubt(db, deliveries, a_row, an_outcome):
    """Cut off from the database only, it still knows what the next hop said."""
    claimed = deliveries.claim(a_row(), owner="w")
    db.deliveries.update_one({"_id": claimed.id}, {"$set": {"state": "in_doubt"}})

    outcome = an_outcome(DeliveryState.DELIVERED)
    is_ours = deliveries.settle(claimed, outcome, keep_until=KEEP)

    assert is_ours
    assert read(db, claimed.id).state is DeliveryState.DELIVERED


def test_a_doubt_is_counted_and_dated(db, deliveries, a_row, an_outcome):
    """No repetition is silent: the row keeps that there was a doubt."""
    claimed = deliveries.claim(a_row(), owner="w")
    deliveries.mark_dot(claimed)
    due_at = datetime.now(UTC) + HOUR
    outcome = an_outcome(DeliveryState.IN_DOUBT, 450, due_at)

    deliveries.settle(
        claimed, dataclasses.replace(outcome, is_doubtful=True), keep_until=KEEP
    )

    row = db.deliveries.find_one({"_id": claimed.id})
    assert (row["state"], row["doubts"]) == ("in_doubt", 1)
    assert "dot_at" not in row
    ((listed, doubted_at),) = Census(db).doubted(before=None, limit=5)
    assert (listed.id, doubted_at) == (claimed.id, row["doubted_at"])


def test_a_delivery_in_doubt_is_claimed_once_it_is_due(db, deliveries, a_row):
    """Retry is the default: mail must not be lost."""
    row = a_row(state="in_doubt", doubts=1)

    claimed = deliveries.claim(row, owner="w")

    assert claimed is not None
    assert claimed.doubts == 1


def test_giving_a_claim_back_is_no_attempt(db, deliveries, a_row):
    """Denied a slot, a delivery waits as if nothing had happened."""
    claimed = deliveries.claim(a_row(), owner="w")
    now = datetime.now(UTC)

    deliveries.postpone(claimed, ring_at=now, waits_for="zone:default")

    row = read(db, claimed.id)
    assert (row.state, row.attempts) == (DeliveryState.QUEUED, 0)
    assert (row.waits_for, row.lease_until) == ("zone:default", None)
    assert deliveries.claim(claimed.id, owner="w2").waits_for == ""


def test_a_turn_is_kept_until_the_delivery_comes_back(db, deliveries, a_row):
    """A rate gave it a time of its own; at that time it need not queue again."""
    claimed = deliveries.claim(a_row(), owner="w")
    now = datetime.now(UTC)

    turn = dataclasses.replace(claimed, due_at=now, has_turn=True)
    deliveries.postpone(turn, ring_at=now)

    again = deliveries.claim(claimed.id, owner="w")
    assert again.has_turn
    deliveries.postpone(again, ring_at=now, waits_for="zone:default")
    assert read(db, claimed.id).has_turn


def test_what_put_a_delivery_off_is_known_while_it_waits(db, deliveries, a_row):
    """People ask why it is not sent; once it is claimed, nothing puts it off."""
    claimed = deliveries.claim(a_row(), owner="w")
    now = datetime.now(UTC)

    put_off = dataclasses.replace(claimed, put_off_by="warmup:192.0.2.1:big")
    deliveries.postpone(put_off, ring_at=now)

    assert read(db, claimed.id).put_off_by == "warmup:192.0.2.1:big"
    assert deliveries.claim(claimed.id, owner="w2").put_off_by == ""
    assert "put_off_by" not in db.deliveries.find_one({"_id": claimed.id})


def test_what_put_it_off_is_forgotten_when_it_is_parked(db, deliveries, a_row):
    """Another limit is in the way by then."""
    claimed = deliveries.claim(a_row(put_off_by="zone:default"), owner="w")

    deliveries.postpone(claimed, ring_at=datetime.now(UTC), waits_for="zone:default")

    row = read(db, claimed.id)
    assert (row.put_off_by, row.waits_for) == ("", "zone:default")


def test_why_an_attempt_went_its_way_is_kept_with_its_outcome(
    db, deliveries, a_row, an_outcome
):
    """As it was decided, whatever is decided later."""
    reasons = Reasons(
        provider="big",
        passed_over=(PassedOver("rests: 421 a|b", ("192.0.2.2",)),),
        limits=(Limit("zone:default", 5, "600/minute"),),
    )
    claimed = deliveries.claim(a_row(), owner="w")
    outcome = dataclasses.replace(an_outcome(DeliveryState.DELIVERED), reasons=reasons)

    deliveries.settle(claimed, outcome, keep_until=KEEP)

    assert read(db, claimed.id).last.reasons == reasons


def test_a_deferral_comes_to_the_scheduler_shortly_before_it_is_due(
    db, deliveries, a_row, an_outcome
):
    """Days are spent in MongoDB, seconds in Celery."""
    claimed = deliveries.claim(a_row(), owner="w")
    due_at = datetime.now(UTC).replace(microsecond=0) + HOUR

    deliveries.settle(
        claimed, an_outcome(DeliveryState.DEFERRED, 451, due_at), keep_until=KEEP
    )

    row = db.deliveries.find_one({"_id": claimed.id})
    assert row["ring_at"] == due_at - ETA_LEAD


def test_a_doubt_is_recorded_once_however_often(db, deliveries, a_row, an_outcome):
    """A settlement whose answer was lost is repeated, and counts once."""
    claimed = deliveries.claim(a_row(), owner="w")
    outcome = an_outcome(DeliveryState.IN_DOUBT, 450, datetime.now(UTC) + HOUR)
    outcome = dataclasses.replace(outcome, is_doubtful=True)

    answers = [deliveries.settle(claimed, outcome, keep_until=KEEP) for _ in range(2)]

    assert answers == [True, True]
    assert read(db, claimed.id).doubts == 1


def test_a_claim_whose_answer_was_lost_is_not_lost(deliveries, a_row, monkeypatch):
    """Updates of many rows are not repeated by the driver: we do it."""
    ids = [a_row(number) for number in range(1, 4)]
    rows = deliveries._rows
    update_many, failures = rows.update_many, [AutoReconnect("answer lost")]

    class Flaky:
        def update_many(self, *arguments):
            result = update_many(*arguments)
            if failures:
                raise failures.pop()
            return result

        def __getattr__(self, name):
            return getattr(rows, name)

    monkeypatch.setattr(deliveries, "_rows", Flaky())

    claimed = deliveries._claim_all([(row, "w") for row in ids])

    assert [row.id for row in claimed if row] == ids
