"""Which sending zone a recipient's copy takes, by which rule, and which rules lost.

The first of these that matches wins:

1. the zone the submitter asked for, where that is allowed;
2. a routing header, where that is allowed: fields are looked at from the bottom
   of the header section to its top;
3. the domain of the reverse path;
4. the domain of the author: of the first address in From;
5. the recipient's domain;
6. the address of the client, its narrowest network first;
7. the default zone.

A pattern ``*.example.com`` matches every name below example.com, and not that name
itself. A whole name goes before any pattern, a longer pattern before a shorter one.

Where two zones claim the same, the one named first in zones.yaml has it. Zones
that are disabled claim nothing. All but rule 5 depends on the message alone, so
it is decided once per message.

Every rule yields its matches in order, and only as far as somebody asks: a
decision takes the first one, an explanation takes them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_network
from itertools import chain

from mta.config.zones import Config, IPAddress, IPNetwork, Zone


class MatchedBy(StrEnum):
    """The rule that chose a zone."""

    REQUEST = "requested zone"
    ROUTING_HEADER = "routing header"
    SENDER_DOMAIN = "sender domain"
    FROM_DOMAIN = "from domain"
    RECIPIENT_DOMAIN = "recipient domain"
    ORIGIN = "origin address"
    DEFAULT = "default zone"


@dataclass(frozen=True, slots=True)
class Route:
    """A zone and why it was chosen.

    Attributes:
        pattern: What matched, as the zone has it; empty for the default zone.
        place: Where the file says so, as ``zones.yaml:31``; empty if it does not.
    """

    zone: Zone
    matched_by: MatchedBy
    pattern: str = ""
    place: str = ""

    @property
    def rule(self) -> str:
        """What chose the zone, in words."""
        return f"{self.matched_by} {self.pattern}".rstrip()

    def __str__(self) -> str:
        return f"{self.rule} -> {self.zone.name}{self.place and f', {self.place}'}"


@dataclass(frozen=True, slots=True)
class UnknownZone:
    """The submitter asked for a zone that is not there, or is disabled."""

    name: str

    def __str__(self) -> str:
        return f"{MatchedBy.REQUEST} {self.name} -> there is no such zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingFacts:
    """What routing needs to know of a message.

    Attributes:
        sender_domain: Of the reverse path, a lower-case A-label; "" for the null
            path.
        from_domain: Of the first address in From, likewise; "" if there is none.
        origin: The client's address, if there was a client.
        requested_zone: As the submitter wrote it.
        header: Fields from top to bottom; those named in
            ``Router.header_names`` are enough.
        may_choose: The submitter may route by request and by header.
    """

    sender_domain: str = ""
    from_domain: str = ""
    origin: IPAddress | None = None
    requested_zone: str | None = None
    header: Sequence[tuple[str, str]] = ()
    may_choose: bool = False


class DomainRules:
    """Domains and patterns, each with its route."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._has_patterns = False

    def add(self, pattern: str, route: Route) -> None:
        """Take in a domain or pattern, unless it is there already."""
        self._routes.setdefault(pattern, route)
        self._has_patterns = self._has_patterns or pattern.startswith("*.")

    def find(self, domain: str) -> Iterator[Route]:
        """Yield what matches a lower-case A-label: itself, then the longest pattern."""
        if domain in self._routes:
            yield self._routes[domain]
        while self._has_patterns and domain:
            domain = domain.partition(".")[2]
            if route := self._routes.get(f"*.{domain}"):
                yield route


@dataclass(frozen=True, slots=True)
class MessageRoute:
    """What is decided for a message as a whole.

    Attributes:
        fixed: The route of every recipient, if a rule before theirs matched.
        otherwise: The route of those whose domain no zone claims.
    """

    fixed: Route | None
    recipient_domains: DomainRules
    otherwise: Route

    def choose_zone(self, recipient_domain: str) -> Route:
        """Pick the zone for one recipient, whose domain is a lower-case A-label."""
        if self.fixed is not None:
            return self.fixed
        return next(self.recipient_domains.find(recipient_domain), self.otherwise)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a recipient's copy takes its zone.

    Attributes:
        result: What ``Router.choose_zone`` says.
        lost: What would have won without it, the next best first.
        ignored: What the submitter asked for and may not choose.
    """

    result: Route | UnknownZone
    lost: tuple[Route | UnknownZone, ...]
    ignored: tuple[Route | UnknownZone, ...]


class Router:
    """The routing rules of one configuration, as tables."""

    def __init__(self, config: Config) -> None:
        zones = config.enabled_zones()
        self._by_name = {zone.name.lower(): zone for zone in zones}
        default = self._by_name[config.queue.default_zone.lower()]
        self._default = Route(default, MatchedBy.DEFAULT)
        self._by_header: dict[tuple[str, str], Route] = {}
        self._by_sender = DomainRules()
        self._by_author = DomainRules()
        self._by_recipient = DomainRules()
        self._by_network: dict[IPNetwork, Route] = {}
        for zone in zones:
            self._add(config, zone)
        self.header_names = frozenset(name for name, _ in self._by_header)
        # Narrowest first, by IP version.
        self._prefixes = {
            version: sorted(
                {n.prefixlen for n in self._by_network if n.version == version},
                reverse=True,
            )
            for version in (4, 6)
        }

    def choose_zone(
        self, facts: RoutingFacts, recipient_domain: str
    ) -> Route | UnknownZone:
        """Pick the zone for one recipient of a message."""
        return next(self._matches(facts, recipient_domain))

    def for_message(self, facts: RoutingFacts) -> MessageRoute | UnknownZone:
        """Decide what does not depend on the recipient."""
        fixed = next(self._before(facts), None)
        if isinstance(fixed, UnknownZone):
            return fixed
        return MessageRoute(fixed, self._by_recipient, next(self._after(facts)))

    def explain(self, facts: RoutingFacts, recipient_domain: str) -> Explanation:
        """Say which zone one recipient's copy takes, and all that spoke for others."""
        result, *lost = self._matches(facts, recipient_domain)
        ignored = () if facts.may_choose else tuple(self._chosen(facts))
        return Explanation(result, tuple(lost), ignored)

    def _matches(
        self, facts: RoutingFacts, recipient_domain: str
    ) -> Iterator[Route | UnknownZone]:
        return chain(
            self._before(facts),
            self._by_recipient.find(recipient_domain),
            self._after(facts),
        )

    def _before(self, facts: RoutingFacts) -> Iterator[Route | UnknownZone]:
        """The rules that go before the recipient's."""
        if facts.may_choose:
            yield from self._chosen(facts)
        yield from self._by_sender.find(facts.sender_domain)
        yield from self._by_author.find(facts.from_domain)

    def _after(self, facts: RoutingFacts) -> Iterator[Route]:
        """The rules for what no other one is about; the last one always matches."""
        yield from self._find_by_origin(facts.origin)
        yield self._default

    def _chosen(self, facts: RoutingFacts) -> Iterator[Route | UnknownZone]:
        """What the submitter asks for."""
        if facts.requested_zone is not None:
            name = _fold(facts.requested_zone)
            zone = self._by_name.get(name)
            yield (
                Route(zone, MatchedBy.REQUEST, name)
                if zone
                else UnknownZone(facts.requested_zone)
            )
        for name, value in reversed(facts.header):
            if route := self._by_header.get((_fold(name), _fold(value))):
                yield route

    def _find_by_origin(self, origin: IPAddress | None) -> Iterator[Route]:
        if isinstance(origin, IPv6Address):
            origin = origin.ipv4_mapped or origin
        if origin is None:
            return
        for prefix in self._prefixes[origin.version]:
            network = ip_network((origin.packed, prefix), strict=False)
            if route := self._by_network.get(network):
                yield route

    def _add(self, config: Config, zone: Zone) -> None:
        def route(by: MatchedBy, key: str, said: str, pattern: str = "") -> Route:
            place = config.place_of("zones", zone.name, key, said)
            return Route(zone, by, pattern or said, place)

        for name, value in zone.routing_headers.items():
            by_header = route(
                MatchedBy.ROUTING_HEADER, "routing_headers", name, f"{name}: {value}"
            )
            self._by_header.setdefault((_fold(name), _fold(value)), by_header)
        for domain in zone.sender_domains:
            by_sender = route(MatchedBy.SENDER_DOMAIN, "sender_domains", domain)
            self._by_sender.add(domain, by_sender)
        for domain in zone.from_domains:
            by_author = route(MatchedBy.FROM_DOMAIN, "from_domains", domain)
            self._by_author.add(domain, by_author)
        for domain in zone.recipient_domains:
            by_domain = route(MatchedBy.RECIPIENT_DOMAIN, "recipient_domains", domain)
            self._by_recipient.add(domain, by_domain)
        for network in zone.origin_addresses:
            by_origin = route(MatchedBy.ORIGIN, "origin_addresses", str(network))
            self._by_network.setdefault(network, by_origin)


def _fold(text: str) -> str:
    return text.strip().lower()
