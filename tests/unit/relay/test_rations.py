"""What one process knows of rations without asking."""

from datetime import timedelta
from ipaddress import ip_address

import pytest

from mta.config.zones import WarmUp, WarmupPlan
from mta.relay.rations import BELIEVED_FOR, Rations, UsedUp
from tests.unit.relay.fakes import NOW, Book

US = ip_address("192.0.2.10")
WARMUP = WarmUp(started=NOW.date(), plan="p")
PLAN = WarmupPlan(name="p", daily=(1, 5))
RATION = (US, "big", WARMUP, PLAN)
UNTIL = NOW + timedelta(hours=11, minutes=30)


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def used_up(book, clock):
    """A ration that was found used up just now."""
    rations = Rations(book, clock)
    rations.take(*RATION)
    assert rations.take(*RATION) == UsedUp(UNTIL - NOW)
    return rations


def test_a_ration_that_is_used_up_is_known_to_be(used_up, book):
    """Nobody is asked again for a while."""
    assert used_up.used_up_until(*RATION) == UNTIL
    assert used_up.take(*RATION) == UsedUp(UNTIL - NOW)
    assert book.asked == 2


def test_it_is_believed_for_half_a_minute(used_up, clock, book):
    """Others may have given back what they had counted."""
    book.sent.clear()
    clock.now += BELIEVED_FOR

    assert used_up.used_up_until(*RATION) is None
    assert used_up.take(*RATION).address == str(US)


def test_it_is_not_believed_for_longer_than_the_ration_lasts(book):
    """At midnight of UTC there is more."""
    clock = Clock()
    clock.now = UNTIL - timedelta(seconds=1)
    book.reserve = lambda *ration: type("Full", (), {"until": UNTIL})
    rations = Rations(book, clock)
    rations.take(*RATION)

    clock.now = UNTIL

    assert rations.used_up_until(*RATION) is None


def test_what_is_given_back_may_be_taken_at_once(book, clock):
    """Who gives it back knows."""
    rations = Rations(book, clock)
    taken = rations.take(*RATION)
    rations.take(*RATION)

    rations.give_back(taken)

    assert rations.used_up_until(*RATION) is None
    assert rations.take(*RATION).address == str(US)


@pytest.mark.parametrize(
    "ration",
    [
        (US, "others", WARMUP, PLAN),
        (ip_address("192.0.2.11"), "big", WARMUP, PLAN),
        (US, "big", WARMUP, PLAN.model_copy(update={"daily": (9, 9)})),
    ],
    ids=["another provider", "another address", "another plan"],
)
def test_nothing_is_known_of_other_rations(used_up, ration):
    """A file that was loaded anew may allow more."""
    assert used_up.used_up_until(*ration) is None
