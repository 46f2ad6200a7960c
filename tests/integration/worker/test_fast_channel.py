"""The channel itself: what it leaves in Redis, and in which order it takes."""

import asyncio
import json
import socket
import time
from collections import Counter

import pytest
from flower.utils.broker import Broker as FlowerBroker
from kombu import Connection, Consumer, Queue

from mta.worker.doorbell import PRIORITY_HIGH
from mta.worker.transport.acks import Acks
from mta.worker.transport.scripts import BELL_TTL_S
from tests.integration.worker.rig import QUEUE

BELL = f"_mta.bell.{QUEUE}"


class Taker:
    """A consumer with a number of free slots."""

    def __init__(self, connection, queues=(QUEUE,), *, no_ack=False):
        self._connection = connection
        self.names = []
        self.messages = []
        channel = connection.default_channel
        self.consumer = Consumer(
            channel,
            [Queue(name, exchange="", routing_key=name) for name in queues],
            on_message=self._note,
            no_ack=no_ack,
            auto_declare=False,
        )
        self.consumer.qos(prefetch_count=1_000)
        self.consumer.consume()

    def _note(self, message):
        self.names.append(message.payload[0][0])
        self.messages.append(message)

    def take(self, count):
        while len(self.names) < count:
            self._connection.drain_events(timeout=5)
        return self.names

    def messages_of(self, count):
        self.take(count)
        return self.messages


@pytest.fixture
def connection(broker):
    with broker.app.connection() as connection:
        yield connection


@pytest.fixture
def client(broker):
    with broker.redis() as client:
        yield client


def test_a_batch_rings_once(broker, client):
    """One token wakes a worker; it takes what is there."""
    broker.publish("a", "b", "c")

    assert (client.llen(BELL), broker.waiting()) == (1, 3)
    assert 0 < client.ttl(BELL) <= BELL_TTL_S


def test_a_single_message_rings_after_itself(broker, client):
    """send_task and apply_async need no batch."""
    broker.app.send_task("mta.deliver", args=("a",), queue=QUEUE)

    assert (client.llen(BELL), broker.waiting()) == (1, 1)


def test_what_is_taken_is_recorded_as_kombu_does(broker, client, connection):
    """The message, its exchange and its routing key, under its delivery tag."""
    broker.publish("a")
    taker = Taker(connection)
    taker.take(1)

    ((tag, text),) = client.hgetall("unacked").items()
    message, exchange, routing_key = json.loads(text)
    assert (
        message["properties"]["delivery_tag"] == tag == taker.messages[0].delivery_tag
    )
    assert (exchange, routing_key) == ("", QUEUE)
    assert client.zscore("unacked_index", tag) > 1e9
    assert message["headers"]["timelimit"] == [None, None]


def test_stock_kombu_restores_what_the_script_recorded(
    broker, stock_broker, client, connection
):
    """The sweep of any kombu worker finds it in order."""
    broker.publish("a")
    Taker(connection).take(1)
    (tag,) = client.hkeys("unacked")
    with stock_broker.app.connection() as stock:
        stock.default_channel.qos.restore_by_tag(tag)

    assert (broker.unacked(), client.zcard("unacked_index")) == (0, 0)
    assert broker.waiting() == 1


def test_a_closed_channel_gives_back_in_order(broker, client):
    """The first that was taken is the next to be taken, marked as redelivered."""
    broker.publish("a", "b", "c")
    with broker.app.connection() as connection:
        Taker(connection).take(3)
    with broker.app.connection() as connection:
        taker = Taker(connection)

        assert taker.take(3) == ["a", "b", "c"]
    assert taker.messages[0].headers["redelivered"]
    assert (broker.unacked(), client.zcard("unacked_index")) == (0, 0)


def test_what_goes_back_cannot_start_meanwhile(broker, connection, monkeypatch):
    """A greenlet that asks while Redis is told finds its message gone."""
    broker.publish("a")
    Taker(connection).take(1)
    channel, seen = connection.default_channel, []
    monkeypatch.setattr(
        channel, "put_back", lambda messages: seen.append(len(channel.qos._delivered))
    )

    channel.qos.restore_unacked()

    assert seen == [0]


def test_what_another_put_back_is_not_put_back_again(broker, client):
    """A sweep may have come before."""
    broker.publish("a")
    with broker.app.connection() as connection:
        Taker(connection).take(1)
        (tag,) = client.hkeys("unacked")
        connection.default_channel.qos.restore_by_tag(tag)

    assert broker.waiting() == 1


def test_what_is_left_to_the_sweep_comes_back_when_it_is_due(
    broker, client, connection
):
    """It waits in Redis, as if it had been taken long ago by a worker that died."""
    broker.publish("soon", "later")
    soon, later = (message.delivery_tag for message in Taker(connection).messages_of(2))
    qos = connection.default_channel.qos
    qos.leave(soon, time.time())
    qos.leave(later, time.time() + 60)

    qos.restore_visible(interval=1)

    assert broker.waiting() == 1
    assert client.hkeys("unacked") == [later]


def test_queues_take_turns(broker, connection):
    """A full queue does not hold up the others of the same worker."""
    broker.publish("a1", "a2", "a3", queue="a")
    broker.publish("b1", queue="b")
    broker.publish("urgent", queue="b", priority=PRIORITY_HIGH)

    names = Taker(connection, ("a", "b")).take(5)

    assert names[0] == "urgent"
    assert names.index("b1") < names.index("a2")


@pytest.mark.parametrize("count", [2, 3, 4, 5, 10])
def test_every_fifth_is_of_the_lower_priority(broker, connection, count):
    """In every queue, however many the worker has."""
    queues = [f"q{number}" for number in range(count)]
    for queue in queues:
        broker.publish(*[f"high {queue}"] * 20, queue=queue, priority=PRIORITY_HIGH)
        broker.publish(*[f"low {queue}"] * 20, queue=queue)

    names = Taker(connection, queues).take(20 * count)[: 20 * count]

    taken = Counter(names)
    assert {taken[f"high {queue}"] for queue in queues} == {16}
    assert {taken[f"low {queue}"] for queue in queues} == {4}


def test_bells_do_not_pile_up(broker, client, connection):
    """Where a queue is never empty, nobody waits for them."""
    broker.publish("a", "b", "c")
    client.lpush(BELL, *[1] * 100)
    Taker(connection).take(1)

    assert (broker.waiting(), client.llen(BELL)) == (2, 2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda message: message.update(body="!"),
        lambda message: message.update(headers=None),
        lambda message: message.pop("headers"),
        lambda message: message["properties"].pop("delivery_info"),
        lambda message: message["properties"].update(body_encoding="rot13"),
    ],
    ids=["base64", "null headers", "no headers", "no delivery info", "encoding"],
)
def test_a_malformed_message_is_rejected(broker, client, connection, caplog, spoil):
    """The next one is taken; nothing comes back for ever."""
    broker.publish("bad")
    message = json.loads(client.rpop(f"{QUEUE}\x06\x165"))
    spoil(message)
    client.lpush(f"{QUEUE}\x06\x165", json.dumps(message))
    broker.publish("a")

    assert Taker(connection).take(1) == ["a"]
    assert (broker.unacked(), broker.waiting()) == (1, 0)
    assert "rejected what is no task" in caplog.text


def test_what_a_full_redis_refuses_is_swept_later(broker, client, connection, caplog):
    """The worker goes on; there may be room soon."""
    qos = connection.default_channel.qos
    client.config_set("maxmemory", 1)
    try:
        qos.restore_visible(interval=1)
    finally:
        client.config_set("maxmemory", 0)

    assert "sweep refused" in caplog.text


def test_a_full_redis_takes_acknowledgements(broker, client, connection):
    """They are what gets it empty."""
    broker.publish("a")
    (message,) = Taker(connection).messages_of(1)
    acks = Acks(client, "unacked", "unacked_index")
    client.config_set("maxmemory", 1)
    try:
        acks.add(message.delivery_tag)
        acks.flush()
    finally:
        client.config_set("maxmemory", 0)

    assert (broker.unacked(), client.zcard("unacked_index")) == (0, 0)


def test_a_consumer_without_acknowledgements_leaves_no_record(broker, connection):
    """Answers to remote control are taken as kombu takes them."""
    broker.publish("a")

    assert Taker(connection, no_ack=True).take(1) == ["a"]
    assert broker.unacked() == 0


def test_what_is_no_message_is_dropped(broker, client, connection):
    """It would otherwise come back for ever."""
    client.lpush(f"{QUEUE}\x06\x165", "not JSON", '{"properties": 1}', "[]")
    broker.publish("a")

    assert Taker(connection).take(1) == ["a"]
    assert (broker.unacked(), broker.waiting()) == (1, 0)


def test_what_lua_can_read_and_python_cannot_leaves_no_record(
    broker, client, connection
):
    """A byte that is no UTF-8, under a tag: it was recorded as taken."""
    raw = b'{"properties": {"delivery_tag": "t"}, "body": "\xff"}'
    client.lpush(f"{QUEUE}\x06\x165", raw)
    broker.publish("good")

    assert Taker(connection).take(1) == ["good"]
    assert "t" not in client.hkeys("unacked")
    assert broker.unacked() == client.zcard("unacked_index") == 1


@pytest.mark.parametrize("record", ["", "[]", "[1, 2, 3]", '[{}, "", "q"]'])
def test_a_record_that_nobody_can_read_does_not_end_the_sweep(
    broker, client, connection, record
):
    """Else it would end one worker after the other."""
    client.hset("unacked", "bad", record)
    client.zadd("unacked_index", {"bad": 1})

    connection.default_channel.qos.restore_visible()

    assert broker.unacked() == client.zcard("unacked_index") == 0


def test_an_empty_queue_is_waited_for(connection):
    """Nothing comes: the caller gets its timeout."""
    with pytest.raises(socket.timeout):
        connection.drain_events(timeout=0.1)


def test_flower_counts_what_waits(broker):
    """It reads the URL, the priority steps and the lists by itself."""
    broker.publish("a", "b")
    broker.publish("c", priority=PRIORITY_HIGH)
    with broker.app.connection() as connection:
        url = connection.as_uri(include_password=True)
    flower = FlowerBroker(url, broker_options=broker.app.conf.broker_transport_options)

    assert asyncio.run(flower.queues([QUEUE])) == [{"name": QUEUE, "messages": 3}]


def test_a_tls_url_stays_one():
    """Flower and logs show the scheme that the operator wrote."""
    connection = Connection(
        "rediss://redis.test:6380/0",
        transport="mta.worker.transport.channel:SecureTransport",
    )

    assert connection.as_uri(include_password=True) == "rediss://redis.test:6380/0"
