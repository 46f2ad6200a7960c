"""Doorbells on a real Redis, read back as Celery reads them."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis
from celery import Celery

from mta.config.settings import load_settings
from mta.config.zones import Config
from mta.delivery import Delivery, DeliveryState
from mta.worker.celery_settings import celery_settings
from mta.worker.doorbell import PAUSE_S, TASK, Doorbell

NOW = datetime.now(UTC).replace(microsecond=0)

DELIVERY = Delivery(
    id="m.001",
    message_id="m",
    zone="default",
    recipient="bob@b.test",
    domain="b.test",
    state=DeliveryState.QUEUED,
    created_at=NOW,
    due_at=NOW,
    give_up_at=NOW + timedelta(days=1),
)


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server) as connection:
        connection.flushall()
        yield connection


def an_app(url):
    app = Celery("test")
    app.conf.update(celery_settings(load_settings({"MTA_BROKER_URL": url}), Config()))
    return app


@pytest.fixture
def doorbell(redis_server, client):
    app = an_app(redis_server)
    yield Doorbell(app, by="test")
    app.close()


def waiting(client, zone="default"):
    """Headers and arguments of the messages in a zone's queue, next one first."""
    messages = [json.loads(raw) for raw in client.lrange(f"{zone}\x06\x165", 0, -1)]
    return list(reversed(messages))


def test_a_doorbell_is_an_ordinary_celery_message(doorbell, client):
    """Its one argument is the delivery's id, and Flower can name it."""
    doorbell.ring("default", [DELIVERY], rung_at=NOW)

    (message,) = waiting(client)
    headers = message["headers"]
    assert headers["task"] == TASK
    assert headers["id"].startswith("m.001-0.")
    assert (headers["retries"], headers["eta"]) == (0, None)
    assert message["properties"]["delivery_info"]["routing_key"] == "default"


def test_a_later_doorbell_is_a_celery_retry_with_its_eta(doorbell, client):
    """Attempts so far, and when it is due."""
    due_at = NOW + timedelta(seconds=4)

    doorbell.ring(
        "default", [replace(DELIVERY, attempts=3, due_at=due_at)], rung_at=NOW
    )

    (message,) = waiting(client)
    assert message["headers"]["retries"] == 3
    assert datetime.fromisoformat(message["headers"]["eta"]) == due_at


def test_a_transactional_doorbell_goes_first(doorbell, client):
    """It stands in the list that is taken from first."""
    urgent = replace(DELIVERY, id="urgent", lane="0:shop")
    doorbell.ring("default", [DELIVERY, urgent], rung_at=NOW)

    assert len(waiting(client)) == 1
    (raw,) = client.lrange("default", 0, -1)
    assert json.loads(raw)["headers"]["argsrepr"] == "('urgent',)"


def test_a_redis_worker_may_hold_a_doorbell_for_seconds(doorbell):
    """The scheduler rings that early, so that the task starts on time."""
    assert timedelta(0) < doorbell.eta_lead <= timedelta(seconds=5)


def test_many_doorbells_are_one_burst_in_order(doorbell, client):
    """Each recipient has a task of its own."""
    many = [replace(DELIVERY, id=f"m.{n:03x}") for n in range(2_500)]

    rung = doorbell.ring("default", many, rung_at=NOW)

    assert rung == 2_500
    assert [m["headers"]["argsrepr"] for m in waiting(client)] == [
        f"('{delivery.id}',)" for delivery in many
    ]


def test_the_room_shrinks_with_every_ring(doorbell):
    """Until the next measurement our own rings are counted."""
    before = doorbell.room("default", most=30)
    doorbell.ring("default", [DELIVERY] * 10, rung_at=NOW)

    assert (before, doorbell.room("default", most=30)) == (30, 20)


def test_each_class_has_room_of_its_own(doorbell):
    """Password mails do not wait because a newsletter is on its way."""
    doorbell.ring("default", [DELIVERY] * 30, rung_at=NOW)

    assert doorbell.room("default", most=30) == 0
    assert doorbell.room("default", most=30, is_transactional=True) == 30


def test_the_depth_is_of_one_class_or_of_both(doorbell):
    """They are lists of their own."""
    urgent = replace(DELIVERY, lane="0:shop")
    doorbell.ring("default", [DELIVERY, DELIVERY, urgent], rung_at=NOW)

    assert doorbell.depth("default") == 3
    assert doorbell.depth("default", is_transactional=False) == 2
    assert doorbell.depth("default", is_transactional=True) == 1


def test_a_list_found_full_is_looked_at_again_soon(redis_server, client):
    """Idle workers must not wait for a quarter of a second."""
    app, clock = an_app(redis_server), [100.0]
    doorbell = Doorbell(app, by="test", monotonic=lambda: clock[0])
    doorbell.ring("default", [DELIVERY] * 10, rung_at=NOW)
    full = doorbell.room("default", most=10)
    client.flushall()  # the workers have taken all

    clock[0] += 0.05
    room = doorbell.room("default", most=10)
    app.close()

    assert (full, room) == (0, 10)


def test_each_ring_is_a_task_of_its_own(doorbell, client):
    """Who revokes one has not revoked all that come later."""
    for seconds in (0, 60):
        rung_at = NOW + timedelta(seconds=seconds)
        doorbell.ring("default", [DELIVERY], rung_at=rung_at)

    assert len({message["headers"]["id"] for message in waiting(client)}) == 2


def test_the_oldest_doorbell_is_the_first_that_waits(doorbell):
    """What was rung before it is in the list no more."""
    doorbell.ring("default", [DELIVERY], rung_at=NOW)
    doorbell.ring("default", [DELIVERY], rung_at=NOW + timedelta(seconds=9))

    assert doorbell.oldest_rung_at("default") == NOW
    assert doorbell.oldest_rung_at("empty") is None


def test_the_oldest_transactional_doorbell_is_in_the_other_list(doorbell):
    """The two do not stand behind each other."""
    urgent = replace(DELIVERY, lane="0:shop")
    doorbell.ring("default", [urgent], rung_at=NOW + timedelta(seconds=9))

    oldest = doorbell.oldest_rung_at("default", is_transactional=True)

    assert oldest == NOW + timedelta(seconds=9)
    assert doorbell.oldest_rung_at("default") is None


@pytest.mark.parametrize(
    "message", ["x", "[]", "{}", '{"headers": null}', '{"headers": {"rung": 5}}']
)
def test_a_message_of_others_has_no_age(doorbell, client, message):
    """Anybody may write to the list."""
    client.rpush("default\x06\x165", message)

    assert doorbell.oldest_rung_at("default") is None


def test_a_broker_that_is_away_is_not_asked_again_at_once(redis_server):
    """A ring that fails costs acceptance one attempt, then nothing for a while."""
    app = an_app("redis://127.0.0.1:1/0")
    clock = [100.0]
    doorbell = Doorbell(app, by="test", monotonic=lambda: clock[0])

    first = doorbell.ring("default", [DELIVERY], rung_at=NOW)
    app.close()
    again = doorbell.ring("default", [DELIVERY], rung_at=NOW)
    depth = doorbell.depth("default")
    clock[0] += PAUSE_S + 1

    assert (first, again, depth) == (0, 0, None)
    assert doorbell.room("default", most=30) == 0


def test_a_silent_broker_holds_nobody_up_for_long(redis_of_test):
    """It takes connections and answers nothing; all who wait meanwhile wait once."""
    app = an_app(redis_of_test.url)
    doorbell = Doorbell(app, by="test")
    doorbell.ring("default", [DELIVERY], rung_at=NOW)
    redis_of_test.signal(signal.SIGSTOP)
    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        rings = [
            threads.submit(doorbell.ring, "default", [DELIVERY], rung_at=NOW)
            for _ in range(8)
        ]
        published = [ring.result() for ring in rings]
    took_s = time.monotonic() - began
    app.close()

    assert published == [0] * 8
    assert took_s < 8  # each 1.5 s, would all of them wait


def test_who_waited_for_a_connection_does_not_try_as_well(redis_of_test):
    """There are fewer connections than callers; one timeout is enough for all."""
    app = an_app(redis_of_test.url)
    app.conf.broker_pool_limit = 1
    doorbell = Doorbell(app, by="test")
    doorbell.depth("default")
    redis_of_test.signal(signal.SIGSTOP)
    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        depths = list(threads.map(doorbell.depth, ["default"] * 8))
    took_s = time.monotonic() - began
    app.close()

    assert depths == [None] * 8
    assert took_s < 8  # each 1.5 s, would all of them wait


def test_a_sweep_is_asked_for_once(doorbell, client):
    """A maintenance worker that is behind gets no pile of the same task."""
    doorbell.request_sweep()
    doorbell.request_sweep()

    sizes = [client.llen(key) for key in client.keys("mta.maintenance*")]
    assert sum(sizes) == 1
