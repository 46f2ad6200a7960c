"""Answers that many ask for at once: kept for a time each, fetched once at a time.

When ten thousand deliveries to one domain begin together, one of them asks and
the others wait for its answer.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class SharedCache(Generic[_K, _V]):
    """A bounded map with a time to live per entry; drops what was unused longest."""

    def __init__(
        self, *, max_entries: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_entries = max_entries
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[_K, tuple[_V, float]] = OrderedDict()
        self._flights: dict[_K, _Flight[_V]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: _K, load: Callable[[], tuple[_V, float]]) -> _V:
        """Return the value of ``key``, loaded if need be.

        Args:
            load: Returns the value and its time to live in seconds; zero shares
                it only with those who wait right now. If it raises, its caller
                alone hears of it, and the next one who waits tries again.
        """
        while True:
            with self._lock:
                entry = self._entries.get(key)
                if entry is not None and entry[1] > self._monotonic():
                    self._entries.move_to_end(key)
                    return entry[0]
                flight = self._flights.get(key)
                if flight is None:
                    mine = self._flights[key] = _Flight()
            if flight is None:
                return self._load(key, mine, load)
            flight.landed.wait()
            if flight.values:
                return flight.values[0]

    def _load(
        self, key: _K, flight: "_Flight[_V]", load: Callable[[], tuple[_V, float]]
    ) -> _V:
        try:
            value, ttl_s = load()
            flight.values.append(value)
            with self._lock:
                if ttl_s > 0:
                    self._entries[key] = (value, self._monotonic() + ttl_s)
                    self._entries.move_to_end(key)
                    while len(self._entries) > self._max_entries:
                        self._entries.popitem(last=False)
            return value
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()


class _Flight(Generic[_V]):
    """One load under way; ``values`` holds its result, or stays empty."""

    __slots__ = ("landed", "values")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.values: list[_V] = []
