"""From recipients to routed recipients: asks the policy, refuses what it refuses."""

import ipaddress
from dataclasses import dataclass

from mta.config.zones import Config, IPAddress
from mta.delivery import NO_NOTICE
from mta.errors import Rejected
from mta.mail.address import domain_of, first_address
from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection
from mta.mail.submit import Prepared
from mta.policy.routing import Router, RoutingFacts, UnknownZone
from mta.reply import make_reply
from mta.store.documents import Recipient

# The HTTP API's own submissions are always allowed to choose.
API_INTERFACE = "api"

_NO_RECIPIENTS = make_reply(554, "5.5.1", "No valid recipients")
_NO_ZONE = make_reply(554, "5.3.5", "There is no such sending zone")


@dataclass(frozen=True, slots=True)
class Routing:
    """Chooses the zone of every recipient of a message."""

    config: Config
    router: Router

    def route(
        self, recipients: tuple[str, ...], *, envelope: Envelope, prepared: Prepared
    ) -> list[Recipient]:
        """Route ``recipients``, normalized addresses, in their order.

        Raises:
            Rejected: There are none, or the zone asked for does not exist.
        """
        if not recipients:
            raise Rejected(_NO_RECIPIENTS)
        found = self.router.for_message(self.facts(envelope, prepared.section))
        if isinstance(found, UnknownZone):
            raise Rejected(
                _NO_ZONE, detail=found.name[:80], pointer="/headers/X-Sending-Zone"
            )
        routed = []
        for address in recipients:
            domain = domain_of(address)
            route = found.choose_zone(domain)
            notice = envelope.notices.get(address, NO_NOTICE)
            routed.append(
                Recipient(address, domain, route.zone.name, notice, route.rule)
            )
        return routed

    def facts(self, envelope: Envelope, section: HeaderSection) -> RoutingFacts:
        """What routing goes by; of a message that is stored or is about to be."""
        author = first_address(section.raw_values("From"))
        return RoutingFacts(
            sender_domain=domain_of(envelope.reverse_path),
            from_domain=domain_of(author),
            origin=_address(envelope.origin),
            requested_zone=envelope.requested_zone,
            header=tuple(section.select(self.router.header_names)),
            may_choose=may_choose(self.config, envelope.interface),
        )


def may_choose(config: Config, interface: str) -> bool:
    """Whether what comes in there may say how it is to be treated."""
    if interface == API_INTERFACE:
        return True
    configured = config.interfaces.get(interface)
    return configured is not None and configured.allow_routing_headers


def _address(text: str | None) -> IPAddress | None:
    return ipaddress.ip_address(text) if text else None
