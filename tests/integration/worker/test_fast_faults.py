"""What a worker on our Redis transport makes of kills, flushes and restarts."""

import json
import random
import signal
from base64 import b64decode, b64encode

import pytest

from tests.integration.worker.rig import QUEUE, Broker, eventually

KILLS = 8
PER_KILL = 600


@pytest.fixture
def broker(redis_of_test):
    """The fast transport on the test's own Redis."""
    broker = Broker(redis_of_test.url, "fast")
    yield broker
    broker.close()


def left(broker):
    """Names of the tasks that are queued, and of those taken but not acknowledged."""
    with broker.redis() as client:
        queued = client.lrange(f"{QUEUE}\x06\x165", 0, -1)
        unacked = [json.loads(entry)[0] for entry in client.hvals("unacked")]
        index = client.zcard("unacked_index")
    assert index == len(unacked)
    messages = [*(json.loads(text) for text in queued), *unacked]
    return [json.loads(b64decode(message["body"]))[0][0] for message in messages]


def test_no_kill_loses_a_message(broker, notes, start_worker):
    """What was published is done, queued or recorded as taken, at any moment."""
    names = [f"t{number}" for number in range(KILLS * PER_KILL)]
    broker.publish(*names)
    done = set()
    for _ in range(KILLS):
        worker = start_worker(slots=20)
        wanted = random.randrange(1, PER_KILL // 2)
        eventually(lambda wanted=wanted: len(notes.all("done")) >= wanted)
        worker.kill()
        done |= set(notes.take_all("done"))

        assert done | set(left(broker)) == set(names)


@pytest.mark.parametrize(
    ("pool", "queue"), [("gevent", QUEUE), ("solo", "mta.maintenance")]
)
def test_what_a_dead_worker_left_is_put_back(broker, notes, start_worker, pool, queue):
    """After the visibility timeout, by a worker of any pool and queue."""
    worker = start_worker()
    broker.publish("a 30")
    notes.next("started")
    worker.kill()
    assert (broker.unacked(), broker.waiting()) == (1, 0)

    start_worker(pool=pool, queues=queue, VISIBILITY_S="1")

    if pool == "gevent":
        assert notes.next("started") == ["a"]
    else:
        eventually(lambda: broker.waiting() == 1)
        assert broker.unacked() == 0


def test_a_lost_connection_starts_nothing_twice(broker, notes, start_worker):
    """What runs is not put back; its acknowledgement takes the next connection."""
    start_worker(slots=2)
    broker.publish("a 2")
    notes.next("started")
    with broker.redis() as client:
        client.client_kill_filter(_type="normal", skipme=True)
        client.client_kill_filter(_type="pubsub")
    broker.publish("b")

    assert notes.next("started") == ["b"]
    assert sorted(notes.next("done", 2)) == ["a", "b"]
    eventually(lambda: broker.unacked() == 0)
    assert notes.all("started") == []


def test_a_flushed_redis_is_used_again(broker, notes, start_worker):
    """FLUSHALL and SCRIPT FLUSH take messages and scripts, but no worker."""
    start_worker()
    broker.publish("running 1")
    notes.next("started")
    with broker.redis() as client:
        client.flushall()
        client.script_flush()

    broker.publish("after")

    assert sorted(notes.next("done", 2)) == ["after", "running"]
    assert (broker.unacked(), broker.waiting()) == (0, 0)


def test_an_error_of_redis_ends_no_worker(broker, notes, start_worker):
    """Here a key is of the wrong kind; after a failover Redis may be read-only."""
    start_worker()
    with broker.redis() as client:
        client.set(f"_mta.bell.{QUEUE}", "no list")
        eventually(lambda: client.info("stats")["total_error_replies"] > 5)
        client.delete(f"_mta.bell.{QUEUE}")
    broker.publish("after")

    assert notes.next("done") == ["after"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda message: message["headers"].update(eta="soon"),
        lambda message: message["headers"].pop("id"),
        lambda message: message["headers"].pop("task"),
        lambda message: message.pop("body"),
        lambda message: message.update(body=b64encode(b'[["bad"], {}, null]').decode()),
    ],
    ids=["eta", "id", "task", "body", "embedded"],
)
def test_a_malformed_message_ends_no_worker(broker, notes, start_worker, spoil):
    """It is rejected, and the next one runs."""
    broker.publish("bad")
    with broker.redis() as client:
        message = json.loads(client.rpop(f"{QUEUE}\x06\x165"))
        spoil(message)
        client.lpush(f"{QUEUE}\x06\x165", json.dumps(message))
    broker.publish("after")
    start_worker()

    assert notes.next("done") == ["after"]
    eventually(lambda: broker.unacked() == 0)


def test_a_restarted_redis_is_used_again(broker, redis_of_test, notes, start_worker):
    """Workers try to reconnect for ever; running tasks end meanwhile."""
    start_worker()
    broker.publish("running 1")
    notes.next("started")
    redis_of_test.kill()
    notes.next("done")
    redis_of_test.start()

    broker.publish("after")

    assert "after" in notes.next("done") + notes.all("done")
    eventually(lambda: broker.unacked() == 0)


def test_a_silent_redis_is_used_again(broker, redis_of_test, notes, start_worker):
    """It does not answer for a while, then as if nothing had been."""
    start_worker()
    broker.publish("running 1")
    notes.next("started")
    redis_of_test.signal(signal.SIGSTOP)
    notes.next("done")
    redis_of_test.signal(signal.SIGCONT)

    broker.publish("after")

    assert notes.next("done") == ["after"]
    eventually(lambda: broker.unacked() == 0)
