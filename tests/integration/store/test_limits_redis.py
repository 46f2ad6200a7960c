"""The scripts, in a real Redis: one at a time, by a clock of the test's own."""

import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from mta.config.values import Rate
from mta.policy.limits import (
    Answer,
    Demand,
    Full,
    Granted,
    Later,
    Pace,
    Slot,
    Trouble,
    beat_of,
)
from mta.store.limits_ledger import Ledger
from mta.store.limits_redis import (
    LEASE,
    Grant,
    RedisLimits,
    Unsettled,
    connect,
)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
US = timedelta(microseconds=1)
START_US = 1_800_000_000_000_000

ZONE = Slot("zone:default", 5)
DOMAIN = Slot("domain:default:b.test", 2)
TEN_A_SECOND = Pace("zone:default", Rate(10, SECOND))
ONE_A_MINUTE = Pace("domain:default:b.test", Rate(1, MINUTE))


class Clock:
    """Microseconds that go on when told to."""

    def __init__(self) -> None:
        self.now = START_US

    def __call__(self) -> int:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by // US


class Rig(RedisLimits):
    """The scripts in an empty database, by a clock that is set."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.clock = Clock()
        super().__init__(redis, now=self.clock)

    def settle(self) -> None:
        """Become a Redis that everybody relies on."""
        self.redis.flushdb()
        self.clock.now = START_US
        self.beat("run-1", "")
        self.clock.advance(3 * SECOND)
        self.beat("run-1", "")

    def advance(self, by: timedelta) -> None:
        """Let time go by, with somebody alive all along."""
        self.clock.advance(by)
        self.redis.hset("mta:epoch", "beat", self.clock.now)

    def ask(self, member: str, *wants: Slot | Pace, **options: object) -> Answer:
        slots = tuple(want for want in wants if isinstance(want, Slot))
        paces = tuple(want for want in wants if isinstance(want, Pace))
        answer = self.acquire(member, Demand(slots, paces), **options)  # type: ignore[arg-type]
        assert not isinstance(answer, Unsettled)
        return answer


@pytest.fixture(scope="module")
def client(redis_server: str) -> Iterator[Redis]:
    redis = connect(redis_server.removesuffix("/0") + "/9", connections=4)
    yield redis
    redis.flushdb()
    redis.close()


@pytest.fixture
def rig(client: Redis) -> Rig:
    rig = Rig(client)
    rig.settle()
    return rig


def test_a_slot_is_taken_by_as_many_as_its_limit(rig):
    """And who comes too late hears which limit it was."""
    answers = [rig.ask(member, ZONE, DOMAIN) for member in "abc"]

    assert answers == [Granted(), Granted(), Full(*DOMAIN)]


def test_all_slots_are_taken_or_none(rig):
    """Who was denied the one has not taken the other."""
    for member in "ab":
        rig.ask(member, DOMAIN)
    for member in "cdef":
        rig.ask(member, ZONE)

    denied = [rig.ask(member, ZONE, DOMAIN) for member in "ghi"]

    assert denied == [Full(*DOMAIN)] * 3
    assert rig.ask("z", ZONE) == Granted()


def test_who_holds_a_slot_may_take_it_again(rig):
    """A member counts once, however often it asks."""
    for _ in range(5):
        rig.ask("a", DOMAIN)

    assert rig.ask("b", DOMAIN) == Granted()
    assert rig.ask("a", DOMAIN) == Granted()
    assert rig.ask("c", DOMAIN) == Full(*DOMAIN)


def test_a_released_slot_is_free_at_once(rig):
    """One release, one more that is granted."""
    for member in "ab":
        rig.ask(member, DOMAIN)

    rig.release("a", [DOMAIN.key])

    assert rig.ask("c", DOMAIN) == Granted()
    assert rig.ask("d", DOMAIN) == Full(*DOMAIN)


def test_the_slots_of_who_died_are_free_after_the_lease(rig):
    """Nobody has to clean up after a crash."""
    for member in "ab":
        rig.ask(member, DOMAIN)

    rig.advance(LEASE - US)
    before = rig.ask("c", DOMAIN)
    rig.advance(US)

    assert before == Full(*DOMAIN)
    assert rig.ask("c", DOMAIN) == Granted()


def test_the_dead_are_left_for_who_hands_their_slots_on(rig):
    """Taken silently, a slot would be worth one delivery instead of the next ones."""
    for member in "ab":
        rig.ask(member, DOMAIN)
    rig.want(DOMAIN)
    rig.advance(LEASE)

    taken = rig.ask("c", DOMAIN)

    assert taken == Granted()
    assert rig.bury([ZONE.key, DOMAIN.key]) == [DOMAIN.key] * 2
    assert rig.bury([ZONE.key, DOMAIN.key]) == []


def test_an_expired_lease_is_no_right_to_a_slot(rig):
    """Somebody else may have it by now."""
    for member in "ab":
        rig.ask(member, DOMAIN)
    rig.want(DOMAIN)
    rig.advance(LEASE)
    for member in "cd":
        rig.ask(member, DOMAIN)

    assert rig.ask("a", DOMAIN) == Full(*DOMAIN)


def test_a_renewed_lease_goes_on(rig):
    """The heartbeat of a living process keeps its slots."""
    for member in "ab":
        rig.ask(member, DOMAIN)

    rig.advance(LEASE - SECOND)
    rig.renew({DOMAIN.key: ["a"]})
    rig.advance(2 * SECOND)

    assert rig.ask("c", DOMAIN) == Granted()
    assert rig.ask("d", DOMAIN) == Full(*DOMAIN)


def test_a_renewal_brings_nobody_back(rig):
    """A heartbeat that overlaps a release must not take the slot again."""
    rig.ask("a", DOMAIN)
    rig.release("a", [DOMAIN.key])

    rig.renew({DOMAIN.key: ["a"]})

    assert rig.redis.exists("mta:slots:" + DOMAIN.key) == 0


def test_many_leases_are_renewed_at_once(rig):
    """A process may hold more than one script takes."""
    many = Slot("zone:default", 1000)
    members = [f"m{number}" for number in range(130)]
    for member in members:
        rig.ask(member, many)
    rig.advance(LEASE - SECOND)

    rig.renew({many.key: members})

    rig.advance(2 * SECOND)
    assert rig.ask("x", Slot(many.key, 130)) == Full(many.key, 130)


def test_dropped_slots_are_given_up_when_granted(rig):
    """A session that goes on for another domain takes the zone's slot along."""
    other = Slot("domain:default:c.test", 1)
    rig.ask("a", ZONE, DOMAIN)
    rig.want(DOMAIN)

    answer = rig.ask("a", ZONE, other, drop=[DOMAIN.key, ZONE.key])

    assert answer == Granted(freed=(DOMAIN.key,))
    assert rig.redis.zcard("mta:slots:" + DOMAIN.key) == 0
    assert rig.redis.zcard("mta:slots:" + ZONE.key) == 1


def test_dropped_slots_are_kept_when_denied(rig):
    """All or nothing holds for giving up, too."""
    other = Slot("domain:default:c.test", 1)
    rig.ask("x", other)
    rig.ask("a", ZONE, DOMAIN)

    rig.ask("a", ZONE, other, drop=[DOMAIN.key])

    assert rig.redis.zcard("mta:slots:" + DOMAIN.key) == 1


def test_grants_are_an_interval_apart(rig):
    """No burst is saved up, and a wait of up to a second is granted at once."""
    rig.advance(MINUTE)

    waits = [rig.ask("a", TEN_A_SECOND) for _ in range(12)]

    assert waits[:11] == [Granted(number * SECOND / 10) for number in range(11)]
    assert waits[11] == Later(TEN_A_SECOND.key, 1.1 * SECOND)


def test_turns_are_distinct_and_ordered(rig):
    """Everyone who is denied gets an instant of its own, and needs to ask but once."""
    rig.ask("a", ONE_A_MINUTE)

    turns = [rig.ask("a", ONE_A_MINUTE) for _ in range(3)]

    assert turns == [Later(ONE_A_MINUTE.key, number * MINUTE) for number in (1, 2, 3)]


def test_newcomers_stand_behind_the_turns_given_out(rig):
    """Who waited for its turn is not overtaken by one who just came."""
    rig.ask("a", ONE_A_MINUTE)
    rig.ask("b", ONE_A_MINUTE)
    rig.advance(MINUTE)

    newcomer = rig.ask("c", ONE_A_MINUTE)

    assert newcomer == Later(ONE_A_MINUTE.key, MINUTE)
    assert rig.ask("b", ONE_A_MINUTE, has_turn=True) == Granted()


def test_who_has_a_turn_and_comes_early_gets_another(rig):
    """Having had a turn is no right to exceed the rate."""
    rig.ask("a", ONE_A_MINUTE)

    assert rig.ask("b", ONE_A_MINUTE, has_turn=True) == Later(ONE_A_MINUTE.key, MINUTE)


def test_who_is_denied_at_his_turn_does_not_stand_at_the_end_again(rig):
    """Somebody was faster: the next turn is the next that is free, not an hour away."""
    line = [rig.ask(f"bulk{n}", ONE_A_MINUTE) for n in range(30)]

    rig.advance(MINUTE)
    assert rig.ask("urgent", ONE_A_MINUTE, has_turn=True) == Granted()
    denied = [rig.ask(name, ONE_A_MINUTE, has_turn=True) for name in ("bulk1", "x")]

    assert line[-1] == Later(ONE_A_MINUTE.key, 29 * MINUTE)
    assert denied == [Later(ONE_A_MINUTE.key, n * MINUTE) for n in (1, 2)]
    assert rig.ask("new", ONE_A_MINUTE) == Later(ONE_A_MINUTE.key, 29 * MINUTE)


def test_turns_end_at_the_horizon(rig):
    """Beyond an hour nothing is reserved; one asks again then."""
    rig.ask("a", ONE_A_MINUTE)
    for _ in range(60):
        last = rig.ask("a", ONE_A_MINUTE)

    beyond = [rig.ask("a", ONE_A_MINUTE) for _ in range(2)]
    rig.advance(MINUTE)

    assert last == Later(ONE_A_MINUTE.key, 60 * MINUTE)
    assert beyond == [Later(ONE_A_MINUTE.key, 60 * MINUTE)] * 2
    assert rig.ask("a", ONE_A_MINUTE) == Later(ONE_A_MINUTE.key, 60 * MINUTE)


def test_turns_that_nobody_comes_for_are_void(rig):
    """Mail that was cancelled does not keep other mail waiting for an hour."""
    for _ in range(30):
        rig.ask("a", ONE_A_MINUTE)

    rig.advance(2 * MINUTE + 31 * SECOND)

    assert rig.ask("b", ONE_A_MINUTE) == Granted()


@pytest.mark.parametrize("has_turn", [False, True])
def test_a_raised_rate_does_not_wait_for_the_turns_of_the_old_one(rig, has_turn):
    """They lie far ahead; the last grant, which does count, does not."""
    for member in "abcd":
        rig.ask(member, ONE_A_MINUTE)
    rig.advance(SECOND)

    raised = Pace(ONE_A_MINUTE.key, Rate(10, SECOND))

    assert rig.ask("e", raised, has_turn=has_turn) == Granted()


def test_a_lowered_rate_counts_from_the_last_grant(rig):
    """The first message by the new rate is a whole interval of it away."""
    rig.ask("a", TEN_A_SECOND)

    lowered = Pace(TEN_A_SECOND.key, Rate(1, MINUTE))

    assert rig.ask("b", lowered) == Later(lowered.key, MINUTE)


def test_lowered_slots_are_closed_at_once(rig):
    """Who holds one keeps it; nobody gets another before there are less."""
    rig.ask("a", Slot("zone:default", 2))
    rig.ask("b", Slot("zone:default", 2))

    lowered = Slot("zone:default", 1)

    assert rig.ask("c", lowered) == Full(*lowered)
    rig.release("a", ["zone:default"])
    assert rig.ask("c", lowered) == Full(*lowered)


def test_a_slow_limit_does_not_hold_up_a_fast_one(rig):
    """A domain with a long line of turns leaves the zone to the others."""
    for _ in range(30):
        rig.ask("a", TEN_A_SECOND, ONE_A_MINUTE)

    assert rig.ask("b", TEN_A_SECOND) == Granted(SECOND / 10)


def test_a_wait_counts_at_its_end_for_every_limit(rig):
    """All paces of one message are granted the same instant, or none."""
    slow = Pace("provider:default:p", Rate(2, SECOND))
    rig.ask("a", slow)

    both = rig.ask("b", TEN_A_SECOND, slow)

    assert both == Granted(SECOND / 2)
    assert rig.ask("c", TEN_A_SECOND) == Granted(0.6 * SECOND)


def test_who_is_denied_a_slot_is_charged_no_rate(rig):
    """All or nothing over both kinds."""
    for member in "ab":
        rig.ask(member, DOMAIN)

    rig.ask("c", DOMAIN, TEN_A_SECOND)

    assert rig.ask("d", TEN_A_SECOND) == Granted()


def test_who_is_denied_a_rate_takes_no_slot(rig):
    """And the other way round."""
    rig.ask("a", ONE_A_MINUTE)

    rig.ask("b", DOMAIN, ONE_A_MINUTE)

    assert rig.redis.exists("mta:slots:" + DOMAIN.key) == 0


def test_a_clock_from_the_future_heals(rig):
    """A server whose time was set back by a day does not stop mail for a day."""
    rig.advance(timedelta(days=1))
    rig.ask("a", TEN_A_SECOND)
    rig.clock.now = START_US
    rig.advance(5 * SECOND)

    assert rig.ask("b", TEN_A_SECOND) == Later(TEN_A_SECOND.key, 1.1 * SECOND)


def test_trouble_is_told_and_nothing_taken(rig):
    """One dead destination is not dialled by everybody."""
    rig.note_trouble("host:default:mx.b.test", "timed out", 5 * MINUTE)

    answer = rig.ask("a", DOMAIN, ONE_A_MINUTE, trouble="host:default:mx.b.test")

    assert isinstance(answer, Trouble)
    assert answer.text == "timed out"
    assert 4 * MINUTE < answer.left <= 5 * MINUTE
    assert rig.redis.keys("mta:[sc]l*") == []


def test_trouble_ends_when_it_is_cleared(rig):
    """Somebody got through."""
    rig.note_trouble("k", "timed out", MINUTE)
    rig.clear_trouble("k")

    assert rig.ask("a", DOMAIN, trouble="k") == Granted()


def test_a_release_tells_what_is_wanted(rig):
    """And nothing else."""
    rig.ask("a", ZONE, DOMAIN)
    rig.want(DOMAIN)

    assert rig.release("a", [ZONE.key, DOMAIN.key]) == [DOMAIN.key]


def test_a_want_tells_whether_a_slot_is_free(rig):
    """Who parks after the last release must not wait for another."""
    rig.ask("a", DOMAIN)
    free = rig.want(DOMAIN)
    rig.ask("b", DOMAIN)

    assert (free, rig.want(DOMAIN)) == (True, False)


def test_what_nobody_wants_any_more_is_forgotten(rig):
    """Releases then cost no look into MongoDB."""
    rig.ask("a", DOMAIN)
    rig.want(DOMAIN)

    rig.unwant(DOMAIN.key)

    assert rig.release("a", [DOMAIN.key]) == []
    assert rig.list_wanted() == []


def test_a_want_that_nobody_repeats_is_forgotten(rig):
    """The flags of a crashed system go by themselves."""
    rig.want(DOMAIN)

    rig.advance(timedelta(minutes=5))

    assert rig.release("a", [DOMAIN.key]) == []
    assert rig.list_wanted() == []


def test_restored_wants_are_as_good_as_new(rig):
    """After a flush the processes say again who waits."""
    rig.restore_wanted([DOMAIN.key, ZONE.key])

    assert sorted(rig.list_wanted()) == [DOMAIN.key, ZONE.key]
    assert rig.release("a", [DOMAIN.key]) == [DOMAIN.key]


def test_names_from_outside_stay_short(rig):
    """A domain of 100 kB with odd characters makes a key like any other."""
    odd = "domain:default:" + "\r\n*\0é\udcff" * 10_000

    answer = rig.ask("a", Slot(odd, 1), Pace(odd, Rate(1, SECOND)), trouble=odd)
    rig.want(Slot(odd, 1))
    rig.note_trouble(odd, odd, MINUTE)

    assert answer == Granted()
    assert max(map(len, rig.redis.keys())) < 100
    assert rig.release("a", [odd]) == [odd]
    assert all(map(str.isprintable, rig.list_wanted()))


def test_every_key_expires(rig):
    """Nothing stays for ever."""
    rig.ask("a", DOMAIN, ONE_A_MINUTE)
    rig.ask("b", DOMAIN, ONE_A_MINUTE)
    rig.want(DOMAIN)
    rig.note_trouble("k", "t", MINUTE)
    rig.register({ZONE.key: ["a"]}, [Grant(ZONE.key, rig.clock.now, 100)])
    rig.restore_wanted([ZONE.key])

    assert len(rig.redis.keys()) == 7
    assert all(rig.redis.ttl(key) > 0 for key in rig.redis.scan_iter())


# Epochs


def test_a_fresh_redis_is_not_relied_on_for_three_seconds(rig):
    """Everybody hears the same instant from when on it is."""
    rig.redis.flushdb()
    first = rig.beat("run-1", "")
    rig.clock.advance(2 * SECOND)
    second = rig.beat("run-1", "")

    unsettled = rig.acquire("a", Demand((ZONE,)))
    rig.clock.advance(SECOND)

    assert (first.left_us, second.left_us) == (3_000_000, 1_000_000)
    assert first.epoch == second.epoch
    assert unsettled == Unsettled(SECOND)
    assert rig.acquire("a", Demand((ZONE,))) == Granted()


def test_a_flushed_redis_takes_nothing_before_a_beat(rig):
    """A script that comes first knows nothing, and says so."""
    rig.redis.flushdb()

    assert rig.acquire("a", Demand((ZONE,))) == Unsettled(None)
    assert rig.want(ZONE) is None
    assert rig.release("a", [ZONE.key]) == [ZONE.key]


@pytest.mark.parametrize("silence", [5 * SECOND + US, timedelta(days=1)], ids=str)
def test_a_redis_that_was_silent_is_not_relied_on(rig, silence):
    """Others may have gone on without it."""
    rig.clock.advance(silence)

    before = rig.acquire("a", Demand((ZONE,)))
    pulse = rig.beat("run-1", "")

    assert before == Unsettled(None)
    assert pulse.left_us == 3_000_000


def test_a_redis_that_is_heard_every_five_seconds_is_relied_on(rig):
    """A late beat is no silence."""
    rig.clock.advance(5 * SECOND)

    assert rig.beat("run-1", "").left_us == 0


def test_a_restarted_redis_is_not_relied_on(rig):
    """It may lack its last second."""
    epoch = rig.beat("run-1", "").epoch
    rig.clock.advance(SECOND / 2)

    pulse = rig.beat("run-2", epoch)

    assert pulse.left_us == 3_000_000
    assert pulse.epoch != epoch


def test_what_was_forgotten_counts_as_granted_if_somebody_remembers_the_time(rig):
    """A rate is kept over a flush: its next grant is an interval after it."""
    epoch = rig.beat("run-1", "").epoch
    rig.ask("a", ONE_A_MINUTE)
    rig.redis.flushdb()
    rig.clock.advance(SECOND)
    rig.beat("run-1", epoch)
    rig.clock.advance(3 * SECOND)
    rig.beat("run-1", epoch)

    answer = rig.ask("a", ONE_A_MINUTE)

    assert answer == Later(ONE_A_MINUTE.key, 58 * SECOND)


def test_a_process_that_comes_second_may_remember(rig):
    """It is enough that it says so before Redis is settled."""
    epoch = rig.beat("run-1", "").epoch
    rig.redis.flushdb()
    rig.clock.advance(SECOND)
    rig.beat("run-1", "")
    rig.clock.advance(2 * SECOND)
    rig.beat("run-1", epoch)
    rig.clock.advance(SECOND)

    assert rig.ask("a", ONE_A_MINUTE) == Later(ONE_A_MINUTE.key, 58 * SECOND)


def test_a_first_start_keeps_nobody_waiting(rig):
    """Where nobody remembers anything, nothing was granted."""
    assert rig.ask("a", Pace("zone:z", Rate(1, timedelta(days=1)))) == Granted()


def test_what_was_granted_without_redis_counts(rig):
    """Slots are taken over their limit, clocks go forward and never back."""
    later, earlier = rig.clock.now + 500_000, rig.clock.now - 9_000_000
    rig.register(
        {DOMAIN.key: ["a", "b", "c"]},
        [Grant(TEN_A_SECOND.key, later, 100_000)],
    )
    rig.register({}, [Grant(TEN_A_SECOND.key, earlier, 100_000)])

    assert rig.ask("d", DOMAIN) == Full(*DOMAIN)
    assert rig.ask("d", TEN_A_SECOND) == Granted(0.6 * SECOND)


def test_who_decided_alone_hears_that_it_was_too_late(rig):
    """From the instant on that Redis is settled, it alone decides."""
    is_told = rig.register_one("a", [DOMAIN.key], ())

    assert not is_told
    assert rig.redis.exists("mta:slots:" + DOMAIN.key) == 0


# The scripts against the model


SLOTS = [Slot("s1", 1), Slot("s2", 2), Slot("s3", 3)]
PACES = [
    Pace("p1", Rate(10, SECOND)),
    Pace("p2", Rate(7, SECOND)),
    Pace("p3", Rate(100, MINUTE)),
    Pace("p4", Rate(3, MINUTE)),
    Pace("p5", Rate(1, timedelta(hours=1))),
]
waits = st.one_of(
    st.integers(0, 300_000),
    st.integers(0, 70_000_000),
    st.sampled_from([100_000, 600_000, 60_000_000, 70_000_001, 3_600_000_000]),
)
asks = st.tuples(
    st.just("ask"),
    st.sampled_from("abcd"),
    st.lists(st.sampled_from(SLOTS), unique=True, max_size=2),
    st.lists(st.sampled_from(PACES), unique=True, max_size=2),
    st.sampled_from([False, False, True]),
    st.lists(st.sampled_from([slot.key for slot in SLOTS]), unique=True, max_size=2),
    # A crowd, so that lines of turns get long.
    st.sampled_from([1, 1, 1, 5, 30]),
)
releases = st.tuples(
    st.just("release"), st.sampled_from("abcd"), st.sampled_from(SLOTS)
)
steps = st.lists(
    st.one_of(asks, asks, asks, releases, st.tuples(st.just("wait"), waits)),
    min_size=25,
    max_size=60,
)


class Model:
    """What the scripts should do, as a ledger does it."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    def ask(self, now, member, slots, paces, has_turn, drop):
        answer = self.ledger.acquire(
            now,
            member,
            slots,
            [beat_of(pace) for pace in paces],
            has_turn=has_turn,
            until=now + LEASE // US,
        )
        if isinstance(answer, Granted):
            kept = {slot.key for slot in slots}
            self.ledger.release(member, [key for key in drop if key not in kept])
        return answer


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
@given(steps=steps)
def test_the_scripts_agree_with_the_model(rig, steps):
    """Whatever is asked in whatever order, and no limit is ever exceeded."""
    rig.settle()
    model = Model()
    grants: dict[Pace, list[int]] = {pace: [] for pace in PACES}

    for step in steps:
        match step:
            case ("wait", us):
                rig.advance(us * US)
            case ("release", member, slot):
                rig.release(member, [slot.key])
                model.ledger.release(member, [slot.key])
            case ("ask", member, slots, paces, has_turn, drop, times):
                for _ in range(times):
                    question = (member, slots, paces, has_turn, drop)
                    answer = rig.ask(
                        member, *slots, *paces, has_turn=has_turn, drop=drop
                    )
                    assert answer == model.ask(rig.clock.now, *question)
                    if isinstance(answer, Granted):
                        for pace in paces:
                            grants[pace].append(rig.clock.now + answer.wait // US)
        for slot in SLOTS:
            assert model.ledger.count(slot.key, rig.clock.now) <= slot.limit

    for pace, instants in grants.items():
        # An interval between any two is the same as the bound on every window.
        gaps = [later - sooner for sooner, later in itertools.pairwise(instants)]
        assert all(gap * US >= pace.rate.interval for gap in gaps)
