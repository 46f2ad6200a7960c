"""A process that cannot ask keeps to its share."""

import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mta.config.values import Rate
from mta.policy.limits import Demand, Full, Granted, Later, Pace, Slot
from mta.store.limits_local import ASK_AGAIN, CLOSED, LocalLimits, SharedClock
from mta.store.workers import Presence, Standing

SECOND_US = 1_000_000
US = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
SLOT = Slot("zone:default", 5)
TEN_A_SECOND = Demand((), (Pace("zone:default", Rate(10, timedelta(seconds=1))),))


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000 * SECOND_US

    def __call__(self) -> int:
        return self.now


def a_process(clock: Clock, rank: int = 0, count: int = 1) -> LocalLimits:
    local = LocalLimits(clock)
    local.set_standing(Standing(Presence(rank, count)))
    return local


def ask(local: LocalLimits, member: str, demand: Demand, *, has_turn: bool = False):
    return local.acquire(member, demand, has_turn=has_turn)


def test_shares_of_slots_add_up():
    """Three processes hold five together."""
    clock = Clock()
    processes = [a_process(clock, rank, 3) for rank in range(3)]

    answers = [
        [ask(local, f"m{n}", Demand((SLOT,))) for n in range(3)] for local in processes
    ]

    granted = [sum(isinstance(a, Granted) for a in row) for row in answers]
    assert sorted(granted) == [1, 2, 2]
    assert {row[2] for row in answers} == {Full(*SLOT)}


def test_who_has_no_share_asks_again_soon():
    """One connection cannot be divided; the next task may be another's."""
    clock = Clock()
    processes = [a_process(clock, rank, 2) for rank in range(2)]
    demand = Demand((Slot("zone:bounces", 1),))

    answers = [ask(local, "a", demand) for local in processes]

    none = Later("zone:bounces", ASK_AGAIN, is_turn=False)
    assert sorted(answers, key=repr) == [Granted(), none]


def test_it_is_not_always_the_same_process_that_has_no_share():
    """Of many domains that allow one connection each, everybody has some."""
    clock = Clock()
    processes = [a_process(clock, rank, 3) for rank in range(3)]
    slots = [Slot(f"domain:default:{n}.test", 1) for n in range(60)]

    granted = [
        [isinstance(ask(local, "a", Demand((slot,))), Granted) for slot in slots]
        for local in processes
    ]

    assert [sum(row) for row in zip(*granted, strict=True)] == [1] * 60
    assert min(sum(row) for row in granted) > 10


def test_a_limit_is_shared_by_those_who_may_need_it():
    """A zone's by its own workers; an address of ours by all."""
    local = LocalLimits(Clock())
    local.set_standing(Standing(Presence(3, 4), {"bounces": Presence(0, 1)}))
    slots = [
        *("zone:bounces", "domain:bounces:a.test", "provider:bounces:big"),
        *("source:192.0.2.1", "shared:bounces"),
    ]

    room = [
        sum(
            isinstance(ask(local, str(n), Demand((Slot(key, 8),))), Granted)
            for n in range(9)
        )
        for key in slots
    ]

    assert room == [8, 8, 8, 2, 2]


def test_nothing_is_opened_while_others_may_hold_more_than_their_share():
    """Redis went: what it had granted comes to its end first."""
    clock = Clock()
    local = a_process(clock, rank=0, count=2)
    local.hold("a", [SLOT.key])
    local.begin(after_others=True)

    kept = ask(local, "a", Demand((SLOT,)))
    new = ask(local, "b", Demand((SLOT,)))
    had_room = local.has_room(SLOT)
    clock.now += CLOSED // US

    assert kept == Granted()
    assert new == Later(SLOT.key, ASK_AGAIN, is_turn=False)
    assert not had_room
    assert ask(local, "b", Demand((SLOT,))) == Granted()


def test_who_is_alone_goes_on_at_once():
    """There is nobody who could hold anything."""
    local = a_process(Clock())

    local.begin(after_others=True)

    assert ask(local, "a", Demand((SLOT,))) == Granted()


def test_what_redis_granted_counts():
    """Who holds more than its share opens nothing until it holds less."""
    local = a_process(Clock(), rank=0, count=5)
    for member in "abc":
        local.hold(member, [SLOT.key])

    denied = [ask(local, "d", Demand((SLOT,)))]
    for member in "ab":
        local.release(member, [SLOT.key])
        denied.append(ask(local, "d", Demand((SLOT,))))
    local.release("c", [SLOT.key])

    assert denied == [Full(*SLOT)] * 3
    assert local.has_room(SLOT)
    assert ask(local, "d", Demand((SLOT,))) == Granted()
    assert not local.has_room(SLOT)


def test_alone_all_of_the_rate_is_ours():
    """Ten a second, from the first moment."""
    local = a_process(Clock())

    waits = [ask(local, "a", TEN_A_SECOND) for _ in range(3)]

    assert waits == [Granted(n * 100_000 * US) for n in range(3)]


@given(
    starts=st.lists(st.integers(0, 5 * SECOND_US), min_size=2, max_size=8),
    pauses=st.lists(st.integers(0, 3 * SECOND_US), min_size=1, max_size=20),
)
def test_processes_that_cannot_talk_keep_a_rate_together(starts, pauses):
    """Whenever each of them asks, an interval lies between any two grants."""
    granted = []
    for rank, start in enumerate(starts):
        clock = Clock()
        clock.now += start
        local = a_process(clock, rank, len(starts))
        for pause in pauses:
            clock.now += pause
            answer = ask(local, "a", TEN_A_SECOND, has_turn=True)
            if isinstance(answer, Granted):
                granted.append(clock.now + answer.wait // US)

    gaps = [b - a for a, b in itertools.pairwise(sorted(granted))]
    assert all(gap >= 100_000 for gap in gaps)


def test_turns_of_a_share_are_further_apart():
    """Each process gives out its own, and together they are the rate's."""
    clock = Clock()
    pace = Demand((), (Pace("zone:default", Rate(1, timedelta(minutes=1))),))
    processes = [a_process(clock, rank, 4) for rank in range(4)]

    turns = [[ask(local, "a", pace).wait for _ in range(2)] for local in processes]

    assert all(b - a == timedelta(minutes=4) for a, b in turns)
    waits = sorted(wait for row in turns for wait in row)
    assert {b - a for a, b in itertools.pairwise(waits)} == {timedelta(minutes=1)}


def test_domains_of_one_rate_do_not_meet_at_the_same_ticks():
    """A share of the zone's rate is used, and not one message of each tick."""
    clock = Clock()
    local = a_process(clock, rank=1, count=4)
    zone, slow = Pace("zone:default", TEN_A_SECOND.paces[0].rate), Rate(1, SECOND)
    domains = [Pace(f"domain:default:{n}.test", slow) for n in range(40)]
    granted = []
    for _ in range(400):
        clock.now += SECOND_US // 10
        for domain in domains:
            answer = ask(local, "a", Demand((), (domain, zone)), has_turn=True)
            if isinstance(answer, Granted):
                granted.append(clock.now + answer.wait // US)

    gaps = [b - a for a, b in itertools.pairwise(granted)]
    assert min(gaps) >= 400_000
    assert len(granted) >= 80  # of 100


def test_after_redis_went_its_last_grants_are_used_first():
    """A second, and an interval: then nothing of it can be left."""
    clock = Clock()
    local = a_process(clock)
    local.begin(after_others=True)

    first = ask(local, "a", TEN_A_SECOND)
    clock.now += 400_000
    local.begin(after_others=True)

    assert first == Later("zone:default", 1_100_000 * US)
    assert ask(local, "a", TEN_A_SECOND, has_turn=True) == Granted(700_000 * US)


def test_what_was_granted_alone_is_told():
    """The instant of each rate's last grant, for Redis to go on from."""
    clock = Clock()
    local = a_process(clock)
    for _ in range(3):
        ask(local, "a", TEN_A_SECOND)

    (grant,) = local.list_grants()

    assert grant == ("zone:default", clock.now + 200_000, 100_000)


def test_a_shared_clock_learns_from_redis():
    """A quick answer sets it, a slow one moves it no more than it proves."""
    clock = SharedClock(monotonic=lambda: 100.0, wall=lambda: 5_000.0)
    before = clock()

    clock.set(6_000 * SECOND_US, asked_at=100.0, heard_at=100.0)
    learned = clock()
    clock.set(6_000 * SECOND_US + 400_000, asked_at=99.0, heard_at=100.0)

    assert before == 5_000 * SECOND_US
    assert learned == 6_000 * SECOND_US
    assert clock() == 6_000 * SECOND_US + 400_000
