"""What happened to a delivery, and what happens next, in words for people.

No repetition is silent: whatever may have brought a second copy is marked.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mta.delivery import CLAIMABLE, Delivery, DeliveryState, Outcome

CATEGORY = "operator"  # of outcomes that a person brought about

# What may have arrived is sent, or will be sent, once more.
_ON_ITS_WAY = {DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.DEFERRED}


class Entry(NamedTuple):
    """One line of the timeline.

    Attributes:
        is_repeat: An earlier try may have delivered the message already.
    """

    outcome: Outcome
    is_repeat: bool


class Window(NamedTuple):
    """When a delivery is tried next, if nothing else happens.

    Attributes:
        latest: None: it depends on others, and before ``give_up_at`` it is.
    """

    earliest: datetime
    latest: datetime | None
    give_up_at: datetime


# A due delivery is rung for at once; should that be lost, the scheduler looks again.
STARTED_WITHIN: Final = timedelta(seconds=75)


class Next(NamedTuple):
    """What happens next to a delivery, and when, if there is a time for it."""

    text: str
    at: datetime | None = None


def timeline(delivery: Delivery) -> list[Entry]:
    """The outcomes so far, the oldest first."""
    shown = sum(outcome.is_doubtful for outcome in delivery.log)
    # The log is bounded: doubts that fell out of it were before all that is left.
    is_doubted = delivery.doubts > shown
    entries = []
    for outcome in delivery.log:
        was_tried = outcome.attempt > 0 or outcome.is_doubtful
        entries.append(Entry(outcome, is_repeat=is_doubted and was_tried))
        is_doubted = is_doubted or outcome.is_doubtful
    return entries


def last_doubt(delivery: Delivery) -> Outcome | None:
    """The latest try that may have delivered the message, if the log has it."""
    doubtful = (outcome for outcome in reversed(delivery.log) if outcome.is_doubtful)
    return next(doubtful, None)


def remarks(delivery: Delivery) -> list[str]:
    """What its state alone does not tell."""
    found = []
    if delivery.waits_for:
        found.append(f"parked for {delivery.waits_for}")
    if delivery.doubts and delivery.state in _ON_ITS_WAY:
        found.append("repeat after doubt")
    elif delivery.doubts and delivery.state is not DeliveryState.IN_DOUBT:
        found.append("was in doubt")
    return found


def next_step(delivery: Delivery) -> Next:
    """What happens next, if no operator steps in."""
    match delivery.state:
        case DeliveryState.QUEUED:
            return _next_of_queued(delivery)
        case DeliveryState.SENDING:
            return Next("is being sent now")
        case DeliveryState.DEFERRED:
            return Next("tried again", delivery.due_at)
        case DeliveryState.IN_DOUBT if delivery.due_at < delivery.give_up_at:
            return Next("sent again", delivery.due_at)
        case DeliveryState.IN_DOUBT | DeliveryState.HELD:
            return Next("waits for an operator; given up", delivery.give_up_at)
        case _:
            return Next(_ending_of(delivery))


def window_of(
    delivery: Delivery, now: datetime, waits: Sequence[timedelta | None]
) -> Window | None:
    """When it is tried next; None: never, or it is being tried.

    Args:
        waits: Of what would hold it up now; None for one whose end nobody knows.
    """
    is_waiting = delivery.state in CLAIMABLE and delivery.due_at < delivery.give_up_at
    if not is_waiting:
        return None
    earliest = max(delivery.due_at, now)
    known = [wait for wait in waits if wait is not None]
    if known and earliest == now:
        earliest = min(now + max(known), delivery.give_up_at)
    is_open = delivery.waits_for or len(known) < len(waits)
    latest = None if is_open else min(earliest + STARTED_WITHIN, delivery.give_up_at)
    return Window(earliest, latest, delivery.give_up_at)


def _next_of_queued(delivery: Delivery) -> Next:
    if delivery.waits_for:
        return Next(f"parked for {delivery.waits_for}: sent when a slot is free")
    if delivery.put_off_by:
        return Next(f"put off by {delivery.put_off_by}; due", delivery.due_at)
    if delivery.has_turn:
        return Next("has a turn of its own under a rate", delivery.due_at)
    return Next("sent when its turn comes; due", delivery.due_at)


def _ending_of(delivery: Delivery) -> str:
    last = delivery.last
    if last is not None and last.category == CATEGORY:
        return f"nothing: {delivery.state.value}, as an operator decided"
    if delivery.state is not DeliveryState.DELIVERED:
        return f"nothing: {delivery.state.value}"
    if last is not None and last.is_doubtful:
        return "nothing: taken for delivered"
    return "nothing: delivered in the end"
