"""Several processes' limits over one Redis, as far as one process can play them."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from redis import Redis

from mta.config.values import Rate
from mta.store.limits import (
    Demand,
    Full,
    Granted,
    Later,
    Limits,
    Pace,
    Slot,
    Trouble,
)
from mta.store.limits_local import CLOSED
from mta.store.workers import Presence, Standing

SLOT = Slot("domain:default:b.test", 2)
SLOTS = Demand((SLOT, Slot("zone:default", 10)))
PATIENT_S = 15.0


def eventually(is_so: Callable[[], bool]) -> bool:
    """Whether it is so before patience ends."""
    until = time.monotonic() + PATIENT_S
    while time.monotonic() < until:
        if is_so():
            return True
        time.sleep(0.02)
    return False


class Two:
    """Two processes' limits, and what each was told to be wanted."""

    def __init__(self, url: str) -> None:
        self.heard: tuple[list[str], list[str]] = ([], [])
        self.freed: list[str] = []
        self.a, self.b = self.both = (Limits(url), Limits(url))
        for limits, heard in zip(self.both, self.heard, strict=True):
            limits.start(heard.append, self.freed.extend)

    def settle(self) -> None:
        """Wait until Redis decides, for both."""
        nothing = Pace("probe", Rate(1, timedelta(days=1)))
        for limits in self.both:
            assert eventually(lambda limits=limits: limits.is_shared)
            assert eventually(lambda limits=limits: not limits.is_wanted("nothing"))
        # The only question that Redis and a share answer differently.
        limits.acquire("a", Demand((), (nothing,)))

    def stop(self) -> None:
        for limits in self.both:
            limits.stop()


@pytest.fixture
def url(redis_server: str) -> Iterator[str]:
    url = redis_server.removesuffix("/0") + "/8"
    with Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


def settled(url: str) -> None:
    """Make the Redis one that was relied on for long."""
    with Redis.from_url(url) as client:
        run, (seconds, _) = client.info("server")["run_id"], client.time()
        ago = (seconds - 60) * 1_000_000
        client.hset(
            "mta:epoch",
            mapping={
                "id": ago,
                "run": run,
                "beat": seconds * 1_000_000,
                "settled": ago,
                "born": ago,
                "lost": 0,
            },
        )


@pytest.fixture
def two(url: str) -> Iterator[Two]:
    settled(url)
    two = Two(url)
    for limits in two.both:
        assert limits.is_shared
        assert eventually(lambda limits=limits: not limits.is_wanted("nothing"))
    yield two
    two.stop()


def test_slots_are_shared(two):
    """What the one takes, the other cannot."""
    two.a.acquire("a1", SLOTS)
    two.b.acquire("b1", SLOTS)

    assert two.a.acquire("a2", SLOTS) == Full(*SLOT)
    two.b.release("b1", [slot.key for slot in SLOTS.slots])
    assert two.a.acquire("a2", SLOTS) == Granted()


def test_rates_are_shared(two):
    """Turns are given out to both from one clock."""
    pace = Demand((), (Pace("zone:default", Rate(1, timedelta(minutes=1))),))
    first = two.a.acquire("a", pace)

    denied = [two.b.acquire("b", pace), two.a.acquire("a", pace)]

    assert first == Granted()
    assert [round(answer.wait.total_seconds()) for answer in denied] == [60, 120]


def test_all_hear_what_is_wanted(two):
    """Whoever keeps an idle session can let it go."""
    assert not two.b.is_wanted(SLOT.key)

    two.a.want(SLOT)

    assert two.a.is_wanted(SLOT.key)
    assert eventually(lambda: two.heard == ([SLOT.key], [SLOT.key]))
    assert two.b.is_wanted(SLOT.key)
    two.b.unwant(SLOT.key)
    assert not two.b.is_wanted(SLOT.key)
    assert eventually(lambda: not two.a.is_wanted(SLOT.key))


def test_what_was_missed_on_the_channel_is_looked_up(two, url):
    """A subscription that broke hides nothing: until it is back, all is wanted."""
    with Redis.from_url(url) as client:
        client.client_kill_filter(_type="pubsub")
        two.a.want(SLOT)

    assert eventually(lambda: SLOT.key in two.heard[1])
    assert eventually(lambda: not two.b.is_wanted("nothing"))
    assert two.b.is_wanted(SLOT.key)


def test_trouble_is_shared_and_cleared(two):
    """One finds out for all, in both directions."""
    two.a.note_trouble("host:mx.b.test", "timed out", timedelta(minutes=5))

    told = two.b.acquire("b", SLOTS, trouble="host:mx.b.test")

    assert isinstance(told, Trouble)
    assert told.text == "timed out"
    two.b.clear_trouble("host:mx.b.test")
    assert two.a.acquire("a", SLOTS, trouble="host:mx.b.test") == Granted()


def test_dropped_slots_are_handed_on(two):
    """Going on to another domain frees the first one's slot."""
    two.a.acquire("a", SLOTS)
    two.b.want(SLOT)

    answer = two.a.acquire("a", Demand(SLOTS.slots[1:]), drop=[SLOT.key])

    assert answer == Granted(freed=(SLOT.key,))


def test_the_slots_of_a_dead_process_are_handed_on(two, url):
    """Nobody releases them; one of those who live hears of each."""
    slot = Slot("domain:default:b.test", 1)
    two.a.want(slot)
    with Redis.from_url(url) as client:
        client.zadd("mta:slots:domain:default:b.test", {"dead.1": 1})

    assert eventually(lambda: two.freed)

    assert two.freed == [slot.key]
    assert two.b.acquire("b", Demand((slot,))) == Granted()


def test_a_fresh_redis_is_settled_after_three_seconds(url):
    """Meanwhile both have their shares, and what they took then counts."""
    two = Two(url)
    two.a.set_standing(Standing(Presence(0, 2)))
    two.b.set_standing(Standing(Presence(1, 2)))

    alone = [limits.acquire(f"{limits}{n}", SLOTS) for limits in two.both for n in "12"]
    two.settle()

    assert alone == [Granted(), Full(*SLOT)] * 2
    for limits in two.both:
        assert limits.acquire("third", SLOTS) == Full(*SLOT)
    two.stop()


def test_slots_survive_a_flush(two, url):
    """Before anybody may take a slot again, all have told what they hold."""
    two.a.acquire("a", SLOTS)
    two.b.acquire("b", SLOTS)
    two.a.want(SLOT)
    for rank, limits in enumerate(two.both):
        limits.set_standing(Standing(Presence(rank, 2)))

    with Redis.from_url(url) as client:
        client.flushdb()
        meanwhile = two.a.acquire("c", SLOTS)
        assert eventually(lambda: client.zcard("mta:slots:" + SLOT.key) == 2)
        assert eventually(lambda: client.zcard("mta:wanted") == 1)

    assert isinstance(meanwhile, Later)
    assert not meanwhile.is_turn


def test_a_slot_that_went_missing_is_taken_back(two, url):
    """A process that slept through its leases still has its connections."""
    two.a.acquire("a", SLOTS)
    with Redis.from_url(url) as client:
        client.delete("mta:slots:" + SLOT.key)

        two.a._link._renew()

        assert client.zcard("mta:slots:" + SLOT.key) == 1


def test_without_an_answer_shares_decide_at_once(unused_port_url):
    """Nobody waits for a timeout each time, and nobody gets more than a share."""
    later_s = 0.0
    limits = Limits(unused_port_url, monotonic=lambda: time.monotonic() + later_s)
    limits.set_standing(Standing(Presence(0, 2)))
    limits.start(lambda key: None, lambda keys: None)

    since = time.monotonic()
    at_first = [limits.acquire(f"m{n}", SLOTS) for n in range(100)]
    later_s = CLOSED.total_seconds()
    answers = [limits.acquire(f"m{n}", SLOTS) for n in range(100)]

    assert {type(answer) for answer in at_first} == {Later}
    assert answers == [Granted(), *[Full(*SLOT)] * 99]
    assert time.monotonic() - since < 1
    assert limits.is_wanted("anything")
    assert limits.release("m0", [SLOT.key]) == [SLOT.key]
    limits.stop()


@pytest.fixture
def unused_port_url() -> str:
    return "redis://127.0.0.1:1/0"


def test_a_rate_waits_out_what_redis_may_have_granted(two):
    """After Redis went, others' last grants are used first."""
    pace = Demand((), (Pace("zone:default", Rate(10, timedelta(seconds=1))),))
    two.a.acquire("a", pace)

    two.a._link.fail(ConnectionError("gone"))
    answer = two.a._local.acquire("a", pace, has_turn=False)

    assert isinstance(answer, Later)
    assert 1.0 < answer.wait.total_seconds() <= 1.1


class Park:
    """What the rows parked in MongoDB are: a list that all see."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: deque[int] = deque()

    def put(self, job: int) -> None:
        time.sleep(random.uniform(0, 0.002))
        with self._lock:
            self._jobs.append(job)

    def take(self) -> int | None:
        time.sleep(random.uniform(0, 0.002))
        with self._lock:
            return self._jobs.popleft() if self._jobs else None


class Worker(threading.Thread):
    """Does jobs under a limit, and parks those it is denied."""

    def __init__(self, limits: Limits, park: Park, jobs: deque[int], done: list[int]):
        super().__init__(daemon=True)
        self.limits, self.park, self.jobs, self.done = limits, park, jobs, done

    def run(self) -> None:
        while self.jobs:
            try:
                self.attempt(self.jobs.popleft())
            except IndexError:
                return

    def attempt(self, job: int) -> None:
        member = f"{id(self)}-{job}"
        if isinstance(self.limits.acquire(member, SLOTS), Full):
            self.park.put(job)
            if self.limits.want(SLOT):
                self.hand_on()
            return
        time.sleep(random.uniform(0, 0.003))
        self.done.append(job)
        if self.limits.release(member, [slot.key for slot in SLOTS.slots]):
            self.hand_on()

    def hand_on(self) -> None:
        job = self.park.take()
        if job is None:
            self.limits.unwant(SLOT.key)
            job = self.park.take()
            if job is not None:
                self.limits.want(Slot(SLOT.key, 0))
        if job is not None:
            self.jobs.append(job)  # the doorbell
            Worker(self.limits, self.park, self.jobs, self.done).start()


def test_no_wake_up_is_lost(two):
    """Everything that was parked is done, though nobody ever looks by the clock."""
    for _ in range(10):
        park, jobs, done = Park(), deque(range(100)), []
        workers = [
            Worker(limits, park, jobs, done) for limits in two.both for _ in range(4)
        ]
        for worker in workers:
            worker.start()

        assert eventually(lambda done=done: len(done) == 100)
        assert sorted(done) == list(range(100))
