"""Watches whether there is room for more mail, so that the doors know at once.

A thread measures every few seconds and keeps the answer; who asks for it never waits.
The database is asked more often while it is slow or away, so that a lull is over soon.
"""

import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from statistics import median_low
from threading import Event, Thread
from typing import Final

from mta.config.live import Live
from mta.config.zones import PressureConfig
from mta.errors import StoreUnavailable
from mta.observe.metrics import show_pressure
from mta.policy.pressure import Strain, Vitals, choose_refusal, explain, judge
from mta.reply import Reply
from mta.store.vitals import QueueVitals

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
SOON_S: Final = 1.0
# One write that took long, out of so many, is no slow database.
SAMPLES: Final = 5
# How long a write may take, as a multiple of what is allowed: longer, and it failed.
PATIENCE: Final = 2
LEAST_PATIENCE: Final = timedelta(seconds=1)  # a busy machine's own pauses


class PressureMonitor:
    """What keeps one process from taking mail.

    Args:
        monotonic: Seconds of a clock that never jumps.
        free_memory: The part of the memory that is free; None if nobody knows.
        every_s: Seconds between two looks.
    """

    def __init__(
        self,
        queue: QueueVitals,
        limits: Live[PressureConfig],
        *,
        monotonic: Callable[[], float],
        free_memory: Callable[[], float | None],
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._queue = queue
        self._limits = limits
        self._monotonic = monotonic
        self._free_memory = free_memory
        self._every_s = every_s
        self._stopping = Event()
        self._waiting = 0
        self._waiting_until_s = float("-inf")
        self._latencies_s: deque[float] = deque(maxlen=SAMPLES)
        self._failing_since_s: float | None = None
        self._strains: frozenset[Strain] = frozenset()
        self._figures: dict[Strain, str] = {}
        self._refusal: Reply | None = None

    def start(self) -> None:
        """Look from now on; until the first look is done, there is room."""
        Thread(target=self._run, name="pressure", daemon=True).start()

    def stop(self) -> None:
        """Look no more; what was seen last stays."""
        self._stopping.set()

    def refusal(self) -> Reply | None:
        """What a client hears that has a message for us; None: it is welcome."""
        return self._refusal

    def strains(self) -> frozenset[Strain]:
        """What keeps us from taking mail."""
        return self._strains

    def readiness(self) -> list[tuple[str, bool, str]]:
        """Each of what there may be too much of: its name, whether not, and why."""
        strains, figures = self._strains, self._figures
        return [
            (strain.value, strain not in strains, figures.get(strain, ""))
            for strain in Strain
        ]

    def look(self) -> bool:
        """Measure once, and judge.

        Returns:
            Whether the database was there, and quick enough.
        """
        free_memory = self._free_memory()
        latency = self._ask()
        is_fresh = self._monotonic() < self._waiting_until_s
        self._judge(
            Vitals(
                waiting=self._waiting if is_fresh else None,
                free_memory=free_memory,
                latency=latency,
            )
        )
        return latency <= self._limits.current.max_latency

    def _ask(self) -> timedelta:
        """Learn the queue's depth, and how long that takes now."""
        began_s = self._monotonic()
        most = self._limits.current.max_latency
        patience = max(PATIENCE * most, LEAST_PATIENCE)
        try:
            depth = self._queue.ask(patience=patience)
        except StoreUnavailable as error:
            log.info("no vitals error=%s", error)
            if self._failing_since_s is None:
                self._failing_since_s = began_s
            took_s = self._monotonic() - self._failing_since_s
            self._latencies_s.append(took_s)
            # It is away: no need to see that three times.
            return timedelta(seconds=max(took_s, median_low(self._latencies_s)))
        ended_s = self._monotonic()
        self._failing_since_s = None
        self._waiting_until_s = float("-inf")
        if depth is not None:
            self._waiting = depth.waiting
            self._waiting_until_s = ended_s + depth.holds.total_seconds()
        self._latencies_s.append(ended_s - began_s)
        return timedelta(seconds=median_low(self._latencies_s))

    def _judge(self, vitals: Vitals) -> None:
        before, limits = self._strains, self._limits.current
        strains = judge(vitals, limits, before)
        figures = explain(vitals, limits)
        self._strains, self._figures = strains, figures
        self._refusal = choose_refusal(strains)
        show_pressure(strains)
        for strain in sorted(strains - before):
            log.warning("taking no mail strain=%s: %s", strain, figures[strain])
        for strain in sorted(before - strains):
            log.warning("over strain=%s: %s", strain, figures.get(strain, "unknown"))

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            pause_s = self._every_s
            try:
                if not self.look():
                    pause_s = min(SOON_S, pause_s)
            except Exception:
                log.exception("pressure broke")
                self._judge(Vitals())  # a bug of ours must not keep mail out
