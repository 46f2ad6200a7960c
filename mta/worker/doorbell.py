"""The doorbell: one Celery message per delivery. Alone knows the broker.

A doorbell may be lost, late or doubled; nothing here is ever the record. Broker
trouble is counted and forgotten: the scheduler rings again.

The messages are ordinary Celery protocol-2 messages, made by ``as_task_v2`` and
published in batches: a tenth of the cost of ``apply_async``, whose router,
signals and results a doorbell does not need.

RabbitMQ differs from Redis in what stands here: a doorbell is published when it is
due and never before (a waiting one would occupy a slot of its worker), one by one
with a confirmation each, and without priority. The queue is declared by whoever
comes first, because RabbitMQ drops what has no queue.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NoReturn, TypeAlias, TypeVar

from amqp.exceptions import AMQPError
from celery import Celery
from kombu import Producer
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from mta.delivery import Delivery
from mta.observe import metrics
from mta.store.deliveries import ETA_LEAD
from mta.store.grouped import Grouped
from mta.worker.transport.names import MALFORMED

log = logging.getLogger(__name__)

TASK = "mta.deliver"
SWEEP_TASK = "mta.sweep"
MAINTENANCE_QUEUE = "mta.maintenance"
BATCH = 1_000
# On Redis 0 is taken first and 9 last; these are also the transport's steps.
PRIORITY_HIGH, PRIORITY_NORMAL = 0, 5
# RabbitMQ confirms within this, or the publish has failed.
CONFIRM_TIMEOUT_S = 2.0
# After a failed publish nobody waits for the broker for this long.
PAUSE_S = 5.0
# A depth measured this long ago is measured again. Our own rings are added meanwhile,
# but not what the workers take: one that leaves no room is worth less.
_DEPTH_AGE_S = 0.25
_FULL_AGE_S = 0.02
# RabbitMQ in need of memory takes no more commands, and does not say so.
_AMQP_PATIENCE_S = 4.0
_AMQP_CONFIRM_S = 0.02  # of one message: more than it takes

_T = TypeVar("_T")

# A zone, its deliveries to ring for, and the instant to say it was done.
Ring: TypeAlias = tuple[str, Sequence[Delivery], datetime]

# What a broker in trouble raises, whichever broker it is.
BROKER_ERRORS = (KombuError, RedisError, AMQPError, OSError)


class Doorbell:
    """Publishes doorbells and says how many wait in the broker.

    Args:
        by: Who rings, for the metrics: ``intake``, ``scheduler`` or ``worker``.
        monotonic: Seconds of a clock that never jumps.
    """

    def __init__(
        self, app: Celery, *, by: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._by = by
        self._monotonic = monotonic
        self._paused_until = 0.0
        # By zone and class: when it was measured, and what is known since.
        self._depths: dict[tuple[str, bool], tuple[float, int]] = {}
        self._declared: set[str] = set()
        self._publish: Grouped[Ring, None] = Grouped(self._publish_all)

    @cached_property
    def eta_lead(self) -> timedelta:
        """How long before it is due a doorbell may be rung; zero on RabbitMQ."""
        return ETA_LEAD if self._is_redis else timedelta(0)

    @cached_property
    def _is_redis(self) -> bool:
        with self._app.connection_for_write() as connection:  # connects to nothing
            return bool(connection.transport.driver_type == "redis")

    def ring(
        self, zone: str, deliveries: Sequence[Delivery], *, rung_at: datetime
    ) -> int:
        """Publish a doorbell for each delivery; all are of ``zone``.

        A first doorbell is a plain task, each later one a Celery retry: its
        ``retries`` are the attempts so far, its ``eta`` is ``due_at``.

        Returns:
            How many were published for certain; the rest is the scheduler's.
        """
        if not deliveries or self._is_paused():
            return 0
        try:
            self._publish((zone, deliveries, rung_at))
        except BROKER_ERRORS:
            metrics.DOORBELL_FAILURES.inc(len(deliveries))
            return 0
        key = zone, deliveries[0].is_transactional
        measured_at, depth = self._depths.get(key, (0.0, 0))
        self._depths[key] = (measured_at, depth + len(deliveries))
        metrics.RINGS.labels(zone, self._by).inc(len(deliveries))
        return len(deliveries)

    def room(self, zone: str, *, most: int, is_transactional: bool = False) -> int:
        """How many more doorbells of a class there may be until they are ``most``.

        Measured some times a second; when the broker is away, nothing fits.
        """
        key = zone, is_transactional
        measured_at, depth = self._depths.get(key, (float("-inf"), 0))
        worth_s = _DEPTH_AGE_S if depth < most else _FULL_AGE_S
        if self._monotonic() - measured_at > worth_s:
            # One measures; what was known is good enough for the others meanwhile.
            self._depths[key] = (self._monotonic(), depth)
            measured = self.depth(zone, is_transactional=is_transactional)
            if measured is None:
                self._depths.pop(key, None)
                return 0
            depth = measured
            self._depths[key] = (self._monotonic(), depth)
        return max(0, most - depth)

    def depth(self, zone: str, *, is_transactional: bool | None = None) -> int | None:
        """Celery messages waiting on the zone's queue; None if nobody answers.

        Args:
            is_transactional: Count those of one class, where each has its own list.
        """
        if self._is_paused():
            return None

        def measure() -> int:
            with self._producer() as producer:
                return self._queue_size(producer.channel, zone, is_transactional)

        try:
            return self._in_time(measure)
        except BROKER_ERRORS as error:
            self._pause(error)
            return None

    def oldest_rung_at(
        self, zone: str, *, is_transactional: bool = False
    ) -> datetime | None:
        """When the longest waiting doorbell of ``zone`` was published.

        Redis lists are first in, first out: what was rung before this is in the
        list no more. None if the queue is empty or the broker cannot tell.

        Args:
            is_transactional: Look at the transactional ones, else at the others.
        """
        priority = PRIORITY_HIGH if is_transactional else PRIORITY_NORMAL
        if self._is_paused():
            return None
        try:
            with self._producer() as producer:
                return _oldest_rung_at(producer.channel, zone, priority)
        except BROKER_ERRORS as error:
            self._pause(error)
            return None

    def request_sweep(self) -> None:
        """Have the maintenance worker sweep, unless it has yet to begin the last."""
        if self.depth(MAINTENANCE_QUEUE) != 0:
            return

        def send() -> None:
            self._app.send_task(SWEEP_TASK, queue=MAINTENANCE_QUEUE, retry=False)

        try:
            self._in_time(send)
        except BROKER_ERRORS as error:
            self._pause(error)

    def _publish_all(self, rings: Sequence[Ring]) -> list[None]:
        """Publish for many callers, in pipelines of ``BATCH`` messages."""
        if self._is_paused():  # since these callers began to wait
            raise OperationalError("the broker is away")
        try:
            count = sum(len(deliveries) for _, deliveries, _ in rings)
            publish = partial(self._publish_now, rings)
            self._in_time(publish, extra_s=count * _AMQP_CONFIRM_S)
        except BROKER_ERRORS as error:
            self._pause(error)
            raise
        return [None] * len(rings)

    def _publish_now(self, rings: Sequence[Ring]) -> None:
        bells = (
            (zone, delivery, rung_at)
            for zone, deliveries, rung_at in rings
            for delivery in deliveries
        )
        with self._producer() as producer:
            while batch := list(islice(bells, BATCH)):
                with _batched(producer, len(batch)):
                    for bell in batch:
                        self._publish_one(producer, *bell)

    def _publish_one(
        self, producer: Producer, zone: str, delivery: Delivery, rung_at: datetime
    ) -> None:
        if not self._is_redis and zone not in self._declared:
            self._declare(producer.channel, zone)
        waits = delivery.due_at > rung_at and self._is_redis
        message = self._app.amqp.as_task_v2(
            # Another one each time: to revoke one is not to revoke all later ones.
            f"{delivery.id}-{delivery.attempts}.{int(rung_at.timestamp() * 1000):x}",
            TASK,
            args=(delivery.id,),
            retries=delivery.attempts,
            eta=delivery.due_at if waits else None,
            argsrepr=f"('{delivery.id}',)",
            kwargsrepr="{}",
            ignore_result=True,
            origin="mta",
        )
        producer.publish(
            message.body,
            exchange="",
            routing_key=zone,
            headers={**message.headers, "rung": rung_at.isoformat()},
            serializer="json",
            priority=PRIORITY_HIGH if delivery.is_transactional else PRIORITY_NORMAL,
            retry=False,
            confirm_timeout=CONFIRM_TIMEOUT_S,
            **message.properties,
        )

    def _queue_size(
        self, channel: Any, queue: str, is_transactional: bool | None = None
    ) -> int:
        if self._is_redis:
            if is_transactional is None:
                return int(channel._size(queue))
            priority = PRIORITY_HIGH if is_transactional else PRIORITY_NORMAL
            with channel.conn_or_acquire() as client:
                return int(client.llen(channel._q_for_pri(queue, priority)))
        return self._declare(channel, queue)

    def _declare(self, channel: Any, queue: str) -> int:
        """Make sure that RabbitMQ has the queue; returns how many wait in it."""
        declared: Any = self._app.amqp.queues[queue].bind(channel).queue_declare()
        self._declared.add(queue)
        return int(declared.message_count)

    def _in_time(self, ask: Callable[[], _T], *, extra_s: float = 0.0) -> _T:
        """Do what the broker has to answer to, within a time.

        Redis has its timeouts. RabbitMQ's client has none for most of its questions:
        they are asked in a thread (a greenlet, when patched), which is left to
        itself if no answer comes. There is no more of those than connections.

        Raises:
            OperationalError: No answer came in time.
        """
        if self._is_redis:
            return ask()
        answers: SimpleQueue[Callable[[], _T]] = SimpleQueue()

        def run() -> None:
            try:
                answer = ask()
            except Exception as error:  # noqa: BLE001 - it is raised by who asked
                failed = error
                answers.put(lambda: _raise(failed))
            else:
                answers.put(lambda: answer)

        Thread(target=run, name="broker", daemon=True).start()
        try:
            return answers.get(timeout=_AMQP_PATIENCE_S + extra_s)()
        except Empty:
            raise OperationalError("the broker does not answer") from None

    @contextmanager
    def _producer(self) -> Iterator[Producer]:
        with self._app.producer_or_acquire() as producer:
            if self._is_paused():  # since we began to wait for one
                raise OperationalError("the broker is away")
            yield producer

    def _is_paused(self) -> bool:
        return self._monotonic() < self._paused_until

    def _pause(self, error: Exception) -> None:
        if self._is_paused():
            return
        self._paused_until = self._monotonic() + PAUSE_S
        log.warning("broker away for %.0f s error=%s", PAUSE_S, type(error).__name__)


def _raise(error: BaseException) -> NoReturn:
    raise error


@contextmanager
def _batched(producer: Any, count: int) -> Iterator[None]:
    """One pipeline for all, where the transport can do that."""
    if count > 1 and producer.supports_batch_publish:
        with producer.batch(BATCH):
            yield
    else:
        yield


def _oldest_rung_at(channel: Any, queue: str, priority: int) -> datetime | None:
    if not hasattr(channel, "_q_for_pri"):
        return None
    with channel.conn_or_acquire() as client:
        payload = client.lindex(channel._q_for_pri(queue, priority), -1)
    if payload is None:
        return None
    try:
        rung = json.loads(payload)["headers"]["rung"]
        return datetime.fromisoformat(rung).astimezone(UTC)
    except MALFORMED:  # not one of ours
        return None
