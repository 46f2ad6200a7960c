"""The timeline in words: no repetition is silent."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import Delivery, DeliveryState, Outcome
from mta.operate.timeline import last_doubt, next_step, remarks, timeline
from mta.reply import make_reply

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
END = NOW + timedelta(days=30)
S = DeliveryState


def an_outcome(state: DeliveryState = S.DEFERRED, **changes) -> Outcome:
    facts = {"at": NOW, "state": state, "reply": make_reply(450, "4.4.2", "No answer")}
    return Outcome(**(facts | changes))


def a_delivery(state: DeliveryState = S.QUEUED, **changes) -> Delivery:
    facts = {
        "id": "m1.001",
        "message_id": "m1",
        "zone": "default",
        "recipient": "bob@example.test",
        "domain": "example.test",
        "state": state,
        "created_at": NOW,
        "due_at": NOW,
        "give_up_at": END,
    }
    return Delivery(**(facts | changes))


DOUBT = an_outcome(S.IN_DOUBT, attempt=2, is_doubtful=True)


def test_tries_after_a_doubt_are_repetitions():
    """Those before it, and orders that tried nothing, are not."""
    log = (
        an_outcome(attempt=1),
        DOUBT,
        an_outcome(S.QUEUED, category="operator"),
        an_outcome(attempt=3),
        an_outcome(S.DELIVERED, attempt=4),
    )

    entries = timeline(a_delivery(S.DELIVERED, doubts=1, log=log))

    assert [entry.is_repeat for entry in entries] == [False, False, False, True, True]


def test_a_second_doubt_is_a_repetition_as_well():
    """Also one that a worker's death left, which nobody counted as a try."""
    died = an_outcome(S.IN_DOUBT, is_doubtful=True)

    entries = timeline(a_delivery(S.IN_DOUBT, doubts=2, log=(DOUBT, died)))

    assert [entry.is_repeat for entry in entries] == [False, True]


def test_a_doubt_that_fell_out_of_the_log_still_counts():
    """The log is bounded, the count of doubts is not."""
    delivery = a_delivery(S.DEFERRED, doubts=1, log=(an_outcome(attempt=61),))

    assert [entry.is_repeat for entry in timeline(delivery)] == [True]


def test_the_last_doubt_is_the_latest_in_the_log():
    """Its reply is the cause that people are told."""
    second = an_outcome(S.IN_DOUBT, attempt=3, is_doubtful=True)
    log = (DOUBT, second, an_outcome(S.DELIVERED, attempt=4))

    assert last_doubt(a_delivery(log=log)) is second
    assert last_doubt(a_delivery()) is None


@pytest.mark.parametrize(
    ("delivery", "text", "at"),
    [
        (
            a_delivery(waits_for="domain:default:b.test"),
            "parked for domain:default:b.test: sent when a slot is free",
            None,
        ),
        (
            a_delivery(put_off_by="zone:default", has_turn=True),
            "put off by zone:default; due",
            NOW,
        ),
        (a_delivery(has_turn=True), "has a turn of its own under a rate", NOW),
        (a_delivery(), "sent when its turn comes; due", NOW),
        (a_delivery(S.SENDING), "is being sent now", None),
        (a_delivery(S.DEFERRED), "tried again", NOW),
        (a_delivery(S.IN_DOUBT), "sent again", NOW),
        (a_delivery(S.IN_DOUBT, due_at=END), "waits for an operator; given up", END),
        (a_delivery(S.HELD, due_at=END), "waits for an operator; given up", END),
        (a_delivery(S.BOUNCED), "nothing: bounced", None),
        (
            a_delivery(S.CANCELLED, log=(an_outcome(category="operator"),)),
            "nothing: cancelled, as an operator decided",
            None,
        ),
        (
            a_delivery(S.DELIVERED, log=(an_outcome(is_doubtful=True),)),
            "nothing: taken for delivered",
            None,
        ),
        (
            a_delivery(S.DELIVERED, log=(DOUBT, an_outcome())),
            "nothing: delivered in the end",
            None,
        ),
    ],
    ids=[
        *("parked", "put off", "has a turn", "queued", "sending", "deferred"),
        *("in doubt, retried", "in doubt, for a person", "held", "bounced"),
        *("cancelled", "assumed by policy", "delivered after all"),
    ],
)
def test_next_step_is_told_in_words(delivery, text, at):
    """What happens if no operator steps in, and when."""
    assert next_step(delivery) == (text, at)


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (a_delivery(), []),
        (a_delivery(waits_for="zone:default"), ["parked for zone:default"]),
        (a_delivery(S.SENDING, doubts=1), ["repeat after doubt"]),
        (a_delivery(S.IN_DOUBT, doubts=1), []),
        (a_delivery(S.HELD, doubts=1), ["was in doubt"]),
        (a_delivery(S.DELIVERED, doubts=2), ["was in doubt"]),
        (
            a_delivery(waits_for="zone:default", doubts=1),
            ["parked for zone:default", "repeat after doubt"],
        ),
    ],
    ids=["plain", "parked", "repeated", "in doubt", "held", "finished", "both"],
)
def test_remarks_tell_what_the_state_does_not(delivery, expected):
    """Beside the state, on every page."""
    assert remarks(delivery) == expected
