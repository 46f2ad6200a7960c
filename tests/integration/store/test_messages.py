"""Which messages must be expanded again, and which bodies may go."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pymongo.errors import BulkWriteError, NotPrimaryError

from mta.delivery import DeliveryState
from mta.errors import StoreUnavailable
from mta.store.documents import Body, Recipient
from mta.store.messages import EXPAND_AFTER, EXPAND_AGAIN, SWEEP_EVERY, Messages

NOW = datetime.now(UTC).replace(microsecond=0)
KEEP = timedelta(minutes=10)
BOB = Recipient("bob@b.test", "b.test", "default")
EVE = Recipient("eve@e.test", "e.test", "news")


@pytest.fixture
def messages(db):
    return Messages(db)


def test_a_message_is_read_as_it_was_written(messages, a_message):
    """Without its recipients, which no delivery needs."""
    message = a_message()

    messages.insert(messages.encode(message, [BOB], now=NOW))

    assert messages.find(message.id) == message


def test_a_message_whose_rows_may_be_missing_is_found(messages, a_message):
    """Its acceptor may have died between the promise and the rows."""
    message = a_message(recipient_count=2)
    messages.insert(messages.encode(message, [BOB, EVE], now=NOW))

    early = messages.unexpanded(NOW, limit=10)
    found = messages.unexpanded(NOW + EXPAND_AFTER, limit=10)

    assert early == []
    assert found == [(message, [BOB, EVE])]


def test_a_rule_is_kept_for_each_recipient(db, messages, a_message):
    """It is what chose the zone of that one."""
    routed = [
        replace(BOB, rule="default zone"),
        replace(EVE, rule="recipient domain e.test"),
    ]
    messages.insert(messages.encode(a_message(recipient_count=2), routed, now=NOW))

    [(_, found)] = messages.unexpanded(NOW + EXPAND_AFTER, limit=10)

    assert found == routed


def test_a_rule_that_all_have_in_common_is_said_once(db, messages, a_message):
    """Of ten thousand recipients as well."""
    routed = [replace(one, rule="default zone") for one in (BOB, BOB, BOB)]
    messages.insert(messages.encode(a_message(recipient_count=3), routed, now=NOW))

    [(_, found)] = messages.unexpanded(NOW + EXPAND_AFTER, limit=10)

    assert db["messages"].find_one()["rules"] == "default zone"
    assert [one.rule for one in found] == ["default zone"] * 3


def test_a_message_from_before_there_were_rules_is_read(db, messages, a_message):
    """Its recipients have none."""
    messages.insert(messages.encode(a_message(recipient_count=2), [BOB, EVE], now=NOW))
    db["messages"].update_one({}, {"$unset": {"rules": 1}})

    [(_, found)] = messages.unexpanded(NOW + EXPAND_AFTER, limit=10)

    assert found == [BOB, EVE]


def test_a_zone_that_was_asked_for_is_kept(messages, a_message):
    """It decided, and an explanation asks again."""
    message = a_message()
    message = replace(message, envelope=message.envelope.asking_for("news"))

    messages.insert(messages.encode(message, [BOB], now=NOW))

    assert messages.find(message.id).envelope.requested_zone == "news"


def test_the_acceptor_has_its_time_from_the_promise_on(messages, a_message):
    """Reading a large message from a slow client may have taken an hour."""
    message = a_message(created_at=NOW - timedelta(hours=1))
    messages.insert(messages.encode(message, [BOB], now=NOW))

    assert messages.unexpanded(NOW, limit=10) == []


def test_one_that_could_not_be_expanded_is_tried_again_later(messages, a_message):
    """It must not stand before the others, for ever."""
    message = a_message()
    messages.insert(messages.encode(message, [BOB], now=NOW))
    looked_at = NOW + EXPAND_AFTER

    counts = [
        len(messages.unexpanded(at, limit=10))
        for at in (looked_at, looked_at, looked_at + EXPAND_AGAIN)
    ]

    assert counts == [1, 0, 1]


@pytest.mark.parametrize("damage", [{"recipients": 7}, {"envelope": None}])
def test_one_that_cannot_be_read_does_not_keep_others_waiting(
    db, messages, a_message, damage
):
    """Whatever was done to the record."""
    for message_id in ("damaged", "sound"):
        message = a_message(id=message_id)
        messages.insert(messages.encode(message, [BOB], now=NOW))
    db["messages"].update_one({"_id": "damaged"}, {"$set": damage})

    found = messages.unexpanded(NOW + EXPAND_AFTER, limit=10)

    assert [message.id for message, _ in found] == ["sound"]


def test_an_expanded_message_is_left_alone(messages, a_message):
    """Once all rows exist nobody writes them again."""
    message = a_message()
    messages.insert(messages.encode(message, [BOB], now=NOW))

    messages.mark_expanded(message.id)

    assert messages.unexpanded(NOW + timedelta(days=1), limit=10) == []


def done_with(messages, at):
    swept = messages.sweep(at, keep_content=KEEP, limit=9)
    return [message_id for message_id, _ in swept.done]


def test_a_body_stays_while_a_delivery_needs_it(messages, a_message, a_row):
    """However long the message is deferred."""
    message = a_message()
    messages.insert(messages.encode(message, [BOB], now=NOW))
    messages.mark_expanded(message.id)
    a_row(state="deferred")

    assert done_with(messages, message.created_at + timedelta(hours=5)) == []


def test_a_body_goes_after_the_last_delivery_and_a_grace(
    messages, deliveries, a_message, a_row, an_outcome
):
    """People look at a message they have just sent."""
    messages.insert(messages.encode(a_message(), [BOB], now=NOW))
    messages.mark_expanded(a_message().id)
    claimed = deliveries.claim(a_row(), owner="w")
    delivered = an_outcome(DeliveryState.DELIVERED)
    deliveries.settle(claimed, delivered, keep_until=delivered.at + KEEP)

    noticed_at = delivered.at + 2 * SWEEP_EVERY
    noticed = done_with(messages, noticed_at)
    early = done_with(messages, noticed_at + KEEP - SWEEP_EVERY)
    late = done_with(messages, noticed_at + KEEP)

    assert (noticed, early, late) == ([], [], [a_message().id])


def test_a_body_without_rows_yet_is_not_taken_for_done(messages, a_message):
    """A message that is not expanded has deliveries that nobody has written."""
    message = a_message()
    messages.insert(messages.encode(message, [BOB], now=NOW))

    assert done_with(messages, message.created_at + timedelta(days=1)) == []


def test_a_swept_message_is_remembered_without_its_content(messages, a_message):
    """The record outlives the body."""
    message = a_message()
    messages.insert(messages.encode(message, [BOB], now=NOW))

    messages.mark_swept([message.id], NOW, expires_at=NOW + timedelta(days=30))

    found = messages.find(message.id)
    assert found is not None
    assert not found.has_content


@pytest.fixture
def unsure(messages, monkeypatch):
    """What the collection does is done, and its answer lost."""
    real = messages._messages

    class Unsure:
        def insert_many(self, documents, *, ordered):
            with contextlib.suppress(BulkWriteError):
                real.insert_many(documents, ordered=ordered)
            raise NotPrimaryError("stepped down")

        def __getattr__(self, name):
            return getattr(real, name)

    monkeypatch.setattr(messages, "_messages", Unsure())


def test_an_insert_whose_answer_was_lost_is_no_refusal(messages, a_message, unsure):
    """It may be stored, and would go out although its client was told no."""
    message = a_message()

    messages.insert(messages.encode(message, [BOB], now=NOW))

    assert messages.find(message.id) == message


def test_another_message_of_the_same_id_is_never_replaced(
    db, messages, a_message, unsure
):
    """However unlikely: what was promised stands, and this one is refused."""
    body = Body(file_id="other", size=4, hash="h", md5="m", is_8bit=False)
    promised = a_message(body=body)
    Messages(db).insert(messages.encode(promised, [BOB], now=NOW))

    with pytest.raises(StoreUnavailable):
        messages.insert(messages.encode(a_message(), [EVE], now=NOW))

    assert messages.find(promised.id) == promised
