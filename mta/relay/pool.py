"""Sessions between two messages, kept for a moment for the next one.

Who gets which session is decided under a lock; sockets are closed outside of it,
because closing may wait. While any session is kept, one thread closes those whose
time is over; it ends when none is left. A session that keeps others waiting for the
slots it holds is not kept.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from mta.observe import metrics

MAX_IDLE = 500  # over all keys; must stay well below the limit of open files
REAP_EVERY_S = 0.5


class Poolable(Protocol):
    """What the pool must know of a session.

    Attributes:
        idle_until: Kept by the pool.
        keys: The limits whose slots it holds.
        must_yield: Somebody waits for one of them.
    """

    idle_until: float

    @property
    def keys(self) -> Collection[str]: ...

    @property
    def must_yield(self) -> bool: ...

    @property
    def uses(self) -> int: ...

    @property
    def is_usable(self) -> bool: ...

    def is_quiet(self) -> bool: ...

    def close(self) -> None: ...


_S = TypeVar("_S", bound=Poolable)


@dataclass(frozen=True, slots=True, eq=False)
class _Idle(Generic[_S]):
    key: Hashable
    session: _S


def _start_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="session-reaper", daemon=True).start()


class SessionPool(Generic[_S]):
    """Idle sessions by key; whoever takes one owns it until it is given back.

    The key must hold all that makes a session fit: who sends, from where, to
    whom.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        start_thread: Callable[[Callable[[], None]], None] = _start_thread,
    ) -> None:
        self._monotonic = monotonic
        self._start_thread = start_thread
        self._lock = threading.Lock()
        self._idle: dict[Hashable, list[_Idle[_S]]] = {}
        # All of them, in the order they were given.
        self._all: OrderedDict[int, _Idle[_S]] = OrderedDict()
        self._is_reaping = False
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<SessionPool idle={len(self._all)} keys={len(self._idle)}>"

    def take(self, key: Hashable) -> _S | None:
        """Hand over the session given last under ``key`` that still stands."""
        while True:
            with self._lock:
                waiting = self._idle.get(key)
                idle = waiting[-1] if waiting else None
                if idle is not None:
                    self._forget(idle)
            if idle is None:
                return None
            if idle.session.idle_until > self._monotonic() and idle.session.is_quiet():
                return idle.session
            idle.session.close()

    def give(
        self, key: Hashable, session: _S, *, ttl: timedelta, max_uses: int
    ) -> None:
        """Take a session back; close it if it has served its time.

        Args:
            ttl: How long it may wait for the next message; zero not to keep it.
            max_uses: Transactions after which a session is not kept.
        """
        session.idle_until = self._monotonic() + ttl.total_seconds()
        may_stay = session.is_usable and session.uses < max_uses and bool(ttl)
        if not (may_stay and self._keep(key, session)):
            session.close()

    def put_back(self, key: Hashable, session: _S) -> None:
        """Take back a session that was not used: it does not get any younger."""
        if not (session.is_usable and self._keep(key, session)):
            session.close()

    def take_holding(self, limit: str) -> _S | None:
        """Hand over the session that has been idle longest with a slot of ``limit``."""
        with self._lock:
            for idle in self._all.values():
                if limit in idle.session.keys:
                    self._forget(idle)
                    return idle.session
        return None

    def reap(self) -> int:
        """Close the sessions whose time is over; return how many are left."""
        now = self._monotonic()
        with self._lock:
            over = [
                idle
                for idle in self._all.values()
                if idle.session.idle_until <= now or idle.session.must_yield
            ]
            for idle in over:
                self._forget(idle)
            left = len(self._all)
        for idle in over:
            idle.session.close()
        return left

    def close_all(self) -> None:
        """Close every idle session, and from now on each one given back."""
        with self._lock:
            self._is_closed = True
            over = list(self._all.values())
            self._all.clear()
            self._idle.clear()
            metrics.CONNECTION_POOL_SIZE.set(0)
        for idle in over:
            idle.session.close()

    def _keep(self, key: Hashable, session: _S) -> bool:
        idle = _Idle(key, session)
        with self._lock:
            if self._is_closed or len(self._all) >= MAX_IDLE:
                return False
            self._idle.setdefault(key, []).append(idle)
            self._all[id(idle)] = idle
            metrics.CONNECTION_POOL_SIZE.set(len(self._all))
            must_start, self._is_reaping = not self._is_reaping, True
        if must_start:
            self._start_thread(self._reap_until_empty)
        # Asked only now: who comes to want a slot later finds the session here.
        return not (session.must_yield and self._withdraw(idle))

    def _withdraw(self, idle: _Idle[_S]) -> bool:
        """Take a session out again; False if somebody else was faster."""
        with self._lock:
            if self._all.get(id(idle)) is not idle:
                return False
            self._forget(idle)
        return True

    def _forget(self, idle: _Idle[_S]) -> None:
        del self._all[id(idle)]
        metrics.CONNECTION_POOL_SIZE.set(len(self._all))
        waiting = self._idle[idle.key]
        waiting.remove(idle)
        if not waiting:
            del self._idle[idle.key]

    def _reap_until_empty(self) -> None:
        while True:
            time.sleep(REAP_EVERY_S)
            self.reap()
            with self._lock:
                if not self._all:
                    self._is_reaping = False
                    return
