"""Wires a Celery worker of ours at its start; imported by Celery itself.

``celery -A mta.worker worker`` imports this through its ``imports`` setting, after
``-P gevent`` has patched the standard library.
"""

import logging
import os
import signal
from collections.abc import Sequence
from threading import Thread
from typing import Any

import gevent
from celery import bootsteps, signals
from celery.worker import state
from gevent.monkey import is_module_patched

from mta import wiring
from mta.cli import process
from mta.cli.reloading import Reloading
from mta.config.key_files import check_keys
from mta.config.settings import Settings, load_settings
from mta.config.zones import Config
from mta.observe import metrics
from mta.relay.binding import report_missing
from mta.worker.celery import app
from mta.worker.doorbell import MAINTENANCE_QUEUE
from mta.worker.life import Life
from mta.worker.tasks import bench
from mta.worker.transport import strategy

log = logging.getLogger(__name__)

# Seconds between looks at a worker that was told to stop: twice in a row without
# deliveries, it ends, come what may. An orderly stop takes about two.
LINGER_S = 8


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Log as our other processes do; Celery leaves it to us then."""
    process.start_logging(load_settings(os.environ), "worker")


class Shift:
    """What runs in this process beside its tasks; nothing for maintenance alone.

    Attributes:
        main_pid: The process that Celery began with; prefork has children.
        idle_alarms: In a row, since it was told to stop.
        consumer: Celery's; None until the worker is ready.
        slots_owed: It is to have so many more than it has.
    """

    life: Life | None = None
    consumer: Any = None
    slots_owed = 0
    main_pid = 0
    idle_alarms = 0


shift = Shift()


def build_bench() -> tuple[Settings, Reloading]:
    """Give the tasks of this process what they work with."""
    settings, config = process.load()
    reloading = Reloading(
        settings, config, check=look_at_keys, held_in=wiring.count_live_in(settings)
    )
    life = wiring.build_worker(settings, reloading.config)
    bench.attempts = life.attempts
    bench.sweeper = wiring.build_sweeper(settings, reloading.config)
    shift.life = life if zones_served() else None
    return settings, reloading


def look_at_keys(config: Config) -> None:
    """See to signing keys before a reload; not to their primes: mail is waiting.

    Raises:
        ConfigError: Some cannot be used.
    """
    check_keys(config, is_trusted=True)


class HeedHangup(bootsteps.StartStopStep):
    """Makes SIGHUP a reload; runs right after Celery has made it a restart."""

    reloading: Reloading

    def start(self, _parent: Any) -> None:
        self.reloading.afterwards(resize)
        self.reloading.afterwards(wake)
        self.reloading.afterwards(look_for_addresses)
        look_for_addresses(None, self.reloading.config.current)
        self.reloading.listen()


app.steps["worker"].add(HeedHangup)


def resize(old: Config, new: Config) -> None:
    """Have as many slots more, or less, as the zones have connections."""
    zones = [zone for zone in zones_served() if zone in new.zones]
    wanted = sum(new.connections_of(zone) for zone in zones)
    shift.slots_owed += wanted - sum(old.connections_of(zone) for zone in zones)
    if shift.consumer is not None:
        settle_slots(shift.consumer)


def settle_slots(consumer: Any) -> None:
    """Grow or shrink as Celery's remote control does it: what is running runs on."""
    pool, more = consumer.pool, shift.slots_owed
    if more and pool.is_green:
        (pool.grow if more > 0 else pool.shrink)(abs(more))
        consumer._update_prefetch_count(more)
        log.info("slots=%d", pool.limit)
    shift.slots_owed = 0
    if shift.life is not None:
        shift.life.attempts.counts.capacity = pool.limit or 0


def wake(old: Config, new: Config) -> None:
    """Let mail go on that waited for limits which were raised."""
    if shift.life is not None:
        shift.life.waker.wake(zones_served(), old, new)


def look_for_addresses(_: Config | None, new: Config) -> None:
    """Say which addresses of the zones' pools this machine does not have."""
    if load_settings(os.environ).sandbox is None:
        report_missing(new, zones_served())


def zones_served() -> Sequence[str]:
    """The zones whose queues this worker consumes."""
    queues = app.amqp.queues.consume_from
    return sorted(name for name in queues if name != MAINTENANCE_QUEUE)


def start_shift() -> None:
    """Begin the heartbeats, if there are zones to serve."""
    if shift.life is not None:
        strategy.clock.read = shift.life.clock.timestamp
        shift.life.start(zones_served())


@signals.worker_init.connect
def set_up(**_: Any) -> None:
    """Build what the tasks work with; connects to nothing yet."""
    shift.main_pid = os.getpid()
    settings, HeedHangup.reloading = build_bench()
    if settings.metrics_listen is not None:
        metrics.serve(settings.metrics_listen.host, settings.metrics_listen.port)


@signals.worker_process_init.connect
def set_up_child(**_: Any) -> None:
    """A process of a prefork pool: nothing of its parent's connections is its own.

    A solo pool says the same of the main process, which begins when it is ready.
    """
    if os.getpid() == shift.main_pid:
        return
    wiring.open_database.cache_clear()
    wiring.open_clock.cache_clear()
    build_bench()
    start_shift()


@signals.worker_ready.connect
def begin(sender: Any = None, **_: Any) -> None:
    """Start the heartbeats; say that work may come.

    The parent of a prefork pool does no work, and counts for nobody.
    """
    shift.consumer = sender
    pool = getattr(sender, "pool", None)
    if getattr(pool, "uses_semaphore", False):
        shift.life = None
    start_shift()
    settle_slots(sender)
    log.info("worker ready")
    process.say_ready()


@signals.worker_shutting_down.connect
def stop_soon(**_: Any) -> None:
    """Begin nothing new; runs in a signal handler, where nothing may wait."""
    if shift.life is not None and is_module_patched("socket"):
        gevent.spawn(shift.life.stop_soon)
    elif shift.life is not None:
        Thread(target=shift.life.stop_soon, daemon=True).start()


@signals.worker_shutting_down.connect
def do_not_linger(**_: Any) -> None:
    """See that the process ends, also when the broker is gone.

    A worker that was just answering a remote command then tries for ever to send its
    answer, and Celery waits for that before it ends.
    """
    _set_alarm()


def _set_alarm() -> None:
    signal.signal(signal.SIGALRM, _leave_if_idle)
    signal.alarm(LINGER_S)


def _leave_if_idle(*_: object) -> None:
    # Deliveries at work: their own end is near. After the last one there is still
    # much to close.
    shift.idle_alarms = 0 if state.active_requests else shift.idle_alarms + 1
    if shift.idle_alarms < 2:
        signal.alarm(LINGER_S)
        return
    log.warning("stopped without waiting for the broker any longer")
    os._exit(0)


@signals.worker_shutdown.connect
def end(**_: Any) -> None:
    """All tasks have ended: close idle sessions with QUIT, sign off."""
    _set_alarm()  # to close takes its time, too
    if shift.life is not None:  # else it was stopped before it had begun
        shift.life.stop()
