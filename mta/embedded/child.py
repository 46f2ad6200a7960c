"""A process we start and watch: what to run, how to tell that it answers."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from mta.embedded.probes import Probe, all_of, file_exists

_MAX_LOG_BYTES = 16 * 1024 * 1024

READY_FILE = "CELERY_MTA_READY_FILE"  # the child touches this file when it is ready
# The ends of such a file's name, and of one that it touches when it has reloaded.
READY_SUFFIX, RELOADED_SUFFIX = ".ready", ".reloaded"


class Role(IntEnum):
    """What a process is for, in the order in which they are stopped.

    Doors close first, so that nothing new comes in; databases last, so that
    whoever is still settling a delivery can.
    """

    DOOR = 1
    WORKER = 2
    SANDBOX = 3
    SCHEDULER = 4
    FLOWER = 5
    REDIS = 6
    MONGOD = 7


DATABASES = frozenset({Role.REDIS, Role.MONGOD})
RELOADING = frozenset({Role.DOOR, Role.WORKER, Role.SCHEDULER})  # on SIGHUP


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One process to run.

    Attributes:
        name: As users see it: ``worker@default``, ``smtp@feeder.1``.
        argv: The program and its arguments.
        env: The whole environment.
        is_ready: Asked until it says yes.
        grace_s: Seconds between SIGTERM and SIGKILL.
        marker: Removed before each start; the process makes it when it is ready.
        log: Where it, and what it prints to stderr, goes; None: to our stderr.
            What it prints to stdout is dropped.
    """

    name: str
    role: Role
    argv: tuple[str, ...]
    is_ready: Probe
    grace_s: float
    env: Mapping[str, str] = field(default_factory=dict)
    marker: Path | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """A child that runs."""

    name: str
    pid: int


def marked_child(
    name: str,
    role: Role,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    marker: Path,
    grace_s: float,
    *probes: Probe,
) -> Child:
    """A process of ours that makes ``marker`` when it is ready; then ask ``probes``."""
    return Child(
        name=name,
        role=role,
        argv=argv,
        env={**env, "MTA_PROCESS_NAME": name, READY_FILE: str(marker)},
        is_ready=all_of(file_exists(marker), *probes),
        grace_s=grace_s,
        marker=marker,
    )


def describe_status(status: int) -> str:
    """``Popen.returncode`` in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def bounded_log(path: Path) -> Path:
    """``path``, put aside as ``.1`` if it has grown large over earlier runs."""
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path


def tail(path: Path | None, *, lines: int = 5, size: int = 4096) -> str:
    """The last lines of a log, each indented; empty if there is none."""
    if path is None or not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        last = file.read(size).split(b"\n")
    texts = [line.decode("utf-8", "replace") for line in last if line.strip()]
    return "".join(f"\n    {text[:400]}" for text in texts[-lines:])
