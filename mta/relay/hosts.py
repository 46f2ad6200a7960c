"""From a recipient's domain to the addresses to try, best first.

The only place that turns names into addresses to dial, and so the only one that
has to refuse those that DNS must not send us to. Names are looked up as they are
needed: while the first host answers, nobody asks about the tenth.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple, Protocol

from mta.config.live import Live
from mta.config.zones import DnsConfig, DomainLimits, HostPort, IPAddress, Zone
from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.policy.targets import (
    MAX_ADDRESSES,
    MX,
    is_refused_address,
    order_targets,
    parse_literal,
)
from mta.reply import make_reply


@dataclass(frozen=True, slots=True)
class Target:
    """One place to try.

    Attributes:
        host: Its name; the address in text if it has none.
    """

    host: str
    address: IPAddress
    port: int


class Names(Protocol):
    """The part of the resolver that is needed here."""

    def find_mx(self, domain: str) -> tuple[MX, ...]: ...

    def find_addresses(
        self, host: str, *, ignore_ipv6: bool = False, prefer_ipv6: bool = False
    ) -> tuple[IPAddress, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFinder:
    """Finds where to deliver.

    Attributes:
        own_names: Names under which others reach us, for loops.
        own_addresses: Our addresses as seen from outside, likewise.
        sandbox: If given, everything goes there and nowhere else.
        limits_of: What is said of a domain.
    """

    names: Names
    dns: DnsConfig
    shuffle: Callable[[Sequence[MX]], Sequence[MX]]
    own_names: frozenset[str] = frozenset()
    own_addresses: frozenset[IPAddress] = frozenset()
    sandbox: HostPort | None = None
    limits_of: Callable[[str], DomainLimits] = lambda _: DomainLimits()

    def destination(self, zone: Zone, domain: str) -> str:
        """Name what deliveries must have in common to share a session."""
        if self.sandbox is not None:
            return f"{self.sandbox.host}:{self.sandbox.port}"
        hop = zone.next_hop
        return str(hop) if hop else f"{domain}:{zone.port}"

    def find_hosts(self, zone: Zone, domain: str) -> tuple[str, ...]:
        """List the hosts that DNS names for the domain's mail, in no order.

        None where DNS is not asked: for an address literal, where a relay host or
        the sandbox gets everything. Cached with the records.

        Args:
            domain: As in ``find_targets``.

        Raises:
            AttemptFailed: they could not be found out.
        """
        is_named = self.sandbox is not None or zone.next_hop is not None
        if is_named or domain.startswith("["):
            return ()
        records = self.names.find_mx(domain)
        return tuple({record.host: None for record in records}) or (domain,)

    def find_targets(self, zone: Zone, domain: str) -> Iterator[Target]:
        """Yield the places to try, at least one, best first.

        Args:
            domain: The recipient's: a lower-case A-label or an address literal.

        Raises:
            PermanentFailure: there is nowhere to go.
            TransientFailure: that could not be found out.
        """
        return islice(self._find_targets(zone, domain), MAX_ADDRESSES)

    def find_web_addresses(self, host: str) -> tuple[IPAddress, ...]:
        """Where a web server is that a domain has named; refused ones are left out.

        Raises:
            AttemptFailed: It is nowhere, or nobody could tell.
        """
        found = self.names.find_addresses(
            host, ignore_ipv6=self.dns.ignore_ipv6, prefer_ipv6=self.dns.prefer_ipv6
        )
        kept = tuple(
            address
            for address in found
            if not is_refused_address(
                address,
                block_local=self.dns.block_local_addresses,
                allowed=self.dns.allow_addresses,
                own_addresses=self.own_addresses,
            )
        )
        if not kept:
            text = f"DNS Error: {host} is at an address where nothing is asked"
            raise PermanentFailure(make_reply(550, "5.4.4", text), category="dns")
        return kept

    def _find_targets(self, zone: Zone, domain: str) -> Iterator[Target]:
        if self.sandbox is not None:
            ways = self._ways(zone, domain)
            host, port = self.sandbox.host, self.sandbox.port
            yield from self._resolve_trusted(ways, host, port)
        elif zone.http is not None:
            yield from self._resolve_web(zone, domain, zone.http.endpoint)
        elif zone.host is not None:
            ways = self._ways(zone, domain)
            yield from self._resolve_trusted(ways, zone.host, zone.port)
        else:
            yield from self._resolve_all(zone, domain)

    def _resolve_trusted(self, ways: "_Ways", host: str, port: int) -> Iterator[Target]:
        """A host that the operator named may be anywhere, also within the site."""
        address = _parse_address(host)
        found = (address,) if address else self._find_addresses(ways, host)
        for address in found:
            yield Target(host, address, port)

    def _resolve_web(
        self, zone: Zone, domain: str, endpoint: HostPort
    ) -> Iterator[Target]:
        """A web server is not to be one of our own, unless that is said."""
        ways, host = self._ways(zone, domain), endpoint.host
        address = _parse_address(host)
        found = (address,) if address else self._find_addresses(ways, host)
        for kept in self._without_refused(zone, ways, host, found):
            yield Target(host, kept, endpoint.port)

    def _resolve_all(self, zone: Zone, domain: str) -> Iterator[Target]:
        failures: list[AttemptFailed] = []
        has_found = False
        ways = self._ways(zone, domain)
        for host, find in self._hosts(ways, domain):
            try:
                found = self._without_refused(zone, ways, host, find())
            except AttemptFailed as failure:
                failures.append(failure)
                continue
            for address in found:
                has_found = True
                yield Target(host, address, zone.port)
        if not has_found:
            # One that may yet be found outweighs those that cannot.
            later = (f for f in failures if isinstance(f, TransientFailure))
            raise next(later, failures[0])

    def _hosts(
        self, ways: "_Ways", domain: str
    ) -> Iterator[tuple[str, Callable[[], Sequence[IPAddress]]]]:
        try:
            literal = parse_literal(domain)
        except ValueError as error:
            reply = make_reply(550, "5.1.2", f"DNS Error: {error}")
            raise PermanentFailure(reply, category="dns") from error
        if literal is not None:
            yield str(literal), lambda: (literal,)
            return
        hosts = order_targets(
            domain,
            self.names.find_mx(domain),
            own_names=self.own_names,
            shuffle=self.shuffle,
        )
        for host in hosts:
            yield host, partial(self._find_addresses, ways, host)

    def _ways(self, zone: Zone, domain: str) -> "_Ways":
        """By which families a domain's mail goes: its own word, the zone's, DNS'."""
        own, dns = self.limits_of(domain), self.dns
        return _Ways(
            _first(own.ignore_ipv6, zone.ignore_ipv6, dns.ignore_ipv6),
            _first(own.prefer_ipv6, zone.prefer_ipv6, dns.prefer_ipv6),
        )

    def _find_addresses(self, ways: "_Ways", host: str) -> Sequence[IPAddress]:
        return self.names.find_addresses(
            host, ignore_ipv6=ways.ignore_ipv6, prefer_ipv6=ways.prefer_ipv6
        )

    def _without_refused(
        self, zone: Zone, ways: "_Ways", host: str, addresses: Sequence[IPAddress]
    ) -> list[IPAddress]:
        """Drop what DNS may not send us to; asked anew after each resolution."""
        block_local = _first(zone.block_local_addresses, self.dns.block_local_addresses)
        kept = [
            address
            for address in addresses
            if not (ways.ignore_ipv6 and address.version == 6)  # a literal
            and not is_refused_address(
                address,
                block_local=block_local,
                allowed=self.dns.allow_addresses,
                own_addresses=self.own_addresses,
            )
        ]
        if not kept:
            text = f"DNS Error: {host} is at an address where no mail is sent"
            raise PermanentFailure(
                make_reply(550, "5.4.4", text),
                category="dns",
                host=host,
                address=str(addresses[0]),
            )
        return kept


@dataclass(frozen=True, slots=True)
class LiveTargets:
    """Finds targets by the configuration in force; a search goes on with its own."""

    finder: Live[TargetFinder]

    @property
    def sandbox(self) -> HostPort | None:
        return self.finder.current.sandbox

    def destination(self, zone: Zone, domain: str) -> str:
        return self.finder.current.destination(zone, domain)

    def find_hosts(self, zone: Zone, domain: str) -> tuple[str, ...]:
        return self.finder.current.find_hosts(zone, domain)

    def find_web_addresses(self, host: str) -> tuple[IPAddress, ...]:
        return self.finder.current.find_web_addresses(host)

    def find_targets(self, zone: Zone, domain: str) -> Iterator[Target]:
        return self.finder.current.find_targets(zone, domain)


class _Ways(NamedTuple):
    """Which families of addresses are asked for, and which one first."""

    ignore_ipv6: bool
    prefer_ipv6: bool


def _first(*said: bool | None) -> bool:
    """What the first one says who says something."""
    return next((word for word in said if word is not None), False)


def _parse_address(host: str) -> IPAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
