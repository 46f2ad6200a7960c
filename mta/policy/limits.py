"""What one message needs of the limits, and the arithmetic of rates.

A *slot* is the right to have one open connection counted against a limit; a *pace*
is a limit of messages per time. A session needs its slots all at once or none, and
a message its paces likewise. Keys name limits, the narrowest first, so that who has
to wait does so where it is tightest: ``domain:ZONE:DOMAIN`` (per zone), then
``provider:ZONE:NAME``, ``source:ADDRESS`` (over all zones), ``shared:NAME`` (of all
that name it) and ``zone:NAME``.

Rates are even: no burst is saved up. A limit's clock holds the instant of its last
grant; the next is one interval later at the earliest. So in any window of length w
there are at most floor(w / interval) + 1 grants, a grant being counted when it is
to be used, at ``now + wait``. Who would have to wait for more than ``PATIENCE`` is
denied, and gets a turn of its own from a second, advisory clock: turns are distinct
and ordered, whoever comes for the first time stands behind them, and who comes back
for its turn is judged by the first clock alone. Should he be denied even so, because
somebody else was faster, his next turn is from a third clock, which is ahead of the
line: he does not stand at its end again. Only the limit with the longest wait gives
out turns: one slow domain must not fill its zone's clock.

All instants and lengths are whole microseconds: the scripts in Redis reckon with
the same numbers, in doubles that hold them exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from mta.config.limits import DomainLimits, SharedLimit
from mta.config.values import Rate
from mta.config.zones import Config, ConnectionCache, PoolAddress, Provider, Zone
from mta.reasons import Limit

PATIENCE = timedelta(seconds=1)
HORIZON = timedelta(hours=1)
# Turns whose owners did not come for so long, two intervals added, are void.
GRACE = timedelta(seconds=30)

MAX_KEY_CHARS = 400

_MICROSECOND = timedelta(microseconds=1)
PATIENCE_US = PATIENCE // _MICROSECOND
HORIZON_US = HORIZON // _MICROSECOND
GRACE_US = GRACE // _MICROSECOND


class Slot(NamedTuple):
    """One connection of the ``limit`` that may be open under ``key``."""

    key: str
    limit: int


class Pace(NamedTuple):
    """One message of the ``rate`` that ``key`` allows."""

    key: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Demand:
    """What is needed, all or none. No key twice; both may be empty."""

    slots: tuple[Slot, ...] = ()
    paces: tuple[Pace, ...] = ()

    def limits(self) -> tuple[Limit, ...]:
        """The same for people: each limit once, with all that it allows."""
        rates = {pace.key: str(pace.rate) for pace in self.paces}
        slots = {slot.key: slot.limit for slot in self.slots}
        keys = dict.fromkeys((*slots, *rates))
        return tuple(Limit(key, slots.get(key), rates.get(key, "")) for key in keys)


NO_DEMAND = Demand()


@dataclass(frozen=True, slots=True)
class Granted:
    """All is taken: wait for ``wait`` (at most ``PATIENCE``), then go on.

    Attributes:
        freed: Of the keys that were given up, those that somebody waits for.
    """

    wait: timedelta = timedelta(0)
    freed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Full:
    """Nothing is taken: ``key`` has as many connections as it may."""

    key: str
    limit: int


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing is taken: the rate of ``key`` has a turn for you after ``wait``.

    Attributes:
        is_turn: False: there is no turn, only the advice to ask again then.
    """

    key: str
    wait: timedelta
    is_turn: bool = True


@dataclass(frozen=True, slots=True)
class Trouble:
    """Nothing is taken: somebody failed there, and it is not tried for ``left``."""

    text: str
    left: timedelta


Answer: TypeAlias = Granted | Full | Later | Trouble


class Beat(NamedTuple):
    """A pace in microseconds, or one part of ``parts`` equal ones of it.

    The parts take turns: part n has every ``parts``-th tick of the clock, so that
    processes which cannot ask each other keep the rate together. Each key's ticks
    are at other instants: else all the domains of one rate would meet at once
    before their zone's, and one of them would get through.
    """

    key: str
    interval: int
    parts: int = 1
    part: int = 0

    @property
    def step(self) -> int:
        """From one of the own ticks to the next."""
        return self.interval * self.parts

    def tick(self, at: int) -> int:
        """The first of the own ticks that is not before ``at``."""
        if self.parts == 1:
            return at
        own = _phase(self.key) + self.part * self.interval
        return at + (own - at) % self.step


class Clock(NamedTuple):
    """The instants of a pace's last grant and of the last turns given out.

    Attributes:
        turn: The last one of the line.
        again: The last one given to somebody who had had a turn.
    """

    granted: int
    turn: int
    again: int = 0


def demand_of(
    config: Config,
    zone: Zone,
    domain: str,
    *,
    provider: Provider | None,
    source: PoolAddress | None,
) -> Demand:
    """List the limits that a session of ``zone`` to ``domain`` counts against."""
    limits = config.domain_limits(domain)
    rows: list[tuple[str, int | None, Rate | None]] = [
        (limit_key("domain", zone.name, domain), limits.max_connections, limits.rate)
    ]
    shared = [*limits.limits]
    if provider is not None:
        shared += provider.limits
        key = limit_key("provider", zone.name, provider.name)
        rows.append((key, provider.max_connections, provider.rate))
    if source is not None:
        shared += source.limits
        key = limit_key("source", str(source.address))
        rows.append((key, source.max_connections, source.rate))
    for name in dict.fromkeys((*shared, *zone.limits)):
        # A session may be older than the configuration, and so may what it names.
        if own := config.limits.get(name):
            rows.append((limit_key("shared", name), own.max_connections, own.rate))
    rows.append((limit_key("zone", zone.name), zone.connections, zone.throttling))
    return Demand(
        slots=tuple(Slot(key, limit) for key, limit, _ in rows if limit is not None),
        paces=tuple(Pace(key, rate) for key, _, rate in rows if rate is not None),
    )


def cache_of(
    config: Config, zone: Zone, domain: str, *, provider: Provider | None
) -> ConnectionCache:
    """How long a session is kept: as the zone says, for no more than others want."""
    cache = zone.connection_cache
    others = (
        config.domain_limits(domain).reuse_count,
        provider.reuse_count if provider else None,
    )
    least = min(count for count in (cache.reuse_count, *others) if count is not None)
    return cache.model_copy(update={"reuse_count": least})


def slots_of(config: Config, key: str) -> int | None:
    """The connections that a limit allows; None: any number, or it is not known."""
    kind, _, name = key.partition(":")
    owner: DomainLimits | Provider | PoolAddress | SharedLimit | None
    match kind:
        case "zone":
            return config.connections_of(name)
        case "domain":
            owner = config.domain_limits(name.partition(":")[2])
        case "provider":
            owner = config.providers.get(name.partition(":")[2])
        case "source":
            pools = config.pools.values()
            own = (a for pool in pools for a in pool if str(a.address) == name)
            owner = next(own, None)
        case "shared":
            owner = config.limits.get(name)
        case _:
            owner = None
    return owner.max_connections if owner else None


def zone_of(key: str) -> str:
    """The zone whose limit it is; empty if it is one of several."""
    kind, _, name = key.partition(":")
    is_zones = kind in {"zone", "domain", "provider"}
    return name.partition(":")[0] if is_zones else ""


def limit_key(*parts: str) -> str:
    """Name a limit; names that come from outside cannot make it long or odd."""
    return bounded_key(":".join(parts))


def bounded_key(key: str) -> str:
    """``key`` itself if it is short and printable ASCII, else one with its digest."""
    if len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable():
        return key
    kind = key.partition(":")[0][:20]
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    shown = kind if kind.isascii() and kind.isprintable() else "odd"
    return f"{shown}:#{digest}"


def beat_of(pace: Pace, *, parts: int = 1, part: int = 0) -> Beat:
    """``pace`` in microseconds, rounded so that the rate is never exceeded."""
    period = pace.rate.period // _MICROSECOND
    return Beat(pace.key, -(-period // pace.rate.count), parts, part)


@lru_cache(maxsize=10_000)
def _phase(key: str) -> int:
    """Where the ticks of ``key`` begin, the same in every process."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big")


def share_of(limit: int, *, rank: int, count: int) -> int:
    """The part of ``limit`` that one of ``count`` has who cannot ask the others.

    The parts of all ranks, counted from 0, add up to the limit; some may be 0.
    """
    return limit // count + (1 if rank < limit % count else 0)


def find_opening(
    now: int,
    beats: Sequence[Beat],
    clock_of: Callable[[str], Clock],
    *,
    has_turn: bool,
    floor: int = 0,
) -> tuple[int, int]:
    """Find the first instant at which all paces agree, and which one is the last.

    Args:
        has_turn: Others' turns do not count.
        floor: Others may have been granted something until then.

    Returns:
        The instant, not before ``now``, and the index of the pace that decides.
    """
    slowest = max(range(len(beats)), key=lambda index: beats[index].step)
    opening, decisive = now, slowest
    for index, beat in enumerate(beats):
        clock = clock_of(beat.key)
        at = max(clock.granted + beat.step, floor + beat.interval)
        if not has_turn:
            at = max(at, clock.turn + beat.step, clock.again + beat.step)
        if index == slowest:
            at = beat.tick(max(at, now))
        if at > opening:
            opening, decisive = at, index
    # Several paces rarely have a tick in common: the slowest one's is kept.
    return beats[slowest].tick(opening), decisive


def heal(clock: Clock, beat: Beat, *, now: int, floor: int = 0) -> Clock:
    """Mend what cannot be, and drop turns that nobody came for.

    A clock that is too far ahead comes from a time server that was set back.
    """
    granted = min(clock.granted, now + PATIENCE_US)
    turn = min(clock.turn, now + HORIZON_US)
    again = min(clock.again, now + HORIZON_US)
    if now > max(granted, floor) + 2 * beat.step + GRACE_US:
        turn = again = 0
    return Clock(granted, turn, again)
