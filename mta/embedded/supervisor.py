"""Start processes in order, restart what dies, stop all of them in order.

::

    start ──► running ──probe says yes──► ready ──┐
      ▲          │                          │     │ SIGTERM, grace, SIGKILL
      │          └──── dies ────────────────┘     ▼
      └── after a pause that doubles              stopped

One thread, one selector: signals, ends of children and times wake it; the only
thing asked repeatedly is a probe of a process that is not ready yet. Every child
has a session of its own, so Ctrl-C reaches us alone, and whatever is left of a
child's process group is killed with it. Each hangs on a leash (``leash.py``): if
we are killed, the kernel stops them.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from mta.embedded.child import (
    DATABASES,
    RELOADING,
    Child,
    Process,
    describe_status,
    tail,
)
from mta.embedded.failure import StartFailed
from mta.embedded.leash import leashed
from mta.embedded.signals import Signals
from mta.embedded.watch import WATCH_EVERY_S

log = logging.getLogger(__name__)

HASTE_S = 2.0  # what every grace shrinks to once somebody asks a second time
KILLED_S = 5.0  # the kernel's time to end what got SIGKILL
STILL_WAITING_S = 15.0  # between two lines about a start that takes long


@dataclass(frozen=True, slots=True)
class Patience:
    """When to ask, when to try again, when to give up; seconds.

    Attributes:
        probe_s: Between two questions to a process that is not ready.
        first_s: Pause before the first restart; it doubles up to ``longest_s``.
        young_s: A process that dies younger than this dies early; one that was
            older starts again with the first pause.
        early_deaths: So many in a row, never having been ready, end the start.
    """

    probe_s: float = 0.2
    first_s: float = 0.5
    longest_s: float = 30.0
    young_s: float = 10.0
    early_deaths: int = 5


@dataclass(slots=True)
class _Slot:
    """A child's place: the process in it, if one runs, and its history."""

    child: Child
    start_at: float
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    asked_at: float | None = None  # to stop
    is_ready: bool = False
    was_ready: bool = False
    is_leaving: bool = False  # not to be started again
    deaths: int = 0

    @property
    def leaves_by(self) -> float:
        """When patience with somebody who was asked to stop is at its end."""
        return (self.asked_at or 0.0) + self.child.grace_s


class Supervisor:
    """Runs groups of children until it is told to stop.

    Args:
        groups: Each is started when all of the one before are ready.
        on_ready: Called when all are ready, and again whenever all are ready
            after a restart.
        on_end: Called with the pid of a process that is no more.
        on_hangup: Called when a reload is asked for, once all are ready. Says what is
            to run from now on: who is not among that is stopped, who is new is
            started, and the others hear of the reload. None: nothing changes.
        is_changed: Asked every second; True is a reload, too.
        pass_fds: Descriptors the children keep open.
    """

    def __init__(
        self,
        groups: Iterable[Sequence[Child]],
        *,
        on_ready: Callable[[Sequence[Process]], None],
        on_end: Callable[[int], None] = lambda _: None,
        on_hangup: Callable[[], Sequence[Child] | None] = lambda: None,
        is_changed: Callable[[], bool] | None = None,
        pass_fds: Sequence[int] = (),
        patience: Patience | None = None,
    ) -> None:
        self._groups = groups
        self._on_ready = on_ready
        self._on_end = on_end
        self._on_hangup = on_hangup
        self._is_changed = is_changed
        self._watch_at = float("inf")
        self._pass_fds = tuple(pass_fds)
        self._patience = patience or Patience()
        self._slots: list[_Slot] = []
        self._probe_at = 0.0
        self._hasty_at: float | None = None

    def run(self) -> None:
        """Start all, keep them running, and return once a signal has stopped them.

        Raises:
            StartFailed: A child could not be brought to answer. All are stopped.
        """
        with Signals() as signals:
            try:
                self._supervise(signals)
            finally:
                self._stop(signals)

    def _supervise(self, signals: Signals) -> None:
        for group in self._groups:
            if not self._bring_up(group, signals):
                return
        if self._is_changed is not None:
            self._watch_at = time.monotonic()
        told: list[Process] = []
        while True:
            if self._are_ready() and self._processes() != told:
                told = self._processes()
                self._on_ready(told)
            if self._is_reload_due(signals):
                self._reload()
            if self._turn(signals):
                return

    def _bring_up(self, group: Sequence[Child], signals: Signals) -> bool:
        """Start a group and wait until it answers; False if we are to stop."""
        now = time.monotonic()
        self._slots += [_Slot(child, start_at=now) for child in group]
        remind_at = now + STILL_WAITING_S
        while not self._are_ready():
            if self._turn(signals):
                return False
            if time.monotonic() >= remind_at:
                waiting = [s.child.name for s in self._slots if not s.is_ready]
                log.info("still waiting for %s", ", ".join(waiting))
                remind_at += STILL_WAITING_S
        return True

    def _turn(self, signals: Signals) -> bool:
        """Wait for the next thing to happen, and do it; True if we are to stop."""
        if signals.wait(self._pause()):
            return True
        for slot in self._slots:
            process = slot.process
            if process is not None and self._bury(slot, process):
                if slot.is_leaving:
                    log.info("stopped process=%s", slot.child.name)
                else:
                    self._plan_restart(slot, process)
        self._see_off()
        for slot in self._slots:
            if slot.process is None and slot.start_at <= time.monotonic():
                self._start(slot)
        if self._probe_at <= time.monotonic():
            self._probe()
        return False

    def _pause(self) -> float | None:
        """Seconds until something is due; None if only a signal can be."""
        due = [slot.start_at for slot in self._slots if slot.process is None]
        due += [slot.leaves_by for slot in self._slots if slot.is_leaving]
        if self._is_changed is not None:
            due.append(self._watch_at)
        if any(slot.process and not slot.is_ready for slot in self._slots):
            due.append(self._probe_at)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _are_ready(self) -> bool:
        return all(slot.is_ready or slot.is_leaving for slot in self._slots)

    def _is_reload_due(self, signals: Signals) -> bool:
        is_due, signals.is_reload_asked = signals.is_reload_asked, False
        if self._is_changed is not None and self._watch_at <= time.monotonic():
            self._watch_at = time.monotonic() + WATCH_EVERY_S
            is_due |= self._is_changed()
        return is_due

    def _reload(self) -> None:
        children = self._on_hangup()
        if children is None:
            return
        wanted = {child.name: child for child in children}
        for slot in self._slots:
            child = wanted.pop(slot.child.name, None)
            slot.is_leaving = child is None
            slot.child = child or slot.child
        # Doors first: what they route then is what the others know.
        for slot, process in sorted(_alive(self._slots), key=lambda s: s[0].child.role):
            if slot.child.role in RELOADING and not slot.is_leaving:
                process.send_signal(signal.SIGHUP)
        _terminate([slot for slot in self._slots if slot.is_leaving])
        now = time.monotonic()
        self._slots += [_Slot(child, start_at=now) for child in wanted.values()]

    def _see_off(self) -> None:
        """Forget who has left, and hasten who takes too long for it."""
        for slot, process in _alive(self._slots):
            if slot.is_leaving and slot.leaves_by <= time.monotonic():
                log.warning("killed process=%s: it did not stop", slot.child.name)
                _signal_group(process.pid, signal.SIGKILL)
                slot.asked_at = time.monotonic()
        self._slots = [s for s in self._slots if s.process or not s.is_leaving]

    def _processes(self) -> list[Process]:
        return [
            Process(slot.child.name, slot.process.pid)
            for slot in self._slots
            if slot.process is not None and not slot.is_leaving
        ]

    def _start(self, slot: _Slot) -> None:
        child = slot.child
        if child.marker is not None:
            child.marker.unlink(missing_ok=True)
        argv = leashed(child.argv, parent=os.getpid(), python=sys.executable)
        try:
            with child.log.open("ab") if child.log else nullcontext() as errors:
                slot.process = subprocess.Popen(  # noqa: S603 - the command is ours
                    argv,
                    env=dict(child.env),
                    stdin=subprocess.DEVNULL,
                    # Ours has the ready line and nothing else. All that speaks
                    # there is Celery, to say that it stops.
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                    pass_fds=self._pass_fds,
                )
        except OSError as error:  # no memory, or no room for another process
            log.error("not started process=%s: %s", child.name, error)
            slot.start_at = time.monotonic() + self._patience.longest_s
            return
        slot.started_at, slot.asked_at = time.monotonic(), None
        slot.is_ready = False
        self._probe_at = slot.started_at + self._patience.probe_s
        log.info("started process=%s pid=%d", child.name, slot.process.pid)

    def _probe(self) -> None:
        for slot in self._slots:
            if slot.process is None or slot.is_ready or not slot.child.is_ready():
                continue
            slot.is_ready = slot.was_ready = True
            log.info(
                "ready process=%s after_s=%.1f",
                slot.child.name,
                time.monotonic() - slot.started_at,
            )
        self._probe_at = time.monotonic() + self._patience.probe_s

    def _bury(self, slot: _Slot, process: subprocess.Popen[bytes]) -> bool:
        """Reap a process that has ended, and kill what it left of its group."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if os.waitid(os.P_PID, process.pid, flags) is None:
            return False
        # Not reaped yet, its pid is nobody else's: the group is surely its own.
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._on_end(process.pid)
        slot.process = None
        slot.is_ready = False
        return True

    def _plan_restart(self, slot: _Slot, process: subprocess.Popen[bytes]) -> None:
        patience = self._patience
        is_young = time.monotonic() - slot.started_at < patience.young_s
        slot.deaths = slot.deaths + 1 if is_young else 1
        end = describe_status(process.returncode)
        is_hopeless = is_young and slot.deaths >= patience.early_deaths
        if is_hopeless and not slot.was_ready:
            raise StartFailed(
                f"{slot.child.name} ended {slot.deaths} times before it answered, last "
                f"with {end}: {' '.join(slot.child.argv)}{tail(slot.child.log)}"
            )
        doubled = patience.first_s * 2 ** min(slot.deaths - 1, 16)
        pause = min(patience.longest_s, doubled)
        slot.start_at = time.monotonic() + pause
        log.warning(
            "ended process=%s pid=%d by=%s, restarting in %.1f s",
            slot.child.name,
            process.pid,
            end,
            pause,
        )

    def _stop(self, signals: Signals) -> None:
        """Stop role after role; a second signal hastens all that is left."""
        running = [slot for slot in self._slots if slot.process is not None]
        log.info("stopping processes=%d; ask again to stop at once", len(running))
        for role in sorted({slot.child.role for slot in running}):
            self._end([s for s in running if s.child.role is role], running, signals)

    def _end(
        self, slots: Sequence[_Slot], running: Sequence[_Slot], signals: Signals
    ) -> None:
        _terminate(slots)
        if not self._wait_for_end(
            slots, running, signals, lambda: self._patience_ends_at(slots)
        ):
            for slot, process in _alive(slots):
                log.warning("killed process=%s: it did not stop", slot.child.name)
                _signal_group(process.pid, signal.SIGKILL)
            last = time.monotonic() + KILLED_S
            self._wait_for_end(slots, running, signals, lambda: last)

    def _patience_ends_at(self, slots: Sequence[_Slot]) -> float:
        asked_at = max(slot.asked_at or 0.0 for slot in slots)
        end = asked_at + max(slot.child.grace_s for slot in slots)
        if self._hasty_at is None:
            return end
        return min(end, max(asked_at, self._hasty_at) + HASTE_S)

    def _wait_for_end(
        self,
        slots: Sequence[_Slot],
        running: Sequence[_Slot],
        signals: Signals,
        deadline: Callable[[], float],
    ) -> bool:
        while True:
            for slot, process in _alive(running):
                if self._bury(slot, process):
                    log.info("stopped process=%s", slot.child.name)
            if not _alive(slots):
                return True
            pause = deadline() - time.monotonic()
            if pause <= 0:
                return False
            if signals.wait(pause) and self._hasty_at is None:
                log.warning("asked again: stopping everything now")
                self._hasty_at = time.monotonic()
                # Databases are last even so: without them the others would spend
                # their end complaining.
                _terminate([s for s in running if s.child.role not in DATABASES])


def _alive(slots: Sequence[_Slot]) -> list[tuple[_Slot, subprocess.Popen[bytes]]]:
    return [(slot, slot.process) for slot in slots if slot.process is not None]


def _terminate(slots: Sequence[_Slot]) -> None:
    for slot, process in _alive(slots):
        # Once: some take a second time for haste. And the leader alone: it knows
        # best how to stop what it started.
        if slot.asked_at is None:
            slot.asked_at = time.monotonic()
            process.send_signal(signal.SIGTERM)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
