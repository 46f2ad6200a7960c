"""Acknowledgements: grouped, and kept until Redis has taken them."""

import gevent
import pytest
from gevent.event import Event
from redis.exceptions import ConnectionError as Away

from mta.worker.transport import acks as acks_module
from mta.worker.transport.acks import Acks


class FakeRedis:
    """Counts round trips; fails while ``is_away``."""

    def __init__(self):
        self.is_away = False
        self.answers = Event()
        self.answers.set()
        self.trips = []

    def pipeline(self, transaction):
        assert not transaction  # a full Redis refuses them
        return FakePipeline(self)


class FakePipeline:
    def __init__(self, redis):
        self._redis = redis
        self._commands = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def zrem(self, *words):
        self._commands.append(("zrem", *words))

    def hdel(self, *words):
        self._commands.append(("hdel", *words))

    def execute(self):
        self._redis.answers.wait()
        if self._redis.is_away:
            raise Away
        self._redis.trips.append(self._commands)


@pytest.fixture
def redis():
    return FakeRedis()


@pytest.fixture
def acks(redis):
    return Acks(redis, "unacked", "unacked_index")


def test_many_are_one_round_trip(redis, acks):
    """A few milliseconds gather what many tasks finish."""
    for tag in "abc":
        acks.add(tag)

    gevent.sleep(0.05)

    assert redis.trips == [
        [("hdel", "unacked", "a", "b", "c"), ("zrem", "unacked_index", "a", "b", "c")]
    ]


def test_the_last_ones_need_not_wait(redis, acks):
    """A worker that ends does not sleep before."""
    acks.add("a")
    acks.flush()

    assert len(redis.trips) == 1
    assert len(acks) == 0


def test_the_end_waits_for_what_is_under_way(redis, acks):
    """What another greenlet sends just now must arrive before the process ends."""
    redis.answers.clear()
    acks.add("a")
    gevent.spawn(acks.flush)
    gevent.spawn_later(0.05, redis.answers.set)
    gevent.idle()

    acks.flush()

    assert len(redis.trips) == 1


def test_nothing_costs_nothing(redis, acks):
    """A flush without acknowledgements asks nobody."""
    acks.flush()

    assert redis.trips == []


def test_what_redis_does_not_take_is_tried_again(redis, acks, monkeypatch):
    """A task that ended while Redis was away is acknowledged when it is back."""
    monkeypatch.setattr(acks_module, "RETRY_EVERY_S", 0.01)
    redis.is_away = True
    acks.add("a")
    acks.flush()
    redis.is_away = False
    acks.add("b")

    gevent.sleep(0.1)

    assert [trip[0] for trip in redis.trips] == [("hdel", "unacked", "a", "b")]
