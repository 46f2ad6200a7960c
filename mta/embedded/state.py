"""The state folder of ``mta up``: whose it is, which ports it uses, what runs.

::

    lock            held (flock) by mta up and by every process it started
    ports.json      ports of the embedded services, stable for the folder
    ready.json      where everything answers; there only while it does
    started.yaml    the configuration that the run began with
    in-force.yaml   the one that it goes by
    question.json, answer.json      of mta reload
    flower-password USER:PASSWORD of the task dashboard
    mongo/ redis/   data; mongod.log and redis.log beside them
    lib/            a link to a libcurl, where the machine has none
    run/            markers of processes that are ready
    metrics/        Prometheus files of this run
"""

import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mta.embedded.child import READY_SUFFIX, RELOADED_SUFFIX
from mta.embedded.failure import StartFailed, naming
from mta.embedded.ports import port_of, reserve

READY_NAME = "ready.json"
QUESTION_NAME, ANSWER_NAME = "question.json", "answer.json"
MARKERS_NAME = "run"
OLD_S = 10.0  # a question that nobody waits for any more
# An earlier run that was killed may take a moment to end: its workers first
# finish what they are sending.
EARLIER_RUN_S = 30.0
_POLL_S = 0.2


class StateFolder:
    """One state folder, locked: of all runs at most one uses it."""

    def __init__(self, path: Path) -> None:
        """Make the folder if need be, and wait for an earlier run's remains to end.

        Raises:
            StartFailed: Another run uses the folder, or it cannot be used at all.
        """
        self.path = path.absolute()
        with naming(f"state folder {self.path}"):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.lock_fd = _lock(self.path / "lock")
            self.metrics = self._empty("metrics")
            self.markers = self._empty(MARKERS_NAME)
            self.remove_ready()

    def close(self) -> None:
        """Give the folder back; with processes left that still hold it, it is not."""
        self.remove_ready()
        os.close(self.lock_fd)

    @property
    def in_force(self) -> Path:
        """The configuration's file that all processes read."""
        return self.path / "in-force.yaml"

    def put_in_force(self, content: bytes, *, is_start: bool = False) -> Path:
        """Replace what the processes read; returns what the run began with.

        Raises:
            OSError: It cannot be written; nothing has changed.
        """
        started = self.path / "started.yaml"
        text = content.decode("utf-8")  # it was read before
        if is_start:
            write_privately(started, text)
        for marker in self.markers.glob(f"*{RELOADED_SUFFIX}"):
            marker.unlink()
        write_privately(self.in_force, text)
        return started

    def take_question(self) -> dict[str, object]:
        """What somebody asked before SIGHUP; empty if nobody did."""
        file = self.path / QUESTION_NAME
        question = load_object(file)
        with suppress(FileNotFoundError):
            is_old = time.time() - file.stat().st_mtime > OLD_S
            file.unlink()
            return {} if is_old else question
        return {}

    def answer(self, document: Mapping[str, object]) -> None:
        """Answer the question."""
        write_privately(self.path / ANSWER_NAME, json.dumps(document))

    def marker(self, name: str) -> Path:
        """The file a process touches when it is ready."""
        return self.markers / f"{name}{READY_SUFFIX}"

    def reserve_port(self, name: str, host: str) -> socket.socket:
        """Hold the port a service had last time, or a new one that it now keeps.

        Held, and not merely looked up: a port that was free a moment ago is
        somebody's outgoing connection by the time the service has started.
        """
        file = self.path / "ports.json"
        ports = _load_ports(file)
        reservation = None
        with suppress(StartFailed):  # somebody else's by now
            reservation = reserve(host, ports.get(name, 0), what=name)
        if reservation is None:
            reservation = reserve(host, 0, what=name)
        if port_of(reservation) != ports.get(name):
            ports[name] = port_of(reservation)
            write_privately(file, json.dumps(ports))
        return reservation

    def flower_login(self) -> str:
        """USER:PASSWORD for the task dashboard, made once."""
        file = self.path / "flower-password"
        if not file.exists():
            write_privately(file, f"mta:{secrets.token_urlsafe(18)}\n")
        return file.read_text("utf-8").strip()

    def write_ready(self, document: Mapping[str, object], copy: Path | None) -> None:
        """Tell where everything answers, here and in ``copy``."""
        text = json.dumps(document, indent=2) + "\n"
        for file in filter(None, (self.path / READY_NAME, copy)):
            write_privately(file, text)

    def remove_ready(self) -> None:
        """Nothing answers any more."""
        (self.path / READY_NAME).unlink(missing_ok=True)

    def _empty(self, name: str) -> Path:
        folder = self.path / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def read_ready(state: Path) -> dict[str, object]:
    """What runs on a state folder; empty if nothing does."""
    return load_object(state / READY_NAME)


def running_pid(state: Path) -> int | None:
    """The process of the ``mta up`` that uses a state folder, if there is one."""
    try:
        with (state / "lock").open("rb") as file:
            if _try_lock(file.fileno()):
                return None
            pid = file.read(20).decode("ascii", "replace").strip()
    except OSError:
        return None
    return int(pid) if _is_alive(pid) else None


def write_privately(file: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
    beside.replace(file)


def _lock(file: Path) -> int:
    """Take the lock; children inherit it, so it is free when the last has ended."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + EARLIER_RUN_S
    while not _try_lock(descriptor):
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        if _is_alive(owner) or time.monotonic() > deadline:
            os.close(descriptor)
            raise StartFailed(
                f"{file.parent} is in use by another run, process {owner or '?'}. "
                "Stop that one, or choose another folder with --state"
            )
        time.sleep(_POLL_S)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    return pid.isdigit() and Path("/proc", pid).exists()


def load_object(file: Path) -> dict[str, object]:
    """A JSON object; empty if there is none that could be read."""
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _load_ports(file: Path) -> dict[str, int]:
    return {
        str(name): port
        for name, port in load_object(file).items()
        if isinstance(port, int) and 0 < port < 65536
    }
