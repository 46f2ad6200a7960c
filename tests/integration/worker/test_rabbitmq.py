"""Doorbells through RabbitMQ: quorum queues, confirms, ordinary gevent workers."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import Delivery, DeliveryState
from mta.worker.doorbell import PAUSE_S, Doorbell
from tests.integration.worker.rabbit import running_rabbitmq
from tests.integration.worker.rig import QUEUE, Broker, Worker, eventually

NOW = datetime.now(UTC).replace(microsecond=0)

DELIVERY = Delivery(
    id="m.001",
    message_id="m",
    zone=QUEUE,
    recipient="bob@b.test",
    domain="b.test",
    state=DeliveryState.QUEUED,
    created_at=NOW,
    due_at=NOW,
    give_up_at=NOW + timedelta(days=1),
)


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory):
    with running_rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@pytest.fixture
def broker(rabbitmq):
    broker = Broker(rabbitmq.url, "fast")
    with broker.app.connection() as connection:
        queue = broker.app.amqp.queues[QUEUE].bind(connection.default_channel)
        queue.queue_declare()
        queue.purge()
    yield broker
    broker.close()


@pytest.fixture
def doorbell(broker):
    return Doorbell(broker.app, by="test")


@pytest.fixture
def worker(broker, notes):
    arguments = ("-P", "gevent", "-c", "4", "-Q", QUEUE)
    return Worker(notes, broker.environ, *arguments)


def named(*names):
    return [replace(DELIVERY, id=name) for name in names]


def test_doorbells_reach_a_gevent_worker(doorbell, notes, worker):
    """Published before any worker has declared the queue, and after."""
    names = [f"m.{number:03x}" for number in range(50)]
    doorbell.ring(QUEUE, named(*names[:25]), rung_at=NOW)
    with worker:
        doorbell.ring(QUEUE, named(*names[25:]), rung_at=NOW)

        assert sorted(notes.next("done", 50)) == names
        assert worker.stop() == 0


def test_the_depth_is_what_waits(doorbell):
    """A queue that nobody declared is empty."""
    doorbell.ring(QUEUE, named("a", "b", "c"), rung_at=NOW)

    eventually(lambda: doorbell.depth(QUEUE) == 3)
    assert doorbell.depth("unheard-of") == 0
    assert doorbell.oldest_rung_at(QUEUE) is None


def test_no_message_waits_for_its_time_in_rabbitmq(doorbell, notes, worker):
    """The scheduler rings when it is due; one that is early is told at once."""
    early = replace(DELIVERY, id="early", due_at=NOW + timedelta(hours=1))
    doorbell.ring(QUEUE, [early], rung_at=NOW)

    assert doorbell.eta_lead == timedelta(0)
    with worker:
        assert notes.next("done") == ["early"]


def test_what_a_killed_worker_had_is_delivered_again(broker, doorbell, notes, worker):
    """The broker sees the connection end and gives the message to the next worker."""
    doorbell.ring(QUEUE, named("a 60"), rung_at=NOW)
    with worker:
        notes.next("started")
        worker.kill()
    with Worker(notes, broker.environ, "-P", "gevent", "-c", "4", "-Q", QUEUE):
        assert notes.next("started") == ["a"]


def test_the_queue_is_a_quorum_queue(broker):
    """Declaring it as another kind is refused."""
    with broker.app.connection() as connection:
        channel = connection.channel()
        with pytest.raises(channel.connection.channel_errors, match="quorum"):
            channel.queue_declare(QUEUE, durable=True, auto_delete=False)


def test_a_broker_short_of_memory_holds_nobody_up_for_long(rabbitmq, broker):
    """It takes connections, reads nothing that is published, and does not say so."""
    clock = [100.0]
    doorbell = Doorbell(broker.app, by="test", monotonic=lambda: clock[0])
    with rabbitmq.short_of_memory():
        began = time.monotonic()
        rung = doorbell.ring(QUEUE, named("a"), rung_at=NOW)
        took_s = time.monotonic() - began
    clock[0] += PAUSE_S + 1

    assert rung == 0
    assert took_s < 10
    eventually(lambda: doorbell.ring(QUEUE, named("b"), rung_at=NOW) == 1)
