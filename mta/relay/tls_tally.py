"""Counts what came of TLS, for reports: gathered in the process, written now and then.

Only of domains that want reports: whether one does is asked once somebody has counted
something of it, aside, so that no delivery waits. What a process has not written when
it is killed is not reported; that is some seconds' worth.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Protocol

from mta.errors import AttemptFailed, StoreUnavailable
from mta.policy.tls_report import Detail, Policy, Seen, parse_places

log = logging.getLogger(__name__)

WRITE_EVERY_S: Final = 10.0
MAX_PENDING: Final = 5_000  # kinds of results between two writes; more are not counted
BUDGET_S: Final = 60.0  # for the questions before one write


class Names(Protocol):
    """The part of the resolver that is needed here."""

    def find_texts(self, name: str) -> tuple[str, ...]: ...


class Store(Protocol):
    """Keeps counts; see ``mta.store.tls_results.TlsResults``."""

    def add(self, day: date, counts: Mapping[Policy, Mapping[Detail, int]]) -> None: ...


def _start_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="tls-tally", daemon=True).start()


@dataclass(kw_only=True)
class TlsTally:
    """What one process has counted and not yet written.

    While there is anything, one thread writes it; it ends when nothing is left.

    Attributes:
        now: The clock; aware UTC.
    """

    store: Store
    names: Names
    now: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    start_thread: Callable[[Callable[[], None]], None] = _start_thread
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _pending: Counter[tuple[date, Seen]] = field(default_factory=Counter, init=False)
    _is_writing: bool = field(default=False, init=False)

    def note(self, seen: Seen) -> None:
        """Count one result."""
        key = (self.now().date(), seen)
        with self._lock:
            if key not in self._pending and len(self._pending) >= MAX_PENDING:
                return
            self._pending[key] += 1
            must_start, self._is_writing = not self._is_writing, True
        if must_start:
            self.start_thread(self._run)

    def close(self) -> None:
        """Write what is left without asking anybody: the process is about to end."""
        self.write(asks=False)

    def write(self, *, asks: bool = True) -> None:
        """Write what was counted so far; should that fail, it is not lost.

        Args:
            asks: Only of domains that want reports.
        """
        with self._lock:
            pending, self._pending = self._pending, Counter()
        wanted = {seen.policy.domain for _, seen in pending}
        if asks:
            wanted = self._wanted(wanted)
        by_day: dict[date, dict[Policy, Counter[Detail]]] = {}
        for (day, seen), count in pending.items():
            if seen.policy.domain in wanted:
                policies = by_day.setdefault(day, {})
                policies.setdefault(seen.policy, Counter())[seen.detail] += count
        for day, counts in by_day.items():
            try:
                self.store.add(day, counts)
            except StoreUnavailable as error:
                log.warning("tls results not written error=%s", error)
                self._put_back(day, counts)

    def _wanted(self, domains: set[str]) -> set[str]:
        """Those of the domains that have reports sent to them, or may have."""
        until = self.monotonic() + BUDGET_S
        return {d for d in domains if self.monotonic() > until or self._wants(d)}

    def _wants(self, domain: str) -> bool:
        try:
            return bool(parse_places(self.names.find_texts(f"_smtp._tls.{domain}")))
        except AttemptFailed:
            return True  # who sends the report asks again

    def _put_back(self, day: date, counts: Mapping[Policy, Counter[Detail]]) -> None:
        with self._lock:
            for policy, details in counts.items():
                for detail, count in details.items():
                    if len(self._pending) < MAX_PENDING:
                        self._pending[day, Seen(policy, detail)] += count

    def _run(self) -> None:
        while True:
            self.sleep(WRITE_EVERY_S)
            try:
                self.write()
            except Exception:
                log.exception("tls tally broke")
            with self._lock:
                if not self._pending:
                    self._is_writing = False
                    return
