"""Fixtures: brokers on an empty Redis, notes, and workers that end with the test."""

import contextlib
import signal

import pytest
import redis

from mta.embedded.find import find_redis
from mta.embedded.redis import redis_child, redis_url
from tests.conftest import held_port
from tests.integration.worker.rig import QUEUE, Broker, Notes, Server, Worker


@pytest.fixture
def notes(redis_server):
    return Notes(redis_server.removesuffix("/0") + "/1")


@pytest.fixture
def broker(redis_server):
    """The fast transport on an empty Redis."""
    yield from a_broker(redis_server, "fast")


@pytest.fixture
def stock_broker(redis_server):
    """kombu's transport on an empty Redis."""
    yield from a_broker(redis_server, "stock")


def a_broker(url, transport):
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    broker = Broker(url, transport)
    yield broker
    broker.close()


@pytest.fixture
def start_worker(broker, notes):
    """Starts workers that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*, pool="gevent", slots=4, queues=QUEUE, **environ):
            arguments = ("-P", pool, "-c", str(slots), "-Q", queues)
            worker = Worker(notes, {**broker.environ, **environ}, *arguments)
            return stack.enter_context(worker)

        yield start


@pytest.fixture
def redis_of_test(tmp_path):
    """A Redis that the test may kill and stop."""
    with held_port() as port:
        child = redis_child(find_redis({}), tmp_path, port, {})
        server = Server(child, redis_url(port, 0))
        yield server
        server.signal(signal.SIGCONT)
        server.kill()
