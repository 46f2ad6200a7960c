"""The mail policy as frozen values: what zones.yaml says once it was read.

The schema, with its defaults and bounds. Unknown keys and wrong types are refused;
what one value alone cannot tell, ``checks.py`` does.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from mta.config.base import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    YEAR,
    Connections,
    Frozen,
    Priority,
)
from mta.config.fields import (
    Address,
    Boolean,
    Domain,
    FrozenMapping,
    HeaderName,
    HeaderValue,
    Host,
    ListenHost,
    ListenPort,
    MxPattern,
    Nameserver,
    Network,
    RateValue,
    Ratio,
    RemotePort,
    lasting,
    whole,
)
from mta.config.interfaces import ApiConfig, Interface, UsersConfig
from mta.config.pressure import PressureConfig
from mta.config.schedule import DEFAULT, Schedule
from mta.config.values import HostPort, IPAddress, IPNetwork, Rate

__all__ = [
    "DEFAULT",
    "ApiConfig",
    "Connections",
    "Frozen",
    "HostPort",
    "IPAddress",
    "IPNetwork",
    "Interface",
    "PressureConfig",
    "Priority",
    "Rate",
    "Schedule",
    "UsersConfig",
]

BUILT_IN = "built-in defaults"


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
    cache_ttl: Annotated[timedelta, lasting(timedelta(0), HOUR)] = 10 * MINUTE
    ignore_ipv6: Boolean = False
    prefer_ipv6: Boolean = False
    timeout: Annotated[timedelta, lasting(SECOND, MINUTE)] = 10 * SECOND


class PoolAddress(Frozen):
    """An address that mail leaves from.

    Attributes:
        name: For EHLO; None: the machine's name.
        ratio: Its share of the load; None: an equal part of what is left; 0: none.
        max_connections, rate: From it, over all zones; None: as many as there are.
    """

    address: Address
    name: Domain | None = None
    ratio: Ratio | None = None
    max_connections: Connections | None = None
    rate: RateValue | None = None


class ConnectionCache(Frozen):
    """How long a session waits for its next use, and how often it is used."""

    ttl: Annotated[timedelta, lasting(timedelta(0), 5 * MINUTE)] = 5 * SECOND
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
        throttling: Messages of the zone, over all its workers.
        in_doubt: What becomes of a delivery whose final dot was sent and never
            answered.
        defer_times: None: those of the queue.
        routing_headers: Lower-case names, each with the value that routes here.
    """

    derived = frozenset({"name", "addresses"})

    name: str
    disabled: Boolean = False
    connections: Connections = 1
    throttling: RateValue | None = None
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
    in_doubt: Literal["retry", "hold", "assume_delivered"] = "retry"
    defer_times: Schedule | None = None
    sender_domains: tuple[Domain, ...] = ()
    recipient_domains: tuple[Domain, ...] = ()
    origin_addresses: tuple[Network, ...] = ()
    routing_headers: Annotated[Mapping[HeaderName, HeaderValue], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )


class DomainLimits(Frozen):
    """What holds for the mail of one zone to one recipient domain.

    Attributes:
        max_connections: Open at a time, over all workers of the zone.
        rate: Messages, over all workers of the zone.
        disabled_addresses: Of our own, none of which the domain is sent from.
        defer_times: None: those of the zone.
    """

    max_connections: Connections = 5
    rate: RateValue | None = None
    disabled_addresses: tuple[Address, ...] = ()
    defer_times: Schedule | None = None


class Provider(Frozen):
    """One who receives for many domains, known by the hosts that their MX name.

    Attributes:
        name: Its key in ``providers``.
        mx: Host names, or ``*.`` and a name: that one and any below it.
        max_connections, rate: Over all the provider's domains, for each zone.
    """

    derived = frozenset({"name"})

    name: str
    mx: Annotated[tuple[MxPattern, ...], Field(min_length=1, max_length=100)]
    max_connections: Connections | None = None
    rate: RateValue | None = None

    def has_host(self, host: str) -> bool:
        """Whether a host, lower-case and without a final dot, is the provider's."""
        return any(
            f".{host}".endswith(pattern[1:])
            if pattern.startswith("*")
            else host == pattern
            for pattern in self.mx
        )


class TenantConfig(Frozen):
    """One of several who share the queue; ``weight`` is its part of what is scarce."""

    weight: Annotated[int, whole(1, 1000)] = 1


Addable: TypeAlias = Literal["message-id", "date", "to", "mime-version"]


def _minutes(*counts: int) -> tuple[timedelta, ...]:
    return tuple(count * MINUTE for count in counts)


_TIMES = _minutes(5, 7, 8, 25, 75, 120, *[240] * 11)


class QueueConfig(Frozen):
    """How long things are tried and kept.

    Attributes:
        max_queue_time: A message that is due for longer is given up.
        future_date: A Date that is ahead defers a message until then.
        add_missing: Header fields that a message gets if it has none of them; To only
            where it has no Cc and no Bcc either.
        x_originating_ip: A message says in X-Originating-IP where it came from.
        defer_times: Pause after the 1st, 2nd, ... transient failure; after the
            last pause comes the last try.
        jitter: A pause is longer by up to this part of itself, so that what failed
            together does not come back together.
        in_doubt_wait: Pause before a delivery in doubt is tried again.
        transactional_share: Part of a zone's turns that transactional mail has
            while other mail waits, too.
        old_after: Mail that is due and waits for longer is worth an alarm.
        lease: A worker that is silent for so long has lost its deliveries.
        keep_content: Bodies stay so long after their last recipient is done.
        keep_records: What happened stays so long after that. Much longer than it may
            take to write a message's rows: else some might be written twice.
    """

    default_zone: str = "default"
    max_queue_time: Annotated[timedelta, lasting(MINUTE, YEAR)] = 30 * DAY
    future_date: Boolean = False
    add_missing: tuple[Addable, ...] = ("message-id", "date")
    x_originating_ip: Boolean = True
    defer_times: Schedule = Field(default=_TIMES, validate_default=True)
    jitter: Ratio = 0.1
    in_doubt_wait: Annotated[timedelta, lasting(SECOND, 30 * DAY)] = 15 * MINUTE
    transactional_share: Ratio = 0.5
    old_after: Annotated[timedelta, lasting(SECOND, YEAR)] = HOUR
    lease: Annotated[timedelta, lasting(5 * SECOND, HOUR)] = 60 * SECOND
    keep_content: Annotated[timedelta, lasting(timedelta(0), YEAR)] = 10 * MINUTE
    keep_records: Annotated[timedelta, lasting(HOUR, 10 * YEAR)] = 30 * DAY


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
    queue: QueueConfig = Field(default_factory=QueueConfig)
    users: UsersConfig = UsersConfig()
    pressure: PressureConfig = PressureConfig()
    interfaces: Annotated[Mapping[str, Interface], FrozenMapping] = Field(
        default_factory=built_in_interfaces, validate_default=True
    )
    pools: Annotated[Mapping[str, tuple[PoolAddress, ...]], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )
    zones: Annotated[Mapping[str, Zone], FrozenMapping] = Field(
        default_factory=built_in_zones, validate_default=True
    )
    domains: Annotated[Mapping[str, DomainLimits], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )
    providers: Annotated[Mapping[str, Provider], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )
    tenants: Annotated[Mapping[str, TenantConfig], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )
    source: str = BUILT_IN

    def enabled_zones(self) -> tuple[Zone, ...]:
        """The zones that have a worker."""
        return tuple(zone for zone in self.zones.values() if not zone.disabled)

    def connections_of(self, zone: str) -> int:
        """The connections of a zone; 1 if there is none of that name."""
        known = self.zones.get(zone)
        return known.connections if known else 1

    def domain_limits(self, domain: str) -> DomainLimits:
        """The limits of a recipient domain, a lower-case A-label.

        What a domain does not say itself, ``default`` says for it.
        """
        shared = self.domains.get(DEFAULT, _NO_LIMITS_SAID)
        own = self.domains.get(domain)
        if own is None or own is shared:
            return shared
        said = {field: getattr(own, field) for field in own.model_fields_set}
        return shared.model_copy(update=said)

    def provider_of(self, mx_hosts: Collection[str]) -> Provider | None:
        """The provider whose all the hosts of a domain are, if there is one.

        Args:
            mx_hosts: Lower-case A-labels, without a final dot.
        """
        if not mx_hosts:
            return None
        for provider in self.providers.values():
            if all(map(provider.has_host, mx_hosts)):
                return provider
        return None

    def tenant_weight(self, tenant: str) -> int:
        """The part that a tenant has, compared with those of others."""
        known = self.tenants.get(tenant)
        return known.weight if known else 1


_NO_LIMITS_SAID = DomainLimits()
