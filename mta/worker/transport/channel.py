"""kombu's Redis transport, taking messages by a script that records them at once.

kombu pops a message with a blocking command and records it afterwards: a worker
killed in between has lost it. Here the blocking command waits for a *bell* (see
``mta.worker.transport.scripts``), and a script takes as many messages as there are
free slots, high priority first, and records them in the same step. Publishers of
ours ring; for those of others every waiting worker looks once a second.

Queues, ``unacked`` and everything else are as kombu has them: stock workers, the
visibility-timeout sweep, Flower and remote control cannot tell the difference. A
channel that consumes without acknowledgements (answers to remote control) works as
in kombu.
"""

# The type stubs that exist describe an older kombu and an older Celery.
# mypy: disable-error-code="attr-defined, misc, name-defined, override, union-attr"

import json
import logging
from collections.abc import Iterable
from time import monotonic, time
from typing import Any

from kombu import Connection
from kombu.transport import redis
from kombu.utils.json import dumps, loads
from redis import Redis
from redis.exceptions import NoScriptError

from mta.worker.transport.acks import Acks
from mta.worker.transport.names import MALFORMED, SECURE_TRANSPORT, TRANSPORT
from mta.worker.transport.qos import QoS, Slots
from mta.worker.transport.scripts import BELL_TTL_S, RESTORE, STREAK, TAKE, Script

log = logging.getLogger(__name__)

TAKE_AT_ONCE = 50
RESTORE_AT_ONCE = 100
# A script's answer may take longer than a publisher may wait.
_TAKE_TIMEOUT_S = 30.0
_NO_WAIT_S = 0.01  # 0 is for ever, and Redis 6.2 rounds a single ms down to it

# How Celery and Flower print and parse our broker's URL.
Connection.resolve_aliases.update({TRANSPORT: "redis", SECURE_TRANSPORT: "rediss"})


class PublishBatch(redis.PublishBatch):
    """A pipeline of messages that rings for its queues whenever it is sent."""

    def __init__(self, channel: "Channel", max_size: int) -> None:
        self._to_ring: set[str] = set()
        super().__init__(channel, max_size)

    def ring(self, queue: str) -> None:
        """Ring for ``queue`` after the messages."""
        self._to_ring.add(queue)

    def flush(self) -> None:
        if self._buffered:
            for queue in self._to_ring:
                self.channel.ring(self.pipeline, queue)
        super().flush()


class Channel(redis.Channel):
    """A channel whose consumer takes what it can start, in one step."""

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._queues_without_ack: set[str] = set()
        self._waits_for_bell = False
        self._has_more = True  # the first look waits for nobody
        self._streak = 0
        self._turns = [0, 0]  # of the first priority step, and of the others
        self._swept_at = monotonic()
        super().__init__(*args, **kwargs)

    # Publishing

    def ring(self, pipe: Any, queue: str) -> None:
        """Wake one who waits for work on ``queue``."""
        bell = _bell(queue)
        pipe.lpush(bell, 1)
        pipe.pexpire(bell, BELL_TTL_S * 1000)

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        return PublishBatch(self, max_size)

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        batch = kwargs.get("_publish_batch")
        if batch is not None:
            super()._put(queue, message, **kwargs)
            batch.ring(queue)
        elif queue in self._expires:
            super()._put(queue, message, **kwargs)
        else:
            key = self._q_for_pri(queue, self._get_message_priority(message))
            with self.conn_or_acquire() as client, client.pipeline(False) as pipe:
                pipe.lpush(key, dumps(message))
                self.ring(pipe, queue)
                pipe.execute()

    # Consuming

    def bound_by(self, slots: Slots, acks: Acks) -> None:
        """Take only what can start at once; for a gevent worker."""
        self.qos.slots, self.qos.acks = slots, acks

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        if no_ack:
            self._queues_without_ack.add(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def drain(self, timeout_s: float | None) -> bool:
        """Take without waiting for a bell, if something is known to be left.

        While all slots are taken, waits for the first that gets free.

        Returns:
            Whether messages were handed on.
        """
        slots = self.qos.slots
        if slots is None or not self.active_queues:
            return False
        self._sweep_now_and_then()
        if not slots.free() and not slots.wait(timeout_s):
            raise TimeoutError
        return self._has_more and not self._in_poll and self._take()

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self.active_queues
        self._waits_for_bell = self._queues_without_ack.isdisjoint(queues)
        if not self._waits_for_bell:
            super()._brpop_start(timeout)
        elif queues:
            self._in_poll = self.client.connection
            self._brpop_sent_at = monotonic()
            bells = [self._prefixed(_bell(queue)) for queue in queues]
            wait_s = _NO_WAIT_S if self._has_more else self.brpop_timeout
            self.client.connection.send_command("BLPOP", *bells, timeout or wait_s)

    def _brpop_read(self, **options: Any) -> bool:
        if not self._waits_for_bell:
            return bool(super()._brpop_read(**options))
        try:
            self.client.connection.read_response()
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        # Rung or not: others' publishers do not ring.
        if not self._take():
            raise redis.Empty
        return True

    def _take(self) -> bool:
        """Take what there is room for and hand it on."""
        wanted = min(self.qos.room(), TAKE_AT_ONCE)
        queues = list(self.active_queues)
        connection = self.client.connection
        if not wanted or not queues or connection is None or connection._sock is None:
            return False
        keys = [self.unacked_key, self.unacked_index_key]
        keys += [_bell(queue) for queue in queues]
        keys += [
            self._q_for_pri(q, step) for step in self.priority_steps for q in queues
        ]
        arguments = (wanted, time(), self._streak, *self._turns, len(queues))
        more, self._streak, *flat = _evaluate(
            connection,
            TAKE,
            [self._prefixed(key) for key in keys],
            (*arguments, BELL_TTL_S, STREAK),
        )
        self._has_more = bool(more)
        self._turns, taken = flat[:2], flat[2:]
        self._hand_on([(queues[at - 1], *rest) for at, *rest in _triples(taken)])
        return bool(taken)

    def _hand_on(self, taken: list[tuple[str, bytes, bytes]]) -> None:
        messages = [(queue, self._read(tag, raw)) for queue, tag, raw in taken]
        self.qos.is_recorded = True
        try:
            while messages:
                queue, message = messages.pop(0)
                if message is not None:
                    self._deliver(message, queue)
        except BaseException:
            self.put_back([m for _, m in reversed(messages) if m is not None])
            raise
        finally:
            self.qos.is_recorded = False

    def _read(self, tag: bytes, raw: bytes) -> dict[str, Any] | None:
        """Read what was taken; what cannot be a message is gone for good."""
        message = _loads(raw)
        if message is None and tag:
            self.qos.forget(tag.decode("utf-8", "surrogateescape"))
        return message

    def _deliver(self, message: dict[str, Any], queue: str) -> None:
        """Hand one on; what nobody can read must not come back for ever."""
        try:
            if not _is_sound(message):
                raise ValueError("its envelope is not kombu's")
            self.connection._deliver(message, queue)
        except MALFORMED as error:
            log.exception("rejected what is no task queue=%s error=%r", queue, error)
            self.qos.reject(message["properties"]["delivery_tag"])

    # Giving back

    def put_back(self, messages: Iterable[dict[str, Any]]) -> None:
        """Put messages back where they are taken next, the last one first."""
        todo = list(messages)
        if not todo:
            return
        restore = Redis(connection_pool=self.pool).register_script(RESTORE.text)
        for start in range(0, len(todo), RESTORE_AT_ONCE):
            keys = [self.unacked_key, self.unacked_index_key]
            arguments: list[Any] = [BELL_TTL_S]
            for message in todo[start : start + RESTORE_AT_ONCE]:
                if not _is_sound(message):  # the sweep's
                    continue
                tag, info = _routing(message)
                queues = self._lookup(info["exchange"], info["routing_key"])
                if len(queues) != 1:  # topics: kombu knows
                    self.qos.restore_by_tag(tag)
                    continue
                (queue,) = queues
                message["headers"]["redelivered"] = info["redelivered"] = True
                priority = self._get_message_priority(message)
                keys += [self._q_for_pri(queue, priority), _bell(queue)]
                arguments += [tag, dumps(message)]
            restore(keys=[self._prefixed(key) for key in keys], args=arguments)

    def _do_restore_message(
        self,
        payload: Any,
        exchange: str,
        routing_key: str,
        pipe: Any,
        leftmost: bool = False,
    ) -> None:
        super()._do_restore_message(payload, exchange, routing_key, pipe, leftmost)
        for queue in self._lookup(exchange, routing_key):
            self.ring(pipe, queue)

    def _sweep_now_and_then(self) -> None:
        """Put back what dead workers left; kombu does it only with an event loop."""
        now = monotonic()
        if now - self._swept_at >= self.unacked_restore_interval:
            self._swept_at = now
            self.connection.cycle.maybe_restore_messages()  # every tenth time

    def close(self) -> None:
        if not self.closed and self._waits_for_bell and self._in_poll:
            # kombu would wait for the answer; it may only be a token.
            self._in_poll = None
            self.client.connection.disconnect()
        if not self.closed and self.qos.acks is not None:
            self.qos.acks.flush()
        super().close()

    def _prefixed(self, key: str) -> str:
        return f"{self.global_keyprefix}{key}"


class Transport(redis.Transport):
    """The Redis transport with our channel."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        try:
            if any(channel.drain(timeout) for channel in [*(self.channels or ())]):
                return
        except TimeoutError:  # all slots are taken; a look at other channels is left
            timeout = 0
        super().drain_events(connection, timeout)


class SecureTransport(Transport):
    """The same over TLS; a class of its own, so that its URL is rediss://."""


def _bell(queue: str) -> str:
    return f"_mta.bell.{queue}"


def _routing(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    properties = message["properties"]
    return properties["delivery_tag"], properties["delivery_info"]


def _triples(flat: list[Any]) -> Iterable[tuple[int, bytes, bytes]]:
    return zip(flat[::3], flat[1::3], flat[2::3], strict=True)


def _loads(raw: bytes) -> dict[str, Any] | None:
    """Read a message; None, and a line in the log, if it cannot be one."""
    try:
        # kombu's reader of special types costs as much as all the rest.
        message = loads(raw) if b'"__type__"' in raw else json.loads(raw)
        if isinstance(message["properties"]["delivery_tag"], str):
            return dict(message)
    except MALFORMED:
        pass
    log.error("dropped what is no message: %r", raw[:200])
    return None


def _is_sound(message: dict[str, Any]) -> bool:
    """Whether what is read to route a message is there."""
    info = message["properties"].get("delivery_info")
    return (
        isinstance(message.get("headers"), dict)
        and isinstance(info, dict)
        and isinstance(info.get("exchange"), str)
        and isinstance(info.get("routing_key"), str)
    )


def _evaluate(
    connection: Any, script: Script, keys: list[str], arguments: tuple[Any, ...]
) -> Any:
    """Run a script on a connection that waits for nothing else."""
    rest = (len(keys), *keys, *arguments)
    connection.send_command("EVALSHA", script.digest, *rest)
    try:
        return connection.read_response(timeout=_TAKE_TIMEOUT_S)
    except NoScriptError:  # a restart or a flush
        connection.send_command("EVAL", script.text, *rest)
        return connection.read_response(timeout=_TAKE_TIMEOUT_S)
