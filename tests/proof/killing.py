"""Kills processes of ``mta up`` at random, and watches them come back."""

import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

KINDS = ("worker", "smtp", "api", "scheduler", "maintenance", "mongod", "redis")
_BINARIES = {"mongod": "mongod", "redis-server": "redis"}
_LOOK_S = 0.05
# A process that is not back by then is not coming.
BACK_S = 60.0


def live_processes(supervisor: int) -> dict[str, int]:
    """Name → pid of what runs under ``mta up`` right now, as the kernel knows it.

    The ready file is written again only when all are ready, so it may name the dead.
    """
    found = {}
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text()
    for pid in map(int, children.split()):
        try:
            name = _name_of(pid)
        except OSError:  # gone meanwhile
            continue
        if name:
            found[name] = pid
    return found


def _name_of(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    for word in words:
        # Redis writes its own name and address over its arguments.
        program = word.partition(" ")[0].rpartition("/")[2]
        if program in _BINARIES:
            return _BINARIES[program]
    for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if pair.startswith(b"MTA_PROCESS_NAME="):
            return pair.partition(b"=")[2].decode()
    return ""


def kind_of(name: str) -> str:
    """``worker`` of ``worker@news``; ``smtp`` of ``smtp@feeder.1``."""
    return name.partition("@")[0]


class Killer:
    """``kill -9`` of one process after another; every kind comes in turn.

    Args:
        gap_s: Mean pause between two kills; pauses are exponential.
    """

    def __init__(self, supervisor: int, *, kills: int, gap_s: float, seed: int) -> None:
        self._supervisor = supervisor
        self._random = random.Random(seed)
        self._gap_s = gap_s
        self._plan = self._make_plan(kills)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.kills: Counter[str] = Counter()
        self.killed_at: list[float] = []
        self.not_back: list[str] = []
        self.back_after_s: defaultdict[str, list[float]] = defaultdict(list)

    def _make_plan(self, kills: int) -> list[str]:
        plan: list[str] = []
        while len(plan) < kills:
            plan += self._random.sample(KINDS, len(KINDS))
        return plan[:kills]

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        """Return when all kills are done, and all processes are back."""
        self._thread.join()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        killed: list[tuple[str, int, float]] = []
        for kind in self._plan:
            self._watch(killed, self._random.expovariate(1 / self._gap_s))
            victims = self._await_victims(kind)
            if not victims:
                return
            name, pid = self._random.choice(victims)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills[kind] += 1
                self.killed_at.append(time.monotonic())
                killed.append((name, pid, self.killed_at[-1]))
        deadline = time.monotonic() + BACK_S
        while killed and time.monotonic() < deadline and not self._stop.is_set():
            self._watch(killed, _LOOK_S)
        self.not_back += [name for name, _, _ in killed]

    def _watch(self, killed: list[tuple[str, int, float]], pause_s: float) -> None:
        """Let time pass; note who is back."""
        until = time.monotonic() + pause_s
        while (left := until - time.monotonic()) > 0:
            if self._stop.wait(min(left, _LOOK_S)):
                return
            self._note_returns(killed)

    def _await_victims(self, kind: str) -> list[tuple[str, int]]:
        """Those of a kind that run, once one does; empty if none ever will."""
        deadline = time.monotonic() + BACK_S
        while not self._stop.is_set():
            live = live_processes(self._supervisor)
            victims = sorted(item for item in live.items() if kind_of(item[0]) == kind)
            if victims:
                return victims
            if time.monotonic() > deadline:
                self.not_back.append(kind)
                break
            self._stop.wait(_LOOK_S)
        return []

    def _note_returns(self, killed: list[tuple[str, int, float]]) -> None:
        live = live_processes(self._supervisor)
        now = time.monotonic()
        for entry in list(killed):
            name, pid, at = entry
            if live.get(name, pid) != pid:
                self.back_after_s[kind_of(name)].append(now - at)
                killed.remove(entry)
