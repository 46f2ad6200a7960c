from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from mta.relay.pool import MAX_IDLE, SessionPool

TTL = timedelta(seconds=5)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeSession:
    def __init__(self, *, uses=1, is_usable=True, quiet=True, keys=()):
        self.idle_until = 0.0
        self.keys = keys
        self.must_yield = False
        self.uses = uses
        self.is_usable = is_usable
        self.quiet = quiet
        self.is_closed = False

    def is_quiet(self):
        return self.quiet

    def close(self):
        self.is_closed = True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pool(clock):
    """A pool whose reaper never runs by itself."""
    return SessionPool(monotonic=clock, start_thread=lambda run: None)


def test_session_given_is_taken_once(pool):
    """Whoever takes a session has it alone."""
    session = FakeSession()
    pool.give("key", session, ttl=TTL, max_uses=100)

    assert pool.take("other") is None
    assert pool.take("key") is session
    assert pool.take("key") is None
    assert not session.is_closed


def test_all_sessions_of_a_key_are_kept(pool):
    """Taking one does not forget the others; the warmest comes first."""
    first, second = FakeSession(), FakeSession()
    pool.give("key", first, ttl=TTL, max_uses=100)
    pool.give("key", second, ttl=TTL, max_uses=100)

    assert [pool.take("key"), pool.take("key")] == [second, first]


@pytest.mark.parametrize(
    ("session", "ttl"),
    [
        pytest.param(FakeSession(uses=100), TTL, id="used often"),
        pytest.param(FakeSession(is_usable=False), TTL, id="unusable"),
        pytest.param(FakeSession(), timedelta(0), id="no time to live"),
    ],
)
def test_session_that_may_not_stay_is_closed(pool, session, ttl):
    """Used up, broken, or not wanted."""
    pool.give("key", session, ttl=ttl, max_uses=100)

    assert session.is_closed
    assert pool.take("key") is None


def test_session_that_waited_too_long_is_closed(pool, clock):
    """Peers lose patience; we lose it first."""
    session = FakeSession()
    pool.give("key", session, ttl=TTL, max_uses=100)
    clock.now += 5

    assert pool.take("key") is None
    assert session.is_closed


def test_dead_session_is_passed_over(pool):
    """One that the peer has closed is dropped, and the next one looked at."""
    alive, dead = FakeSession(), FakeSession(quiet=False)
    pool.give("key", alive, ttl=TTL, max_uses=100)
    pool.give("key", dead, ttl=TTL, max_uses=100)

    assert pool.take("key") is alive
    assert dead.is_closed


def test_reaper_closes_only_what_is_over(pool, clock):
    """Idle sessions go when their own time is over."""
    early, late = FakeSession(), FakeSession()
    pool.give("key", early, ttl=TTL, max_uses=100)
    pool.give("key", late, ttl=2 * TTL, max_uses=100)
    clock.now += 5

    assert pool.reap() == 1
    assert (early.is_closed, late.is_closed) == (True, False)


def test_one_reaper_is_started_for_all(clock):
    """Not one thread per session."""
    started = []
    pool = SessionPool(monotonic=clock, start_thread=started.append)
    for _ in range(3):
        pool.give("key", FakeSession(), ttl=TTL, max_uses=100)

    assert len(started) == 1


def test_idle_sessions_are_limited(pool):
    """Open files are too."""
    for number in range(MAX_IDLE):
        pool.give(number, FakeSession(), ttl=TTL, max_uses=100)
    extra = FakeSession()
    pool.give("key", extra, ttl=TTL, max_uses=100)

    assert extra.is_closed


def test_what_is_idle_is_counted(pool):
    """Given, taken, and when all is over."""

    def counted():
        return REGISTRY.get_sample_value("zonemta_connection_pool_size")

    for _ in range(3):
        pool.give("key", FakeSession(), ttl=TTL, max_uses=100)
    assert counted() == 3

    pool.take("key")
    assert counted() == 2

    pool.close_all()
    assert counted() == 0


def test_closed_pool_keeps_nothing(pool):
    """At the end idle sessions are closed, and those at work as they come back."""
    idle, at_work = FakeSession(), FakeSession()
    pool.give("key", idle, ttl=TTL, max_uses=100)

    pool.close_all()
    pool.give("key", at_work, ttl=TTL, max_uses=100)

    assert idle.is_closed
    assert at_work.is_closed
    assert repr(pool) == "<SessionPool idle=0 keys=0>"


def test_session_that_others_wait_for_is_not_kept(pool):
    """A slot is worth more to them than a warm session to nobody."""
    session = FakeSession()
    session.must_yield = True

    pool.give("key", session, ttl=TTL, max_uses=100)

    assert session.is_closed
    assert pool.take("key") is None


def test_session_put_back_unused_is_as_old_as_before(pool, clock):
    """The peer's patience does not begin anew with a look at the session."""
    session = FakeSession()
    pool.give("key", session, ttl=TTL, max_uses=100)
    clock.now += 4
    assert pool.take("key") is session
    pool.put_back("key", session)
    clock.now += 1

    assert pool.take("key") is None
    assert session.is_closed


def test_session_with_a_slot_is_found_the_longest_idle_first(pool):
    """Whoever needs room takes what is least likely to be needed."""
    others = FakeSession(keys=("zone:x", "domain:x:a.test"))
    older = FakeSession(keys=("zone:x", "domain:x:b.test"))
    newer = FakeSession(keys=("zone:x", "domain:x:b.test"))
    for number, session in enumerate((others, older, newer)):
        pool.give(number, session, ttl=TTL, max_uses=100)

    found = [pool.take_holding("domain:x:b.test") for _ in range(3)]

    assert found == [older, newer, None]
    assert pool.take(0) is others
