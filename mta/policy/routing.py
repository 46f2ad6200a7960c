"""Which sending zone a recipient's copy takes, and by which rule.

The first of these that matches wins:

1. the zone the submitter asked for, where that is allowed;
2. a routing header, where that is allowed: fields are looked at from the bottom
   of the header section to its top;
3. the domain of the reverse path;
4. the recipient's domain;
5. the address of the client, its narrowest network first;
6. the default zone.

Where two zones claim the same, the one named first in zones.yaml has it. Zones
that are disabled claim nothing. All but rule 4 depends on the message alone, so
it is decided once per message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_network

from mta.config.zones import Config, IPAddress, IPNetwork, Zone


class MatchedBy(StrEnum):
    """The rule that chose a zone."""

    REQUEST = "requested zone"
    ROUTING_HEADER = "routing header"
    SENDER_DOMAIN = "sender domain"
    RECIPIENT_DOMAIN = "recipient domain"
    ORIGIN = "origin address"
    DEFAULT = "default zone"


@dataclass(frozen=True, slots=True)
class Route:
    """A zone and why it was chosen."""

    zone: Zone
    matched_by: MatchedBy


@dataclass(frozen=True, slots=True)
class UnknownZone:
    """The submitter asked for a zone that is not there, or is disabled."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingFacts:
    """What routing needs to know of a message.

    Attributes:
        sender_domain: Of the reverse path, a lower-case A-label; "" for the null
            path.
        origin: The client's address, if there was a client.
        requested_zone: As the submitter wrote it.
        header: Fields from top to bottom; those named in
            ``Router.header_names`` are enough.
        may_choose: The submitter may route by request and by header.
    """

    sender_domain: str = ""
    origin: IPAddress | None = None
    requested_zone: str | None = None
    header: Sequence[tuple[str, str]] = ()
    may_choose: bool = False


@dataclass(frozen=True, slots=True)
class MessageRoute:
    """What is decided for a message as a whole.

    Attributes:
        fixed: The route of every recipient, if a rule before theirs matched.
        otherwise: The route of those whose domain no zone claims.
    """

    fixed: Route | None
    by_recipient_domain: Mapping[str, Route]
    otherwise: Route

    def choose_zone(self, recipient_domain: str) -> Route:
        """Pick the zone for one recipient, whose domain is a lower-case A-label."""
        return self.fixed or self.by_recipient_domain.get(
            recipient_domain, self.otherwise
        )


class Router:
    """The routing rules of one configuration, as tables."""

    def __init__(self, config: Config) -> None:
        zones = config.enabled_zones()
        self._by_name = {zone.name.lower(): zone for zone in zones}
        self._default = Route(
            self._by_name[config.queue.default_zone.lower()], MatchedBy.DEFAULT
        )
        self._by_header: dict[tuple[str, str], Route] = {}
        self._by_sender: dict[str, Route] = {}
        self._by_recipient: dict[str, Route] = {}
        self._by_network: dict[IPNetwork, Route] = {}
        for zone in zones:
            self._add(zone)
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
        route = self.for_message(facts)
        if isinstance(route, UnknownZone):
            return route
        return route.choose_zone(recipient_domain)

    def for_message(self, facts: RoutingFacts) -> MessageRoute | UnknownZone:
        """Decide what does not depend on the recipient."""
        fixed: Route | None = None
        if facts.may_choose:
            if facts.requested_zone is not None:
                zone = self._by_name.get(facts.requested_zone.strip().lower())
                if zone is None:
                    return UnknownZone(facts.requested_zone)
                fixed = Route(zone, MatchedBy.REQUEST)
            fixed = fixed or self._find_by_header(facts.header)
        fixed = fixed or self._by_sender.get(facts.sender_domain)
        otherwise = self._find_by_origin(facts.origin) or self._default
        return MessageRoute(fixed, self._by_recipient, otherwise)

    def _add(self, zone: Zone) -> None:
        by_header = Route(zone, MatchedBy.ROUTING_HEADER)
        for name, value in zone.routing_headers.items():
            self._by_header.setdefault((_fold(name), _fold(value)), by_header)
        by_sender = Route(zone, MatchedBy.SENDER_DOMAIN)
        for domain in zone.sender_domains:
            self._by_sender.setdefault(domain, by_sender)
        by_recipient = Route(zone, MatchedBy.RECIPIENT_DOMAIN)
        for domain in zone.recipient_domains:
            self._by_recipient.setdefault(domain, by_recipient)
        by_origin = Route(zone, MatchedBy.ORIGIN)
        for network in zone.origin_addresses:
            self._by_network.setdefault(network, by_origin)

    def _find_by_header(self, header: Sequence[tuple[str, str]]) -> Route | None:
        for name, value in reversed(header):
            route = self._by_header.get((_fold(name), _fold(value)))
            if route is not None:
                return route
        return None

    def _find_by_origin(self, origin: IPAddress | None) -> Route | None:
        if isinstance(origin, IPv6Address):
            origin = origin.ipv4_mapped or origin
        if origin is None:
            return None
        for prefix in self._prefixes[origin.version]:
            network = ip_network((origin.packed, prefix), strict=False)
            route = self._by_network.get(network)
            if route is not None:
                return route
        return None


def _fold(text: str) -> str:
    return text.strip().lower()
