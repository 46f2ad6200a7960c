"""Queue ids: short, unique over all processes, and sorted by time."""

import os
import secrets
import time
from collections.abc import Callable
from threading import Lock

_COUNTER_BITS = 12


class MessageIds:
    """Makes ids such as ``1930b0c9a5c001f3a7``: 18 hex digits.

    Fourteen are milliseconds since 1970 times 4096 plus a counter, four were
    drawn by the process. Make one per process, after any fork. Should two ever
    be equal all the same, the second insert fails and its client tries again.
    """

    def __init__(self, clock_ms: Callable[[], int] | None = None) -> None:
        self._clock_ms = clock_ms or (lambda: time.time_ns() // 1_000_000)
        self._suffix = os.urandom(2).hex()
        # Another start of the counter in every process: two that drew the same
        # suffix still differ.
        self._start = secrets.randbelow(1 << _COUNTER_BITS - 1)
        self._last = 0
        self._lock = Lock()

    def __call__(self) -> str:
        """The next id; later ones are greater even if the clock steps back."""
        with self._lock:
            now = (self._clock_ms() << _COUNTER_BITS) + self._start
            self._last = max(now, self._last + 1)
            return f"{self._last:014x}{self._suffix}"
