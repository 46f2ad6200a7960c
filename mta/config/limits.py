"""Limits of those who receive, and limits that several things share."""

from typing import Annotated

from pydantic import Field

from mta.config.base import Connections, Frozen
from mta.config.fields import Address, Boolean, MxPattern, RateValue, whole
from mta.config.schedule import Schedule
from mta.config.tls import TlsLevel

MAX_REUSES = 1_000_000

Reuses = Annotated[int, whole(1, MAX_REUSES)]
# Names of shared limits; checks.py sees to it that they are there.
LimitNames = Annotated[tuple[str, ...], Field(max_length=20)]


class SharedLimit(Frozen):
    """A limit that zones, domains, providers and addresses name, and have in common.

    Attributes:
        name: Its key in ``limits``.
        max_connections: Open at a time, of all that name it together.
        rate: Messages, likewise.
    """

    derived = frozenset({"name"})

    name: str
    max_connections: Connections | None = None
    rate: RateValue | None = None


class DomainLimits(Frozen):
    """What holds for the mail of one zone to one recipient domain.

    Attributes:
        max_connections: Open at a time, over all workers of the zone.
        rate: Messages, over all workers of the zone.
        limits: Shared ones that it counts against as well.
        reuse_count: Messages that a connection carries at most; None: as many as the
            zone says.
        disabled_addresses: Of our own, none of which the domain is sent from.
        defer_times: None: those of the zone.
        ignore_ipv6, prefer_ipv6: None: as in the zone.
        tls: None: as in the zone.
        mta_sts, dane: None: as in ``tls``; false: what it publishes is not followed.
    """

    max_connections: Connections = 5
    rate: RateValue | None = None
    limits: LimitNames = ()
    reuse_count: Reuses | None = None
    disabled_addresses: tuple[Address, ...] = ()
    defer_times: Schedule | None = None
    ignore_ipv6: Boolean | None = None
    prefer_ipv6: Boolean | None = None
    tls: TlsLevel | None = None
    mta_sts: Boolean | None = None
    dane: Boolean | None = None


class Provider(Frozen):
    """One who receives for many domains, known by the hosts that their MX name.

    Attributes:
        name: Its key in ``providers``.
        profile: What ``mta.config.profiles`` says of it holds, where the file says
            nothing else.
        mx: Host names, or ``*.`` and a name: that one and any below it.
        max_connections, rate: Over all the provider's domains, for each zone.
        limits, reuse_count: As of a domain.
    """

    derived = frozenset({"name"})

    name: str
    profile: str | None = None
    mx: Annotated[tuple[MxPattern, ...], Field(min_length=1, max_length=100)]
    max_connections: Connections | None = None
    rate: RateValue | None = None
    limits: LimitNames = ()
    reuse_count: Reuses | None = None

    def has_host(self, host: str) -> bool:
        """Whether a host, lower-case and without a final dot, is the provider's."""
        return any(
            f".{host}".endswith(pattern[1:])
            if pattern.startswith("*")
            else host == pattern
            for pattern in self.mx
        )
