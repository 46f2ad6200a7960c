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
from mta.config.dkim import DkimConfig, DkimKey
from mta.config.fields import (
    Address,
    Boolean,
    Domain,
    DomainPattern,
    FrozenMapping,
    HeaderName,
    HeaderValue,
    Host,
    ListenHost,
    ListenPort,
    Nameserver,
    Network,
    RateValue,
    Ratio,
    RemotePort,
    lasting,
    or_word,
    whole,
)
from mta.config.interfaces import ApiConfig, Interface, UsersConfig
from mta.config.limits import DomainLimits, LimitNames, Provider, Reuses, SharedLimit
from mta.config.next_hop import HttpTarget, RelayLogin, TimeoutsConfig
from mta.config.pressure import PressureConfig
from mta.config.schedule import DEFAULT, Schedule
from mta.config.shaping import ShapingRule, built_in_rules
from mta.config.srs import SrsConfig
from mta.config.tls import TlsConfig, TlsLevel, TlsReportConfig
from mta.config.values import HostPort, IPAddress, IPNetwork, Rate
from mta.config.warmup import WarmUp, WarmupPlan, built_in_plans

__all__ = [
    "DEFAULT",
    "ApiConfig",
    "Connections",
    "DkimConfig",
    "DkimKey",
    "DomainLimits",
    "Frozen",
    "HostPort",
    "HttpTarget",
    "IPAddress",
    "IPNetwork",
    "Interface",
    "PressureConfig",
    "Priority",
    "Provider",
    "Rate",
    "RelayLogin",
    "Schedule",
    "ShapingRule",
    "SharedLimit",
    "SrsConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "TlsLevel",
    "TlsReportConfig",
    "UsersConfig",
    "WarmUp",
    "WarmupPlan",
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
        trust_ad: Which nameservers are believed when they say that they have
            validated an answer (DNSSEC): all, none, or those of this machine.
    """

    nameservers: Annotated[tuple[Nameserver, ...], Field(max_length=16)] = ()
    block_local_addresses: Boolean = True
    allow_addresses: tuple[Network, ...] = ()
    cache_ttl: Annotated[timedelta, lasting(timedelta(0), HOUR)] = 10 * MINUTE
    ignore_ipv6: Boolean = False
    prefer_ipv6: Boolean = False
    timeout: Annotated[timedelta, lasting(SECOND, MINUTE)] = 10 * SECOND
    trust_ad: Annotated[bool | Literal["loopback"], or_word("loopback")] = "loopback"


class PoolAddress(Frozen):
    """An address that mail leaves from.

    Attributes:
        interface: The network interface that it was found at; None: the file names
            it itself.
        name: For EHLO; None: that of the address in DNS, else the machine's.
        ratio: Its share of the load; None: an equal part of what is left; 0: none.
        max_connections, rate: From it, over all zones; None: as many as there are.
        limits: Shared ones that it counts against as well.
        warmup: None: the world knows it.
    """

    address: Address
    interface: str | None = None
    name: Domain | None = None
    ratio: Ratio | None = None
    max_connections: Connections | None = None
    rate: RateValue | None = None
    limits: LimitNames = ()
    warmup: WarmUp | None = None


class ConnectionCache(Frozen):
    """How long a session waits for its next use, and how often it is used."""

    ttl: Annotated[timedelta, lasting(timedelta(0), 5 * MINUTE)] = 5 * SECOND
    reuse_count: Reuses = 100


class Zone(Frozen):
    """A queue with its own worker, limits, addresses and routes.

    Attributes:
        name: Its key in ``zones``; the Celery queue has the same.
        disabled: No worker, no route; what is queued waits.
        addresses: Those of ``pool``; empty: the system chooses.
        pool_hash: What keeps to one address: a message's delivery, or a sender.
        host: Relay that gets all mail; None: what DNS names.
        secure: It wants TLS from the first octet.
        auth: What we log in to it with.
        lmtp: It speaks LMTP.
        http: A web server that gets all mail instead.
        ignore_ipv6, prefer_ipv6, block_local_addresses: None: as in ``dns``.
        tls: None: opportunistic, or as ``ignore_tls`` says; of a domain, it may be
            another.
        ignore_tls: ZoneMTA's word for ``tls: ignore``.
        throttling: Messages of the zone, over all its workers.
        connection_throttling: Messages of each connection.
        limits: Shared ones that its mail counts against as well.
        in_doubt: What becomes of a delivery whose final dot was sent and never
            answered.
        defer_times: None: those of the queue.
        sender_domains, from_domains, recipient_domains: Of the reverse path, of the
            first author, of the recipient; ``*.`` and a domain: every name below it.
        routing_headers: Lower-case names, each with the value that routes here.
    """

    derived = frozenset({"name", "addresses"})

    name: str
    disabled: Boolean = False
    connections: Connections = 1
    throttling: RateValue | None = None
    connection_throttling: RateValue | None = None
    limits: LimitNames = ()
    pool: str | None = None
    addresses: tuple[PoolAddress, ...] = ()
    pool_hash: Literal["message", "from"] = "message"
    host: Host | None = None
    port: RemotePort = 25
    ignore_ipv6: Boolean | None = None
    prefer_ipv6: Boolean | None = None
    block_local_addresses: Boolean | None = None
    secure: Boolean = False
    auth: RelayLogin | None = None
    lmtp: Boolean = False
    http: HttpTarget | None = None
    tls: TlsLevel | None = None
    ignore_tls: Boolean = False
    connection_cache: ConnectionCache = ConnectionCache()
    in_doubt: Literal["retry", "hold", "assume_delivered"] = "retry"
    defer_times: Schedule | None = None
    sender_domains: tuple[DomainPattern, ...] = ()
    from_domains: tuple[DomainPattern, ...] = ()
    recipient_domains: tuple[DomainPattern, ...] = ()
    origin_addresses: tuple[Network, ...] = ()
    routing_headers: Annotated[Mapping[HeaderName, HeaderValue], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )

    @property
    def next_hop(self) -> HostPort | None:
        """Who gets all mail, whatever DNS says; None: DNS is asked."""
        if self.http is not None:
            return self.http.endpoint
        return HostPort(host=self.host, port=self.port) if self.host else None


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
        keep_transcripts: What was said in attempts that did not go as usual; zero:
            nothing is.
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
    keep_transcripts: Annotated[timedelta, lasting(timedelta(0), YEAR)] = 7 * DAY


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
    """All of it.

    Attributes:
        source: The file's path as the operator gave it.
        lines: Where routes and addresses stand in it; see ``mta.config.lines``.
        hidden: Paths of values that the environment gave: they may be secrets.
    """

    derived = frozenset({"source", "lines", "hidden"})

    api: ApiConfig = ApiConfig()
    flower: FlowerConfig = FlowerConfig()
    dns: DnsConfig = DnsConfig()
    queue: QueueConfig = Field(default_factory=QueueConfig)
    timeouts: TimeoutsConfig = TimeoutsConfig()
    tls: TlsConfig = TlsConfig()
    tls_report: TlsReportConfig = TlsReportConfig()
    dkim: DkimConfig = Field(default_factory=DkimConfig)
    srs: SrsConfig = SrsConfig()
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
    limits: Annotated[Mapping[str, SharedLimit], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
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
    shaping: Annotated[Mapping[str, ShapingRule], FrozenMapping] = Field(
        default_factory=built_in_rules, validate_default=True
    )
    warmup: Annotated[Mapping[str, WarmupPlan], FrozenMapping] = Field(
        default_factory=built_in_plans, validate_default=True
    )
    source: str = BUILT_IN
    lines: Annotated[Mapping[tuple[str, ...], int], FrozenMapping] = Field(
        default_factory=dict, validate_default=True, repr=False
    )
    hidden: frozenset[str] = frozenset()

    def enabled_zones(self) -> tuple[Zone, ...]:
        """The zones that have a worker."""
        return tuple(zone for zone in self.zones.values() if not zone.disabled)

    def place_of(self, *said: str) -> str:
        """Where it is said, as ``zones.yaml:31``; empty if no file says it."""
        line = self.lines.get(said)
        return f"{self.source}:{line}" if line else ""

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
