"""The life of a signing key, and when it goes on to its next part.

::

    made ──► pending ──record seen in DNS──► active ──a newer one is active──► retiring
                                                                                  │
             the record may go, the private half is gone  ◄── retired ◄──a week──┘

A signature that nobody can check is worth less than none, so a key signs nothing
before we have seen its record ourselves. The key before it goes on signing until then,
and its record stays for as long as mail that it signed may be on its way. A key of
another algorithm is not the key before it: both sign.

What a crash leaves: two active keys of a kind. Both sign, and the next look retires
the older one.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, TypeVar


class KeyState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"


_NEXT: Final[Mapping[KeyState, KeyState]] = {
    KeyState.PENDING: KeyState.ACTIVE,
    KeyState.ACTIVE: KeyState.RETIRING,
    KeyState.RETIRING: KeyState.RETIRED,
}

# RFC 5321 §4.5.4.1 wants mail to be tried for four or five days: what a key signed
# last may be read a week later.
RETIRE_AFTER: Final = timedelta(days=7)
KEPT_FOR: Final = timedelta(days=30)  # what is known of a retired key
# Between looks at DNS: for records that are waited for, and those that should be there.
LOOK_EVERY: Final = timedelta(minutes=1)
LOOK_AGAIN_EVERY: Final = timedelta(hours=1)


class Key(Protocol):
    """What decides; see ``mta.store.dkim_keys.StoredKey``."""

    @property
    def domain(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def state(self) -> KeyState: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def retiring_at(self) -> datetime | None: ...
    @property
    def checked_at(self) -> datetime | None: ...


K = TypeVar("K", bound=Key)


def may_follow(before: KeyState, after: KeyState) -> bool:
    """Whether a key's life knows the step."""
    return _NEXT.get(before) is after


def wants_look(key: Key, now: datetime) -> bool:
    """Whether it is time to look for the record of a key."""
    every = {
        KeyState.PENDING: LOOK_EVERY,
        KeyState.ACTIVE: LOOK_AGAIN_EVERY,
        KeyState.RETIRING: LOOK_AGAIN_EVERY,
    }.get(key.state)
    if every is None:
        return False
    # A tenth of grace: the next look must not miss by a hair.
    return key.checked_at is None or now - key.checked_at >= every * 0.9


def find_replaced(keys: Sequence[K]) -> Iterator[K]:
    """The active keys of which there is a newer active one."""
    newest: dict[tuple[str, str], datetime] = {}
    active = [key for key in keys if key.state is KeyState.ACTIVE]
    for key in active:
        kind = (key.domain, key.algorithm)
        newest[kind] = max(newest.get(kind, key.created_at), key.created_at)
    for key in active:
        if key.created_at < newest[key.domain, key.algorithm]:
            yield key


def is_over(key: Key, now: datetime) -> bool:
    """Whether a retiring key has been published for long enough."""
    if key.state is not KeyState.RETIRING or key.retiring_at is None:
        return False
    return now - key.retiring_at >= RETIRE_AFTER
