"""Orders of an operator, on a real MongoDB: each step, each refusal, each race."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from mta.config.live import Live
from mta.delivery import Delivery, DeliveryState
from mta.operate.steer import EFFECTS, Order, Steer
from mta.store.census import Census
from mta.store.deliveries import Deliveries
from mta.store.messages import Messages
from mta.store.mongo import LIVE_ROW
from mta.store.parking import Parking
from mta.store.steering import Steering, steerable_to

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
KEEP_RECORDS = timedelta(days=30)
MESSAGE_ID = "0123456789abcdef01"
S = DeliveryState

LEGAL = {
    Order.HOLD: {S.QUEUED, S.DEFERRED, S.IN_DOUBT},
    Order.RELEASE: {S.QUEUED, S.DEFERRED, S.IN_DOUBT, S.HELD},
    Order.RETRY: {S.QUEUED, S.DEFERRED, S.IN_DOUBT, S.HELD},
    Order.CANCEL: {S.QUEUED, S.DEFERRED, S.IN_DOUBT, S.HELD},
    Order.ASSUME_DELIVERED: {S.IN_DOUBT},
}
STEPS = [(order, state) for order in Order for state in S]


@pytest.fixture
def steer(db) -> Steer:
    return Steer(
        steering=Steering(db),
        census=Census(db),
        messages=Messages(db),
        keep_records=Live(KEEP_RECORDS),
        now=lambda: NOW,
    )


def a_future() -> dict[str, datetime]:
    """A row that nobody has to look after for an hour."""
    return {"due_at": NOW + HOUR, "ring_at": NOW + HOUR}


def raw(db, delivery_id: str) -> dict:
    return db.deliveries.find_one({"_id": delivery_id})


@pytest.mark.parametrize(
    ("order", "state"), [step for step in STEPS if step[1] in LEGAL[step[0]]]
)
def test_legal_steps_are_taken(db, steer, a_row, order, state):
    """The answer is the row as it is now, with the order in its timeline."""
    row = a_row(state=state.value, **a_future())

    steered = steer.steer(order, row)

    assert steered.is_done
    assert steered.delivery == Census(db).find(row)
    assert steered.delivery.state is EFFECTS[order].state
    last = steered.delivery.last
    assert (last.category, last.attempt, last.at) == ("operator", 0, NOW)
    assert "by an operator" in last.text


@pytest.mark.parametrize(
    ("order", "state"), [step for step in STEPS if step[1] not in LEGAL[step[0]]]
)
def test_other_steps_are_refused(db, steer, a_row, order, state):
    """Nothing is changed, and the answer tells the present state."""
    row = a_row(state=state.value)
    before = raw(db, row)

    steered = steer.steer(order, row)

    assert not steered.is_done
    assert steered.delivery.state is state
    assert raw(db, row) == before


@pytest.mark.parametrize("order", Order)
def test_an_unknown_delivery_is_none(steer, order):
    """It may have been forgotten since."""
    assert steer.steer(order, f"{MESSAGE_ID}.001") is None
    assert steer.steer_message(order, MESSAGE_ID) is None


def test_a_held_row_waits_until_it_is_given_up(db, steer, a_row):
    """Nobody rings for it, no slot calls it, and it does not stay for ever."""
    row = a_row(waits_for="zone:default", has_turn=True)

    steer.steer(Order.HOLD, row)

    found = raw(db, row)
    assert found["due_at"] == found["ring_at"] == found["give_up_at"]
    assert "waits_for" not in found
    assert "has_turn" not in found


@pytest.mark.parametrize("order", [Order.RELEASE, Order.RETRY])
def test_a_released_row_is_due_at_once(db, steer, deliveries, a_row, order):
    """The scheduler sees it at its next look, and any worker may claim it."""
    row = a_row(state="held", rings=5, rung_at=NOW, **a_future())

    steer.steer(order, row)

    found = raw(db, row)
    assert (found["due_at"], found["ring_at"]) == (NOW, NOW)
    assert (found["rings"], found["rung_at"]) == (0, None)
    assert deliveries.claim(row, owner="w") is not None


def test_a_parked_row_that_is_retried_is_parked_no_more(db, steer, a_row):
    """It asks for its slot again; nor does a turn hold it back."""
    row = a_row(
        waits_for="zone:default",
        has_turn=True,
        put_off_by="warmup:192.0.2.1:big",
        **a_future(),
    )

    steer.steer(Order.RETRY, row)

    found = raw(db, row)
    assert found.keys().isdisjoint({"waits_for", "has_turn", "put_off_by"})
    assert found["due_at"] == NOW


@pytest.mark.parametrize("order", [Order.CANCEL, Order.ASSUME_DELIVERED])
def test_an_order_that_finishes_a_row_leaves_nothing_to_do(db, steer, a_row, order):
    """No ring is due; the record stays as long as that of any other."""
    row = a_row(state="in_doubt", waits_for="zone:default", doubted_at=NOW)

    steer.steer(order, row)

    found = raw(db, row)
    assert found["finished_at"] == NOW
    assert found["expires_at"] == NOW + KEEP_RECORDS
    assert not {"ring_at", "waits_for", "has_turn"} & set(found)
    assert found["doubted_at"] == NOW


def test_an_order_is_no_attempt_and_no_claim(steer, a_row):
    """What was tried so far stays as it was."""
    row = a_row(state="deferred", attempts=3, claims=4, doubts=1)

    steered = steer.steer(Order.RETRY, row)

    delivery = steered.delivery
    assert (delivery.attempts, delivery.claims, delivery.doubts) == (3, 4, 1)


@pytest.mark.parametrize("order", [Order.HOLD, Order.CANCEL])
def test_of_a_claim_and_an_order_one_wins(deliveries, steer, a_row, order):
    """A row is either sent or steered, never both."""
    rows = [a_row(number) for number in range(1, 41)]

    def race(row: str) -> tuple[bool, bool]:
        with ThreadPoolExecutor(2) as pool:
            claim = pool.submit(deliveries.claim, row, owner="w")
            steered = pool.submit(steer.steer, order, row)
            return claim.result() is not None, steered.result().is_done

    with ThreadPoolExecutor(8) as pool:
        winners = list(pool.map(race, rows))

    assert all(claimed is not steered for claimed, steered in winners)


def test_of_two_orders_one_wins(steer, a_row):
    """Cancelled mail is not delivered by another operator's click."""
    row = a_row(state="in_doubt")

    with ThreadPoolExecutor(2) as pool:
        done = list(
            pool.map(
                lambda order: steer.steer(order, row).is_done,
                [Order.CANCEL, Order.ASSUME_DELIVERED],
            )
        )

    assert sorted(done) == [False, True]


def test_what_comes_back_from_an_attempt_meanwhile_is_steered(
    db, deliveries, a_row, an_outcome
):
    """A refusal names a state that really forbids the order."""
    row = a_row()
    claimed = deliveries.claim(row, owner="w")

    class Ending(Census):
        """Looks a moment late: the attempt has just been deferred."""

        def find(self, delivery_id: str) -> Delivery | None:
            outcome = an_outcome(S.DEFERRED, 451, NOW + HOUR)
            deliveries.settle(claimed, outcome, keep_until=NOW)
            return super().find(delivery_id)

    steer = Steer(
        steering=Steering(db),
        census=Ending(db),
        messages=Messages(db),
        keep_records=Live(KEEP_RECORDS),
        now=lambda: NOW,
    )

    steered = steer.steer(Order.HOLD, row)

    assert steered.is_done
    assert steered.delivery.state is S.HELD


@pytest.mark.parametrize("order", [Order.HOLD, Order.CANCEL, Order.ASSUME_DELIVERED])
def test_the_late_word_of_a_cut_off_owner_changes_nothing(
    db, deliveries, steer, a_row, an_outcome, order
):
    """The operator has decided; what the owner says now is too late."""
    claimed = deliveries.claim(a_row(), owner="w")
    db.deliveries.update_one({"_id": claimed.id}, {"$set": {"state": "in_doubt"}})
    steer.steer(order, claimed.id)
    before = raw(db, claimed.id)

    deliveries.settle(claimed, an_outcome(S.BOUNCED, 550), keep_until=NOW)

    assert raw(db, claimed.id) == before


def test_a_held_row_is_in_no_ones_way(db, steer, a_row):
    """Neither a claim nor a freed slot finds it."""
    deliveries = Deliveries(db, lease=timedelta(seconds=60))
    parking = Parking(db, deliveries, lambda lanes: lanes[0])
    row = a_row(waits_for="zone:default")

    steer.steer(Order.HOLD, row)

    assert deliveries.claim(row, owner="w") is None
    assert parking.claim_next("zone:default", zone="default", owner="w") is None


def insert_message(db, a_message, recipients: int) -> None:
    """The message of the rows, as far as an order reads it."""
    message = a_message(recipient_count=recipients)
    body = {
        name: getattr(message.body, name)
        for name in ("file_id", "size", "hash", "md5", "is_8bit")
    }
    db.messages.insert_one(
        {
            "_id": message.id,
            "envelope": {
                "reverse_path": "ada@a.test",
                "interface": "feeder",
                "protocol": "ESMTP",
                "received_at": message.created_at,
                "session_id": "s",
            },
            "header": message.header,
            "body": body,
            "message_id": message.message_id,
            "subject": message.subject,
            "tenant": "",
            "is_transactional": False,
            "created_at": message.created_at,
            "due_at": message.due_at,
            "give_up_at": message.give_up_at,
            "count": recipients,
        }
    )


def test_an_order_about_a_message_reaches_all_that_may_obey(
    db, steer, a_row, a_message
):
    """The others stay as they are, and are told by state."""
    insert_message(db, a_message, recipients=6)
    a_row(1)
    a_row(2, state="deferred", **a_future())
    a_row(3, state="sending")
    a_row(4, state="in_doubt", waits_for="zone:default")
    finished = a_row(5, state="delivered")
    db.deliveries.update_one({"_id": finished}, {"$unset": {"ring_at": 1}})
    other = a_row(6, _id="fedcba98765432100f.001", message="fedcba98765432100f")

    steered = steer.steer_message(Order.HOLD, MESSAGE_ID)

    assert steered.changed == 3
    assert steered.states == {S.DELIVERED: 1, S.HELD: 3, S.SENDING: 1}
    assert steered.recipients == 6
    assert raw(db, other)["state"] == "queued"
    held = list(db.deliveries.find({"state": "held"}))
    assert all(row["ring_at"] == row["give_up_at"] for row in held)
    assert all(len(row["log"]) == 1 for row in held)


def test_rows_of_a_message_may_end_at_different_times(db, steer, a_row, a_message):
    """Each held row waits until its own end."""
    insert_message(db, a_message, recipients=2)
    rows = [a_row(number, give_up_at=NOW + number * HOUR) for number in (1, 2)]

    steered = steer.steer_message(Order.HOLD, MESSAGE_ID)

    assert steered.changed == 2
    assert [raw(db, row)["due_at"] for row in rows] == [NOW + HOUR, NOW + 2 * HOUR]


def test_a_whole_message_goes_through_hold_release_and_cancel(
    db, steer, a_row, a_message
):
    """Each order changes all of it."""
    insert_message(db, a_message, recipients=3)
    for number in (1, 2, 3):
        a_row(number)

    orders = [Order.HOLD, Order.RELEASE, Order.RETRY, Order.CANCEL, Order.RETRY]
    changed = [steer.steer_message(order, MESSAGE_ID).changed for order in orders]

    assert changed == [3, 3, 3, 3, 0]
    assert Census(db).count_of_message(MESSAGE_ID) == {S.CANCELLED: 3}


def test_steerable_states_are_those_that_nobody_works_on():
    """Whatever the table of transitions will say one day."""
    for effect in EFFECTS.values():
        assert S.SENDING not in steerable_to(effect.state)


def test_orders_about_a_message_use_an_index(db):
    """A million rows of other messages cost nothing."""
    query = {"message": MESSAGE_ID, "state": {"$in": ["queued"]}, **LIVE_ROW}

    plan = db.deliveries.find(query).explain()["queryPlanner"]["winningPlan"]

    assert plan["inputStage"]["indexName"] == "live_message"
