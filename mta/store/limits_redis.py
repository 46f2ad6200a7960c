"""The limits in Redis: keys, scripts and replies turned into values, and back.

Nothing here decides or remembers. Every method is one script, hence indivisible,
and raises redis.exceptions.RedisError if Redis does not answer within a second;
one that was not answered may have been done.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha1
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from mta.policy.limits import (
    Answer,
    Demand,
    Full,
    Granted,
    Later,
    Slot,
    Trouble,
    beat_of,
    bounded_key,
)
from mta.store import limits_scripts as scripts

PREFIX = "mta:"
CHANNEL = f"{PREFIX}wanted"
LEASE = timedelta(seconds=16)  # renewed every 4 s: three renewals may fail
# What waits for a slot says so again within 72 s, when its safety net was due.
WANTED_FOR = timedelta(minutes=5)

_ANSWER_S = 1.0
_MAX_TEXT_CHARS = 1000
_MAX_WANTED = 10_000
_SLOTS = f"{PREFIX}slots:"
_CLOCK = f"{PREFIX}clock:"
_TROUBLE = f"{PREFIX}trouble:"
_EPOCH = f"{PREFIX}epoch"
_WANTED = f"{PREFIX}wanted"
# For one script, so that it does not keep the others waiting: about a millisecond.
_MEMBERS_AT_ONCE = 50
_KEYS_AT_ONCE = 20
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_LEASE_US = LEASE // _MICROSECOND

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Nothing is taken: this Redis is not relied on, for ``left`` if that is known."""

    left: timedelta | None


class Pulse(NamedTuple):
    """What a beat tells.

    Attributes:
        left_us: Until this Redis is relied on; 0 if it is.
        now_us: The server's clock.
        had_others: Somebody may have been granted something before this epoch.
    """

    epoch: str
    left_us: int
    now_us: int
    had_others: bool


class Grant(NamedTuple):
    """A rate's last grant that Redis was not asked for, and the rate's interval."""

    key: str
    at_us: int
    interval_us: int


def connect(
    url: str, *, connections: int, on_connect: Callable[[Any], None] | None = None
) -> Redis:
    """Open a pool of connections, lazily; who finds none free waits for a second.

    Args:
        on_connect: Called with each new connection; may refuse it with a RedisError.
    """

    def greet(connection: Any) -> None:
        try:
            connection.on_connect()
            if on_connect is not None:
                on_connect(connection)
        except BaseException:
            # Half a greeting must not be taken for the answer to a command.
            connection.disconnect()
            raise

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=_ANSWER_S,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=_ANSWER_S,
        # A failure is to be known at once, not hidden by another try.
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        redis_connect_func=greet,
    )
    return Redis(connection_pool=pool)


def read_run(connection: Any) -> str:
    """Ask which run of a server a new connection leads to."""
    connection.send_command("INFO", "server")
    return _run_of(connection.read_response())


class RedisLimits:
    """The scripts as methods.

    Args:
        now: Microseconds; None: the server's own clock, as it has to be in earnest.
    """

    def __init__(self, redis: Redis, *, now: Callable[[], int] | None = None) -> None:
        self._redis = redis
        self._now = now

    def acquire(
        self,
        member: str,
        demand: Demand,
        *,
        has_turn: bool = False,
        drop: Sequence[str] = (),
        trouble: str = "",
    ) -> Answer | Unsettled:
        """Take all of ``demand`` or nothing, unless ``trouble`` is known of."""
        slots, paces = demand.slots, demand.paces
        beats = [beat_of(pace) for pace in paces]
        kept = {slot.key for slot in slots}
        dropped = [key for key in drop if key not in kept]
        keys = [_EPOCH, _WANTED, trouble_name(trouble) if trouble else _EPOCH]
        keys += [slots_name(slot.key) for slot in slots]
        keys += [clock_name(pace.key) for pace in paces]
        keys += [slots_name(key) for key in dropped]
        reply = self._run(
            ACQUIRE,
            keys,
            [
                self._time(),
                _LEASE_US,
                member,
                int(has_turn),
                int(bool(trouble)),
                len(slots),
                len(paces),
                *(slot.limit for slot in slots),
                *(beat.interval for beat in beats),
            ],
        )
        match reply[0]:
            case scripts.GRANTED:
                freed = tuple(dropped[index - 1] for index in reply[2:])
                return Granted(reply[1] * _MICROSECOND, freed)
            case scripts.FULL:
                return Full(*slots[reply[1] - 1])
            case scripts.LATER:
                return Later(paces[reply[1] - 1].key, reply[2] * _MICROSECOND)
            case scripts.TROUBLE:
                text = reply[1].decode("utf-8", "replace")
                return Trouble(text, max(reply[2], 0) * _MILLISECOND)
            case _:
                known = reply[1] >= 0
                return Unsettled(reply[1] * _MICROSECOND if known else None)

    def release(self, member: str, keys: Sequence[str]) -> list[str]:
        """Give slots up; returns those of ``keys`` that somebody waits for."""
        names = [slots_name(key) for key in keys]
        reply = self._run(RELEASE, [_EPOCH, _WANTED, *names], [self._time(), member])
        return [keys[index - 1] for index in reply]

    def want(self, slot: Slot) -> bool | None:
        """Note that somebody waits; True if a slot is free, None if not known."""
        lifetime = WANTED_FOR // _MICROSECOND
        word = f"+{bounded_key(slot.key)}"
        reply = self._run(
            WANT,
            [_EPOCH, _WANTED, slots_name(slot.key)],
            [self._time(), slot.limit, lifetime, CHANNEL, word],
        )
        return None if reply < 0 else bool(reply)

    def unwant(self, key: str) -> None:
        """Note that nobody waits any more."""
        word = f"-{bounded_key(key)}"
        self._run(UNWANT, [_WANTED], [slots_name(key), CHANNEL, word])

    def list_wanted(self) -> list[str]:
        """The limits that somebody waits for, as far as they are not too many."""
        names = self._run(LIST_WANTED, [_WANTED], [self._time(), _MAX_WANTED])
        return [name.decode("ascii").removeprefix(_SLOTS) for name in names]

    def restore_wanted(self, keys: Iterable[str]) -> None:
        """Note again who waits, after Redis forgot it."""
        lifetime = WANTED_FOR // _MICROSECOND
        for some in _chunks(keys, _MEMBERS_AT_ONCE):
            names = [slots_name(key) for key in some]
            self._run(RESTORE, [_WANTED], [self._time(), lifetime, *names])

    def register(
        self, held: Mapping[str, Iterable[str]], grants: Iterable[Grant]
    ) -> None:
        """Take what a process holds, and was granted, without asking; no limit counts.

        Args:
            held: Members by the key of their slot.
        """
        for some in _chunks(_pieces(held), _KEYS_AT_ONCE):
            self._register(some, (), only_unsettled=False)
        for part in _chunks(grants, _KEYS_AT_ONCE):
            self._register((), part, only_unsettled=False)

    def register_one(
        self, member: str, keys: Iterable[str], grants: Sequence[Grant]
    ) -> bool:
        """Take one such grant, unless Redis is relied on by now: then returns False."""
        held = [_Piece(key, (member,)) for key in keys]
        return self._register(held, grants, only_unsettled=True)

    def renew(self, held: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
        """Extend leases; returns the key and member of each that is not there."""
        missing: list[tuple[str, str]] = []
        for some in _chunks(_pieces(held), _KEYS_AT_ONCE):
            names = [slots_name(piece.key) for piece in some]
            reply = self._run(RENEW, names, [self._time(), _LEASE_US, *_spread(some)])
            for index, member in zip(reply[::2], reply[1::2], strict=True):
                missing.append((some[index - 1].key, member.decode("utf-8")))
        return missing

    def bury(self, keys: Sequence[str]) -> list[str]:
        """Free the slots of those who died; returns the key of each one freed."""
        freed: list[str] = []
        for some in _chunks(keys, _KEYS_AT_ONCE):
            reply = self._run(BURY, [slots_name(key) for key in some], [self._time()])
            for index, count in zip(reply[::2], reply[1::2], strict=True):
                freed += [some[index - 1]] * count
        return freed

    def beat(self, run: str, known: str) -> Pulse:
        """Say that a process lives, and hear how far Redis is to be relied on.

        Args:
            run: The server's run, as ``read_run`` tells.
            known: The last epoch in which the process relied on Redis, if any.
        """
        reply = self._run(BEAT, [_EPOCH], [self._time(), run, known])
        return Pulse(reply[0].decode("ascii"), reply[1], reply[2], bool(reply[3]))

    def find_run(self) -> str:
        """Which run of the server answers."""
        return str(self._redis.info("server").get("run_id", ""))

    def note_trouble(self, key: str, text: str, ttl: timedelta) -> None:
        """Leave ``key`` alone for ``ttl``."""
        lifetime = max(1, ttl // _MILLISECOND)
        shown = text[:_MAX_TEXT_CHARS].encode("utf-8", "backslashreplace")
        self._redis.set(trouble_name(key), shown, px=lifetime)

    def clear_trouble(self, key: str) -> None:
        """``key`` works again."""
        self._redis.delete(trouble_name(key))

    def _register(
        self,
        held: Sequence["_Piece"],
        grants: Sequence[Grant],
        *,
        only_unsettled: bool,
    ) -> bool:
        keys = [_EPOCH, *(slots_name(piece.key) for piece in held)]
        keys += [clock_name(grant.key) for grant in grants]
        arguments = [self._time(), _LEASE_US, int(only_unsettled), len(held)]
        arguments += _spread(held)
        for grant in grants:
            arguments += [grant.at_us, grant.interval_us]
        return bool(self._run(REGISTER, keys, arguments))

    def _time(self) -> str | int:
        return "" if self._now is None else self._now()

    def _run(
        self, script: "_Script", keys: Sequence[str], arguments: Sequence[str | int]
    ) -> Any:
        try:
            return self._redis.evalsha(script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return self._redis.eval(script.text, len(keys), *keys, *arguments)


class _Script:
    """A script and the name that Redis calls it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode("ascii"), usedforsecurity=False).hexdigest()


ACQUIRE = _Script(scripts.ACQUIRE)
RELEASE = _Script(scripts.RELEASE)
WANT = _Script(scripts.WANT)
UNWANT = _Script(scripts.UNWANT)
LIST_WANTED = _Script(scripts.LIST_WANTED)
BURY = _Script(scripts.BURY)
RESTORE = _Script(scripts.RESTORE)
REGISTER = _Script(scripts.REGISTER)
RENEW = _Script(scripts.RENEW)
BEAT = _Script(scripts.BEAT)


class _Piece(NamedTuple):
    """Some of those who hold a slot of a limit."""

    key: str
    members: Sequence[str]


def slots_name(key: str) -> str:
    return f"{_SLOTS}{bounded_key(key)}"


def clock_name(key: str) -> str:
    return f"{_CLOCK}{bounded_key(key)}"


def trouble_name(key: str) -> str:
    return f"{_TROUBLE}{bounded_key(key)}"


def _pieces(held: Mapping[str, Iterable[str]]) -> Iterator[_Piece]:
    for key, members in held.items():
        for some in _chunks(members, _MEMBERS_AT_ONCE):
            yield _Piece(key, some)


def _spread(pieces: Iterable[_Piece]) -> list[str | int]:
    spread: list[str | int] = []
    for piece in pieces:
        spread += [len(piece.members), *piece.members]
    return spread


def _chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _run_of(info: bytes) -> str:
    match = re.search(rb"^run_id:([0-9a-f]+)", info, re.MULTILINE)
    return match[1].decode("ascii") if match else ""
