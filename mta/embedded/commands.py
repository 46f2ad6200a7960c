"""The command lines of our processes: one place, for ``mta up`` and ``mta ...``.

Celery's own program runs the workers and Flower, so whatever its documentation says
about them holds.
"""

import sys
from collections.abc import Sequence

from mta.config.zones import Zone

MAINTENANCE_QUEUE = "mta.maintenance"  # as in mta.worker.doorbell

# Celery loads kombu, and that ssl, just before it lets gevent patch both; gevent
# warns at every start, and means a module nobody here uses (redis.asyncio).
# It warns of root, too, for fear of pickled tasks: ours are JSON, an id each.
_PYTHON = (
    *(sys.executable, "-W", "ignore:Monkey-patching ssl after"),
    *("-W", "ignore:You're running the worker with superuser privileges"),
)
# Quiet: without the banner. Logs are ours.
_CELERY = (*_PYTHON, "-m", "celery", "-q", "-A", "mta.worker")
_MAX_NODE_NAME = 60
_FLOWER_MAX_TASKS = 10_000  # Flower keeps them in memory; ten times as many is usual


def worker_name(zones: Sequence[Zone]) -> str:
    """What a worker for ``zones`` is called, up to the host's name."""
    name = "+".join(zone.name for zone in zones)
    if len(name) <= _MAX_NODE_NAME:
        return name
    return f"{zones[0].name}+{len(zones) - 1}"


def worker_command(zones: Sequence[Zone], *, log_level: str) -> tuple[str, ...]:
    """A gevent worker whose slots are the zones' connections."""
    slots = sum(zone.connections for zone in zones)
    queues = ",".join(zone.name for zone in zones)
    return (
        *(*_CELERY, "worker", "-P", "gevent", "-c", str(slots)),
        *("-Q", queues, "-n", f"{worker_name(zones)}@%h"),
        *_worker_options(log_level),
    )


def maintenance_command(*, log_level: str) -> tuple[str, ...]:
    """The worker for housekeeping.

    Not gevent: with kombu's own transport only a worker with Celery's event loop
    hands back to the queue what killed workers of any queue had taken from Redis.
    """
    return (
        *(*_CELERY, "worker", "-P", "solo"),
        *("-Q", MAINTENANCE_QUEUE, "-n", "maintenance@%h"),
        *_worker_options(log_level),
    )


def flower_command(host: str, port: int) -> tuple[str, ...]:
    """Celery's task dashboard. Its login comes in FLOWER_BASIC_AUTH."""
    return (
        *(*_PYTHON, "-m", "mta.cli.run_flower"),
        *(f"--address={host}", f"--port={port}"),
        # It would switch events on for every delivery, at half the throughput.
        "--enable_events=False",
        f"--max_tasks={_FLOWER_MAX_TASKS}",
        "--logging=error",
    )


def api_command(port: int | None = None) -> tuple[str, ...]:
    """The HTTP door."""
    return _module("run_api", *_port(port))


def smtp_command(interface: str, port: int | None = None) -> tuple[str, ...]:
    """One process of an interface's SMTP door."""
    return _module("run_smtp", *_port(port), "--", interface)


def scheduler_command() -> tuple[str, ...]:
    """The scheduler."""
    return _module("run_scheduler")


def sandbox_command(port: int | None = None) -> tuple[str, ...]:
    """The sandbox's MX."""
    return _module("run_sandbox", *_port(port))


def _worker_options(log_level: str) -> tuple[str, ...]:
    return ("-E", "--without-gossip", "--without-mingle", f"--loglevel={log_level}")


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"mta.cli.{name}", *arguments)


def _port(port: int | None) -> tuple[str, ...]:
    return () if port is None else ("--port", str(port))
