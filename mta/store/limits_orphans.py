"""Slots that Redis may think somebody holds who does not, until they are released.

Thread-safe. The lock is never held while Redis is asked: who takes or gives up a
slot meanwhile does not wait, except a member whose own slots are on their way back.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from threading import Condition

# For one beat, which must not be late: more are left to the next, or to their lease.
_AT_ONCE = 1_000


class Orphans:
    """Members and the keys of their slots, until Redis forgets them by itself.

    Args:
        lease_s: When it does so.
    """

    def __init__(self, lease_s: float, *, monotonic: Callable[[], float]) -> None:
        self._lease_s = lease_s
        self._monotonic = monotonic
        # By member: the keys, and when Redis will have forgotten them.
        self._ends: dict[str, dict[str, float]] = {}
        self._in_work = ""
        self._changed = Condition()

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, member: str, keys: Iterable[str]) -> None:
        """Redis may think wrongly that ``member`` holds slots of ``keys``."""
        ends = dict.fromkeys(keys, self._monotonic() + self._lease_s)
        if ends:
            with self._changed:
                self._ends[member] = self._ends.pop(member, {}) | ends

    def adopt(self, member: str) -> None:
        """``member`` asks again: what it is granted now, it holds."""
        if self._ends:
            with self._changed:
                self._changed.wait_for(lambda: self._in_work != member)
                self._ends.pop(member, None)

    def prune(self) -> None:
        """Forget what Redis has forgotten."""
        now = self._monotonic()
        with self._changed:
            # In the order of their ends: whoever is added again goes to the back.
            while self._ends:
                member = next(iter(self._ends))
                if max(self._ends[member].values()) > now:
                    return
                del self._ends[member]

    def release(
        self,
        is_held: Callable[[str, str], bool],
        release: Callable[[str, Sequence[str]], Sequence[str]],
    ) -> list[str]:
        """Give back what is not held after all, a member's slots at once.

        Args:
            is_held: Whether a member holds a slot of a key.
            release: Asks Redis. If it raises, that member and the rest are kept.

        Returns:
            What ``release`` returned: keys that somebody waits for.
        """
        self.prune()
        freed: list[str] = []
        with self._changed:
            members = list(islice(self._ends, _AT_ONCE))
        for member in members:
            with self._work_on(member) as keys:
                if lost := [key for key in keys if not is_held(member, key)]:
                    freed += release(member, lost)
        return freed

    @contextmanager
    def _work_on(self, member: str) -> Iterator[Sequence[str]]:
        with self._changed:
            known = dict(self._ends.get(member, {}))
            self._in_work = member
        try:
            yield list(known)
            with self._changed:
                self._forget(member, known)
        finally:
            with self._changed:
                self._in_work = ""
                self._changed.notify_all()

    def _forget(self, member: str, known: dict[str, float]) -> None:
        """Drop what is done, but not what was added again meanwhile."""
        ends = self._ends.get(member, {})
        for key, until in known.items():
            if ends.get(key) == until:
                del ends[key]
        if not ends:
            self._ends.pop(member, None)
