"""The limits of a process that has no Redis at all."""

from datetime import timedelta

import pytest

from mta.store.limits import Demand, Full, Granted, Later, Limits, Slot, Trouble
from mta.store.limits_troubles import Troubles
from mta.store.workers import Presence, Standing

SLOT = Slot("domain:default:b.test", 2)
DEMAND = Demand((SLOT, Slot("zone:default", 10)))


@pytest.fixture
def limits() -> Limits:
    limits = Limits(None)
    limits.start(lambda key: None, lambda keys: None)
    return limits


def test_without_redis_limits_hold_all_the_same(limits):
    """Before anybody is known to share, all is ours, and no more."""
    answers = [limits.acquire(member, DEMAND) for member in "abc"]

    assert answers == [Granted(), Granted(), Full(*SLOT)]
    assert not limits.is_shared


def test_an_empty_demand_is_granted(limits):
    """There may be nothing to ask for."""
    assert limits.acquire("a", Demand()) == Granted()


def test_a_change_of_shares_counts_from_the_next_question(limits):
    """Workers come and go."""
    limits.acquire("a", DEMAND)
    limits.set_standing(Standing(Presence(0, 2)))

    assert limits.acquire("b", DEMAND) == Full(*SLOT)
    limits.set_standing(Standing(Presence(0, 1)))
    assert limits.acquire("b", DEMAND) == Granted()


def test_any_slot_that_gets_free_may_be_waited_for(limits):
    """Other processes' rows are parked in the same place."""
    limits.acquire("a", DEMAND)

    assert limits.release("a", [SLOT.key, "zone:default"]) == [SLOT.key, "zone:default"]
    assert limits.release("a", []) == []


def test_dropped_slots_are_given_up(limits):
    """As Redis would do it."""
    limits.acquire("a", DEMAND)

    answer = limits.acquire("a", Demand(DEMAND.slots[1:]), drop=[SLOT.key])

    assert answer == Granted(freed=(SLOT.key,))
    assert limits.acquire("b", Demand((Slot(SLOT.key, 1),))) == Granted()


def test_what_is_wanted_is_known_until_it_is_not(limits):
    """By what this process itself says."""
    limits.acquire("a", Demand((SLOT,)))
    free = limits.want(SLOT)
    limits.acquire("b", Demand((SLOT,)))

    assert (free, limits.want(SLOT)) == (True, False)
    assert limits.is_wanted(SLOT.key)
    limits.unwant(SLOT.key)
    assert not limits.is_wanted(SLOT.key)


def test_a_want_of_nothing_never_finds_it_free(limits):
    """Asked with limit 0, it only notes that somebody waits."""
    assert not limits.want(Slot("zone:default", 0))
    assert limits.is_wanted("zone:default")


def test_trouble_comes_before_everything_else(limits):
    """Nothing is taken for a destination that is known to be dead."""
    limits.note_trouble("host:mx.b.test", "timed out", timedelta(minutes=5))

    answer = limits.acquire("a", Demand((Slot("k", 1),)), trouble="host:mx.b.test")

    assert isinstance(answer, Trouble)
    assert answer.text == "timed out"
    assert limits.acquire("b", Demand((Slot("k", 1),))) == Granted()


def test_trouble_ends_with_its_time():
    """And leaves no trace."""
    now = 0.0
    troubles = Troubles(monotonic=lambda: now)
    troubles.note("k", "timed out", timedelta(seconds=5))

    now = 4.0
    assert troubles.find("k") == Trouble("timed out", timedelta(seconds=1))
    now = 5.0
    assert troubles.find("k") is None


def test_of_too_many_troubles_the_last_are_remembered():
    """Hostile mail cannot fill the memory."""
    troubles = Troubles()
    for number in range(3000):
        troubles.note(str(number), "t", timedelta(minutes=5))

    assert troubles.find("0") is None
    assert troubles.find("2999") is not None
    assert len(troubles._known) <= 1000


def test_a_newcomer_decides_nothing_alone():
    """What is to be its share is still in use by those who do not know of it."""
    clock, naps = [100.0], []
    limits = Limits(None, monotonic=lambda: clock[0], sleep=naps.append)
    limits.set_standing(Standing(Presence(1, 2)), counted_in=timedelta(seconds=12))

    early = limits.acquire("a", DEMAND)
    clock[0] += 12
    known = limits.acquire("a", DEMAND)

    assert isinstance(early, Later)
    assert 0 < sum(naps) <= 1
    assert known == Granted()
