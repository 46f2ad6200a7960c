"""Destinations that just failed, as one process remembers them without Redis."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from threading import Lock

from mta.policy.limits import Trouble

_MANY = 1000


class Troubles:
    """What failed, for a time; of too many, those noted last."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def note(self, key: str, text: str, ttl: timedelta) -> None:
        """``key`` failed, and is not tried for ``ttl``."""
        with self._lock:
            self._known[key] = text, self._monotonic() + ttl.total_seconds()
            self._known.move_to_end(key)
            if len(self._known) > _MANY:
                self._known.popitem(last=False)

    def clear(self, key: str) -> None:
        """``key`` works again."""
        with self._lock:
            self._known.pop(key, None)

    def find(self, key: str) -> Trouble | None:
        """What is known of ``key``, if it is not over."""
        with self._lock:
            text, until = self._known.get(key, ("", 0.0))
            left = until - self._monotonic()
            if left > 0:
                return Trouble(text, timedelta(seconds=left))
            self._known.pop(key, None)
            return None
