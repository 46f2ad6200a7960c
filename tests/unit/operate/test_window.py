"""When a delivery is tried next, if nothing else happens."""

from datetime import timedelta

import pytest

from mta.delivery import DeliveryState
from mta.operate.timeline import STARTED_WITHIN, window_of
from tests.unit.operate.fakes import NOW, a_row

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
S = DeliveryState


@pytest.mark.parametrize("state", [S.QUEUED, S.DEFERRED])
def test_one_that_is_due_later_is_tried_then(state):
    """Within the time that the scheduler needs should its doorbell be lost."""
    due_at = NOW + HOUR

    window = window_of(a_row(state=state, due_at=due_at), NOW, [])

    assert window == (due_at, due_at + STARTED_WITHIN, NOW + timedelta(days=1))


def test_one_that_is_due_is_tried_from_now_on():
    """Not from when it was due."""
    window = window_of(a_row(due_at=NOW - HOUR), NOW, [])

    assert window[:2] == (NOW, NOW + STARTED_WITHIN)


def test_a_parked_one_is_tried_when_a_slot_is_free():
    """Nobody knows when that is."""
    window = window_of(a_row(waits_for="zone:default"), NOW, [])

    assert (window.earliest, window.latest) == (NOW, None)


def test_the_longest_wait_decides():
    """All of them must be over."""
    window = window_of(a_row(), NOW, [MINUTE, HOUR])

    assert (window.earliest, window.latest) == (
        NOW + HOUR,
        NOW + HOUR + STARTED_WITHIN,
    )


def test_a_wait_without_an_end_leaves_it_open():
    """It is tried no sooner than the known ones are over."""
    window = window_of(a_row(), NOW, [MINUTE, None])

    assert (window.earliest, window.latest) == (NOW + MINUTE, None)


def test_what_holds_others_up_now_may_be_over_when_it_is_due():
    """A wait is counted from now."""
    window = window_of(a_row(due_at=NOW + HOUR), NOW, [2 * HOUR])

    assert window.earliest == NOW + HOUR


def test_nothing_is_tried_after_it_is_given_up():
    """However long the wait."""
    end = NOW + 2 * MINUTE

    window = window_of(a_row(give_up_at=end), NOW, [HOUR])

    assert window == (end, end, end)


@pytest.mark.parametrize(
    "row",
    [
        a_row(state=S.HELD, due_at=NOW + HOUR, give_up_at=NOW + HOUR),
        a_row(state=S.HELD),
        a_row(state=S.SENDING),
        a_row(state=S.DELIVERED),
        a_row(state=S.IN_DOUBT, due_at=NOW + HOUR, give_up_at=NOW + HOUR),
    ],
    ids=["held", "held before it was due", "sending", "finished", "in doubt"],
)
def test_one_that_waits_for_a_person_or_is_done_is_not_tried(row):
    """Nothing of its own accord."""
    assert window_of(row, NOW, []) is None
