"""How a gevent worker starts a task: at once, in a greenlet, and nothing else.

Celery's own strategy makes a request, a tracer and a pool job of every message,
ten times the cost of the task's own greenlet. A doorbell needs none of it: it has no
result, no events, no limits, no children. What has any of these takes Celery's way,
as does every task that is not annotated with this strategy, and every task of a
worker that is not a gevent worker on our Redis transport.

The signals ``task_prerun`` and the like are not sent, and the task has no request
context: ``self.request`` is empty.
"""

# The type stubs that exist describe an older kombu and an older Celery.
# mypy: disable-error-code="attr-defined"

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from celery import Celery, signals
from celery.bootsteps import CLOSE, TERMINATE
from celery.worker import state
from celery.worker.strategy import default
from gevent.pool import Pool
from redis.exceptions import RedisError

from mta.worker.transport.acks import Acks
from mta.worker.transport.channel import Channel
from mta.worker.transport.job import Job

log = logging.getLogger(__name__)

# Tasks that wait for their ETA, at 10 kB each. One more is left to the sweep: it
# costs nothing meanwhile, and starts up to two minutes late.
HELD_AT_MOST = 5_000


class Clock:
    """What ETAs are held by, in seconds since 1970: the publisher's clock, if known."""

    read: Callable[[], float] = staticmethod(time)


clock = Clock()

# Of each consumer; they outlive its connections.
_acks: WeakKeyDictionary[Any, Acks] = WeakKeyDictionary()

Handler = Callable[..., Any]


def start(task: Any, app: Celery, consumer: Any) -> Handler:
    """Celery's hook: how messages for ``task`` are handled on this connection."""
    stock: Handler = default(task, app, consumer)
    channel = consumer.connection.default_channel
    pool = getattr(consumer.pool, "_pool", None)
    if not isinstance(channel, Channel) or not isinstance(pool, Pool):
        return stock
    slots = FreeGreenlets(pool, lambda: _is_stopping(consumer))
    channel.bound_by(slots, _acks_of(consumer, channel))
    if _asks_for_more(task, consumer):
        return stock
    return Starter(task, consumer, channel, slots, stock).receive


class FreeGreenlets:
    """The slots of a gevent worker: its ``-c`` greenlets, whatever they run."""

    def __init__(self, pool: Pool, is_stopping: Callable[[], bool]) -> None:
        self._pool = pool
        self.is_stopping = is_stopping

    def free(self) -> int:
        """How many more may start now; none once the worker is told to stop."""
        return 0 if self.is_stopping() else int(self._pool.free_count())

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until one may start; False if none may after all."""
        if not self.is_stopping():
            self._pool.wait_available(timeout=timeout_s)
        return self.free() > 0

    def spawn(self, run: Callable[[Job], None], job: Job) -> None:
        """Start; waits for a slot if none is free."""
        self._pool.spawn(run, job)


class Starter:
    """Starts the messages of one task that came by one connection."""

    def __init__(
        self,
        task: Any,
        consumer: Any,
        channel: Channel,
        slots: FreeGreenlets,
        stock: Handler,
    ) -> None:
        self._task = task
        self._run_task = task.run
        self._hostname = consumer.hostname
        self._timer = consumer.timer
        self._qos = channel.qos
        self._slots = slots
        self._stock = stock
        self._late: list[dict[str, Any]] = []

    def receive(
        self, message: Any, body: Any, ack: Any, reject: Any, callbacks: Any
    ) -> None:
        """Handle one message; its channel has recorded it."""
        if body is not None or self._is_special(message.headers):
            self._stock(message, body, ack, reject, callbacks)
            return
        args, kwargs, embedded = message.payload
        if any(embedded.values()):  # callbacks, a chain, a chord
            self._stock(message, body, ack, reject, callbacks)
            return
        job = Job(
            self._task,
            message,
            args=args,
            kwargs=kwargs,
            hostname=self._hostname,
            replies=(ack, reject),
        )
        wait_s = _wait_s(message.headers.get("eta"))
        if wait_s > 0:
            self._hold(job, wait_s)
        else:
            self._start(job)

    def _is_special(self, headers: dict[str, Any]) -> bool:
        return bool(
            headers.get("expires")
            or state.revoked_stamps
            or headers["id"] in state.revoked
            or any(headers.get("timelimit") or ())
        )

    def _hold(self, job: Job, wait_s: float) -> None:
        if len(state.scheduled_requests) >= HELD_AT_MOST:
            self._qos.leave(job.tag, time() + wait_s)
            return
        job._eta = datetime.fromisoformat(job._request_dict["eta"])
        # Celery cancels it when the connection is lost.
        job._eta_timer_entry = self._timer.call_after(wait_s, self._fire, (job,))
        state.task_scheduled(job)

    def _fire(self, job: Job) -> None:
        state.scheduled_requests.discard(job)
        if job.id in state.revoked:
            self._stock(job.message, None, *job.replies, None)
        else:
            self._start(job)

    def _start(self, job: Job) -> None:
        """Start, or let the message wait in its queue, in the order of priority.

        Tasks whose time has come at once must not stand before all others for the
        slots that get free, nor the worker's own loop behind them.
        """
        if self._slots.free():
            self._slots.spawn(self._run, job)
            return
        raw = self._qos.take_back(job.tag)
        if raw is not None:
            if not self._late:
                gevent.spawn(self._put_back_late)
            self._late.append(raw)

    def _put_back_late(self) -> None:
        late, self._late = self._late, []
        try:
            self._qos.channel.put_back(reversed(late))
        except (RedisError, OSError) as error:
            # They are recorded as taken: the sweep puts them back, or the scheduler
            # rings again.
            log.warning("left to the sweep tasks=%d error=%s", len(late), error)

    def _run(self, job: Job) -> None:
        """Run the task, in a greenlet of its own."""
        acknowledge = None
        if not self._slots.is_stopping():
            acknowledge = self._qos.start(job.tag)
        if acknowledge is None:  # back to the queue it goes, or went
            state.requests.pop(job.id, None)
            return
        job.time_start = time()
        state.task_accepted(job)
        try:
            self._run_task(*job._args, **job._kwargs)
        except Exception:
            log.exception("task broke name=%s id=%s", job.name, job.id)
        finally:
            state.task_ready(job)
        # Not reached by a greenlet that was killed: its message is put back later.
        acknowledge()


@signals.worker_shutdown.connect
def _flush_acks(**_: Any) -> None:
    for acks in list(_acks.values()):
        acks.flush()


def _acks_of(consumer: Any, channel: Channel) -> Acks:
    acks = _acks.get(consumer)
    if acks is None:
        client = channel.Client(connection_pool=channel._get_pool())
        acks = Acks(client, channel.unacked_key, channel.unacked_index_key)
        _acks[consumer] = acks
    return acks


def _asks_for_more(task: Any, consumer: Any) -> bool:
    """Whether the task uses what only Celery's own strategy has."""
    return bool(
        task.send_events
        or not task.ignore_result
        or not task.acks_late
        or task.time_limit
        or task.soft_time_limit
        or (task.rate_limit and not consumer.disable_rate_limits)
        or consumer.pool.timeout
    )


def _is_stopping(consumer: Any) -> bool:
    # 0, the usual exit code, is a reason to stop.
    reasons: tuple[Any, ...] = (state.should_stop, state.should_terminate)
    if any(code is not None and code is not False for code in reasons):
        return True
    return consumer.blueprint.state in (CLOSE, TERMINATE)


def _wait_s(eta: str | None) -> float:
    if not eta:
        return 0.0
    due_at = datetime.fromisoformat(eta)
    if due_at.tzinfo is None:
        due_at = due_at.replace(tzinfo=UTC)
    return due_at.timestamp() - clock.read()
