"""How much of each limit is in use, read in a real Redis."""

import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from mta.config.values import Rate
from mta.policy.limits import Demand, Later, Pace, Slot
from mta.store.limits_look import InUse, LimitsLook
from mta.store.limits_redis import RedisLimits, connect

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
ZERO = timedelta(0)
DOMAIN = Slot("domain:default:b.test", 5)
ZONE = Slot("zone:default", 9)
ODD = Slot("domain:default:" + "b" * 500, 2)
HOURLY = Pace("zone:default", Rate(1, timedelta(hours=1)))
SLOW = Pace("domain:default:b.test", Rate(2, MINUTE))
SLOTS = Demand(slots=(DOMAIN, ZONE))


@pytest.fixture(scope="module")
def url(redis_server: str) -> str:
    return redis_server.removesuffix("/0") + "/10"


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    redis = connect(url, connections=4)
    redis.flushdb()
    yield redis
    redis.flushdb()
    redis.close()


@pytest.fixture
def limits(redis: Redis) -> RedisLimits:
    """The limits in a Redis that everybody relies on."""
    limits = RedisLimits(redis)
    limits.beat("run-1", "")
    now = int(time.time() * 1_000_000)
    redis.hset("mta:epoch", mapping={"settled": now - 60_000_000, "beat": now})
    return limits


@pytest.fixture
def look(url: str) -> LimitsLook:
    return LimitsLook(url)


def test_connections_are_counted_by_their_limits(limits, look):
    """Those of each key that is asked for."""
    for member in "abc":
        limits.acquire(member, SLOTS)
    limits.acquire("d", Demand(slots=(ZONE,)))

    assert look.in_use(SLOTS).open == {DOMAIN.key: 3, ZONE.key: 4}


def test_connections_of_the_dead_are_not_counted(limits, look, redis):
    """Nobody has buried them yet; who comes now gets their slots."""
    for member in "abc":
        limits.acquire(member, SLOTS)
    ended = int(time.time() * 1_000_000) - 1
    redis.zadd(f"mta:slots:{DOMAIN.key}", {"a": ended, "b": ended})

    assert look.in_use(SLOTS).open == {DOMAIN.key: 1, ZONE.key: 3}


def test_a_key_that_is_too_long_is_found_by_its_digest(limits, look):
    """As whoever takes a slot of it names it."""
    demand = Demand(slots=(ODD,))
    limits.acquire("a", demand)

    assert look.in_use(demand).open == {ODD.key: 1}


def test_nothing_is_in_use_where_nobody_has_been(redis, look):
    """Not even if Redis is empty."""
    demand = Demand(slots=(DOMAIN,), paces=(SLOW,))

    found = look.in_use(demand, "default:b.test")

    assert found == InUse(open={DOMAIN.key: 0}, waits={SLOW.key: ZERO}, trouble=None)


def test_who_comes_now_waits_for_a_turn(limits, look):
    """One interval after the last grant."""
    demand = Demand(paces=(SLOW,))
    limits.acquire("a", demand)

    wait = look.in_use(demand).waits[SLOW.key]

    assert 29 * SECOND < wait <= 30 * SECOND


def test_who_comes_now_stands_behind_those_who_have_turns(limits, look):
    """As long as the script would let it wait."""
    demand = Demand(paces=(SLOW,))
    for member in "abcd":
        limits.acquire(member, demand)

    wait = look.in_use(demand).waits[SLOW.key]

    answer = limits.acquire("e", demand)
    assert isinstance(answer, Later)
    assert abs(wait - answer.wait) < SECOND
    assert wait > 119 * SECOND


def test_turns_under_another_rate_are_void(limits, look):
    """The file was changed: the last grant counts, and the line does not."""
    for member in "abcd":
        limits.acquire(member, Demand(paces=(HOURLY,)))
    faster = Demand(paces=(Pace(HOURLY.key, Rate(1, MINUTE)),))

    wait = look.in_use(faster).waits[HOURLY.key]

    assert ZERO < wait <= MINUTE


def test_the_trouble_of_a_destination_is_told(limits, look):
    """With what is left of its time."""
    limits.note_trouble("default:b.test", "450 4.4.1 nobody there", MINUTE)

    trouble = look.in_use(SLOTS, "default:b.test").trouble

    assert trouble.text == "450 4.4.1 nobody there"
    assert 55 * SECOND < trouble.left <= MINUTE
    assert look.in_use(SLOTS, "default:c.test").trouble is None


def test_where_there_is_no_destination_there_is_no_trouble(limits, look):
    """In the sandbox."""
    limits.note_trouble("", "nobody", MINUTE)

    assert look.in_use(SLOTS).trouble is None


def test_looking_changes_nothing(limits, look, redis):
    """Nothing is taken, and no life is prolonged."""
    demand = Demand(slots=(DOMAIN, ZONE), paces=(SLOW,))
    limits.acquire("a", demand)
    limits.note_trouble("default:b.test", "nobody", MINUTE)
    before = {key: redis.dump(key) for key in redis.keys("mta:*")}

    look.in_use(demand, "default:b.test")

    assert {key: redis.dump(key) for key in redis.keys("mta:*")} == before


def test_without_redis_nobody_knows():
    """Each worker has its own part."""
    assert LimitsLook(None).in_use(SLOTS) is None


@pytest.mark.parametrize("is_hanging", [False, True], ids=["gone", "hanging"])
def test_while_redis_is_away_nobody_knows(is_hanging):
    """That is said within a second or so: whoever asks is a person."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if is_hanging:
            server.listen()
        look = LimitsLook(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        started_at = time.monotonic()

        found = look.in_use(SLOTS)

    assert found is None
    assert time.monotonic() - started_at < 3.0
