"""Group commit: whoever waits for the same kind of round trip shares the next one.

While one group is on its way to the database, later callers gather; when it is back,
the first of them takes all of them along. A lone caller waits for nobody. Works with
threads and, when the standard library is patched, with greenlets.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from threading import Event, Lock
from typing import Generic, TypeVar

from mta.errors import StoreUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupStopped(StoreUnavailable):
    """The thread that ran the group was stopped; whether it was done is unknown."""


class Grouped(Generic[Item, Result]):
    """Turns a function of many items into one of a single item.

    Args:
        run: Does a group; returns one result per item, in their order. Its error
            is everybody's.
        most: Items in one group.
    """

    def __init__(
        self, run: Callable[[Sequence[Item]], Sequence[Result]], *, most: int = 100
    ) -> None:
        self._run = run
        self._most = most
        self._lock = Lock()
        self._waiting: deque[_Call[Item, Result]] = deque()
        self._has_leader = False

    def __call__(self, item: Item) -> Result:
        """Do ``item`` with the next group, and return its result."""
        call: _Call[Item, Result] = _Call(item)
        with self._lock:
            self._waiting.append(call)
            call.leads, self._has_leader = not self._has_leader, True
        if not call.leads:
            self._wait(call)
        if call.leads:
            self._lead()
        if call.error is not None:
            raise call.error
        (result,) = call.results
        return result

    def _wait(self, call: "_Call[Item, Result]") -> None:
        """Wait for the group, or for the lead; who is killed waiting hands it on."""
        try:
            call.woken.wait()
        except BaseException:
            with self._lock:
                if call in self._waiting:
                    self._waiting.remove(call)
                if call.leads:
                    self._hand_on()
            raise

    def _hand_on(self) -> None:
        """Wake the next leader, if anybody waits; the lock is held."""
        self._has_leader = bool(self._waiting)
        if self._has_leader:
            self._waiting[0].leads = True
            self._waiting[0].woken.set()

    def _lead(self) -> None:
        """Run one group, the caller's item first, then hand the lead on."""
        with self._lock:
            group = list(islice(self._waiting, self._most))
            for _ in group:
                self._waiting.popleft()
        try:
            results = self._run([call.item for call in group])
            for call, result in zip(group, results, strict=True):
                call.results.append(result)
        except BaseException as error:
            # One that stops only the leader's thread must not leave the others
            # without an answer.
            shared = error if isinstance(error, Exception) else GroupStopped()
            for call in group:
                call.error = shared
            if shared is not error:
                raise
        finally:
            with self._lock:
                self._hand_on()
            for call in group:
                call.woken.set()


class _Call(Generic[Item, Result]):
    """One caller: its item, then either its one result or the group's error."""

    __slots__ = ("error", "item", "leads", "results", "woken")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.results: list[Result] = []
        self.error: Exception | None = None
        self.leads = False
        self.woken = Event()
