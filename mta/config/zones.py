"""The mail policy as frozen values: what zones.yaml says once it was read.

The schema, with its defaults and bounds. Unknown keys and wrong types are refused;
what one value alone cannot tell, ``checks.py`` does.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from mta.config.fields import (
    Address,
    Boolean,
    Domain,
    FrozenMapping,
    HeaderName,
    HeaderValue,
    Host,
    Line,
    ListenHost,
    ListenPort,
    Nameserver,
    Network,
    NotYet,
    Ratio,
    RemotePort,
    lasting,
    sized,
    whole,
)
from mta.config.values import GIB, KIB, MIB, HostPort, IPAddress, IPNetwork

__all__ = ["HostPort", "IPAddress", "IPNetwork"]

BUILT_IN = "built-in defaults"

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_YEAR = timedelta(days=365)

DeferTimes = Annotated[
    tuple[Annotated[timedelta, lasting(_SECOND, 30 * _DAY)], ...],
    Field(min_length=1, max_length=100),
]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # Fields that the loader fills: no keys of the file.
    derived: ClassVar[frozenset[str]] = frozenset()


class ApiConfig(Frozen):
    """The HTTP door. ``max_size`` is that of a message as stored."""

    host: ListenHost = "127.0.0.1"
    port: ListenPort = 12080
    max_size: Annotated[int, sized(KIB, 4 * GIB)] = 256 * MIB
    max_recipients: Annotated[int, whole(1, 10_000)] = 10_000


class FlowerConfig(Frozen):
    """Celery's task dashboard."""

    enabled: Boolean = True
    host: ListenHost = "127.0.0.1"
    port: ListenPort = 5555


class DnsConfig(Frozen):
    """How names are resolved, and to which addresses mail may go.

    Attributes:
        nameservers: Empty: the system's.
        allow_addresses: Networks where mail may go in spite of
            ``block_local_addresses``.
        cache_ttl: Nothing is cached for longer, whatever its own TTL says.
        timeout: For one name, over all nameservers.
    """

    nameservers: Annotated[tuple[Nameserver, ...], Field(max_length=16)] = ()
    block_local_addresses: Boolean = True
    allow_addresses: tuple[Network, ...] = ()
    cache_ttl: Annotated[timedelta, lasting(timedelta(0), _HOUR)] = 10 * _MINUTE
    ignore_ipv6: Boolean = False
    prefer_ipv6: Boolean = False
    timeout: Annotated[timedelta, lasting(_SECOND, _MINUTE)] = 10 * _SECOND


class Interface(Frozen):
    """One SMTP door.

    Attributes:
        name: Its key in ``interfaces``.
        port: 0: any free one.
        hostname: What it calls itself; None: the machine's name.
        socket_timeout: A client that is silent for longer is let go.
        max_clients: Per process.
        allowed_networks: Empty: loopback only.
        allow_routing_headers: Clients may choose zones by header.
    """

    derived = frozenset({"name"})

    name: str
    host: ListenHost = "127.0.0.1"
    port: ListenPort = 2525
    processes: Annotated[int, whole(1, 64)] = 2
    max_size: Annotated[int, sized(KIB, 4 * GIB)] = 30 * MIB
    max_recipients: Annotated[int, whole(1, 10_000)] = 1000
    hostname: Domain | None = None
    banner: Line | None = None
    socket_timeout: Annotated[timedelta, lasting(_SECOND, _HOUR)] = 10 * _MINUTE
    max_clients: Annotated[int, whole(1, 100_000)] = 1000
    allowed_networks: tuple[Network, ...] = ()
    allow_routing_headers: Boolean = False
    authentication: NotYet = False
    starttls: NotYet = False


class PoolAddress(Frozen):
    """An address that mail leaves from.

    Attributes:
        name: For EHLO; None: the machine's name.
        ratio: Its share of the load; None: an equal part of what is left; 0: none.
    """

    address: Address
    name: Domain | None = None
    ratio: Ratio | None = None


class ConnectionCache(Frozen):
    """How long a session waits for its next use, and how often it is used."""

    ttl: Annotated[timedelta, lasting(timedelta(0), 5 * _MINUTE)] = 5 * _SECOND
    reuse_count: Annotated[int, whole(1, 1_000_000)] = 100


class Zone(Frozen):
    """A queue with its own worker, limits, addresses and routes.

    Attributes:
        name: Its key in ``zones``; the Celery queue has the same.
        disabled: No worker, no route; what is queued waits.
        addresses: Those of ``pool``; empty: the system chooses.
        pool_hash: What keeps to one address: a message's delivery, or a sender.
        host: Relay that gets all mail; None: what DNS names.
        ignore_ipv6, prefer_ipv6, block_local_addresses: None: as in ``dns``.
        ignore_tls: Never STARTTLS.
        defer_times: None: those of the queue.
        routing_headers: Lower-case names, each with the value that routes here.
    """

    derived = frozenset({"name", "addresses"})

    name: str
    disabled: Boolean = False
    connections: Annotated[int, whole(1, 10_000)] = 1
    pool: str | None = None
    addresses: tuple[PoolAddress, ...] = ()
    pool_hash: Literal["message", "from"] = "message"
    host: Host | None = None
    port: RemotePort = 25
    ignore_ipv6: Boolean | None = None
    prefer_ipv6: Boolean | None = None
    block_local_addresses: Boolean | None = None
    ignore_tls: Boolean = False
    connection_cache: ConnectionCache = ConnectionCache()
    defer_times: DeferTimes | None = None
    sender_domains: tuple[Domain, ...] = ()
    recipient_domains: tuple[Domain, ...] = ()
    origin_addresses: tuple[Network, ...] = ()
    routing_headers: Annotated[Mapping[HeaderName, HeaderValue], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )


def _minutes(*counts: int) -> tuple[timedelta, ...]:
    return tuple(count * _MINUTE for count in counts)


class QueueConfig(Frozen):
    """How long things are tried and kept.

    Attributes:
        max_queue_time: A message that is older is given up.
        defer_times: Pause after the 1st, 2nd, ... transient failure; after the
            last pause comes the last try.
        lease: A worker that is silent for so long has lost its deliveries.
        keep_content: Bodies stay so long after their last recipient is done.
        keep_records: What happened stays so long after that.
    """

    default_zone: str = "default"
    max_queue_time: Annotated[timedelta, lasting(_MINUTE, _YEAR)] = 30 * _DAY
    defer_times: DeferTimes = _minutes(5, 7, 8, 25, 75, 120, *[240] * 11)
    lease: Annotated[timedelta, lasting(5 * _SECOND, _HOUR)] = 60 * _SECOND
    keep_content: Annotated[timedelta, lasting(timedelta(0), _YEAR)] = 10 * _MINUTE
    keep_records: Annotated[timedelta, lasting(_MINUTE, 10 * _YEAR)] = 30 * _DAY


def built_in_interfaces() -> dict[str, Interface]:
    """The doors of a configuration that does not speak of them."""
    return {"feeder": Interface(name="feeder")}


def built_in_zones() -> dict[str, Zone]:
    """The zones of a configuration that does not speak of them."""
    return {
        "default": Zone(name="default", connections=10),
        "bounces": Zone(name="bounces"),
    }


class Config(Frozen):
    """All of it. ``source`` is the file's path as the operator gave it."""

    derived = frozenset({"source"})

    api: ApiConfig = ApiConfig()
    flower: FlowerConfig = FlowerConfig()
    dns: DnsConfig = DnsConfig()
    queue: QueueConfig = QueueConfig()
    interfaces: Annotated[Mapping[str, Interface], FrozenMapping] = Field(
        default_factory=built_in_interfaces, validate_default=True
    )
    pools: Annotated[Mapping[str, tuple[PoolAddress, ...]], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )
    zones: Annotated[Mapping[str, Zone], FrozenMapping] = Field(
        default_factory=built_in_zones, validate_default=True
    )
    source: str = BUILT_IN

    def enabled_zones(self) -> tuple[Zone, ...]:
        """The zones that have a worker."""
        return tuple(zone for zone in self.zones.values() if not zone.disabled)
