"""What the relay is asked for by an attempt: the message as it leaves, and its terms.

The content is our Received field, then the signatures, then the message as it was
accepted. Its end is the last moment at which not sending is possible: the row is
marked there, and that is also the last look at the lease.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mta.config.zones import Config, Zone
from mta.delivery import Delivery, Wishes
from mta.mail.envelope import Envelope
from mta.mail.srs import rewrite
from mta.mail.trace import format_received
from mta.observe import metrics
from mta.relay.request import Hop, RelayRequest
from mta.store.deliveries import Deliveries
from mta.store.documents import StoredMessage
from mta.worker.leases import Leases
from mta.worker.library import Library
from mta.worker.sealer import Seal, Sealer

SOFTWARE = "celery-mta"


class LeaseLost(Exception):
    """Another worker may own the delivery now; nothing more may be sent."""


class Dot:
    """Whether the final dot of one attempt was announced."""

    is_marked = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Makes requests for the deliveries of one process."""

    library: Library
    deliveries: Deliveries
    leases: Leases
    sealer: Sealer

    def make(
        self, claimed: Delivery, config: Config, zone: Zone, dot: Dot
    ) -> RelayRequest:
        """Ask for one delivery.

        Raises:
            MessageGone: There is nothing to send.
            ContentMissing: It cannot be read.
            KeyUnusable: It cannot be signed, and may not be sent unsigned.
            StoreUnavailable: MongoDB is away.
        """
        message = self.library.message(claimed.message_id)
        header = header_for(message, claimed.recipient)
        seal = self.sealer.prepare(message, header)

        def content(hop: Hop) -> Iterator[bytes]:
            yield from self._content(claimed, message, seal, hop)
            # The last moment at which not sending is still possible.
            if self.leases.is_lost(claimed) or not self.deliveries.mark_dot(claimed):
                raise LeaseLost
            dot.is_marked = True
            if claimed.doubts:
                metrics.REPEATED_AFTER_DOUBT.labels(claimed.zone).inc()

        return RelayRequest(
            config=config,
            zone=zone,
            reverse_path=self._reverse_path(config, message.envelope),
            recipient=claimed.recipient,
            domain=claimed.domain,
            delivery_id=claimed.id,
            sender=message.pool_key(zone),
            size=message.size,
            needs_8bit=message.body.is_8bit,
            needs_utf8=message.needs_utf8,
            wishes=Wishes(
                ret=message.envelope.ret,
                envid=message.envelope.envid,
                notice=claimed.notice,
                require_tls=message.envelope.require_tls,
            ),
            # Transactional mail does not stand in line: the rate itself holds.
            has_turn=claimed.has_turn or claimed.is_transactional,
            tenant=claimed.tenant,
            open_content=content,
        )

    def _reverse_path(self, config: Config, envelope: Envelope) -> str:
        """Who is to hear of failures: as the sender said, or by way of us."""
        srs = config.srs
        is_ours = not srs.interfaces or envelope.interface in srs.interfaces
        if srs.secret is None or srs.domain is None or not is_ours:
            return envelope.reverse_path
        return rewrite(
            envelope.reverse_path,
            secret=srs.secret,
            domain=srs.domain,
            today=envelope.received_at.date(),
            keep=srs.exclude_domains,
        )

    def _content(
        self, claimed: Delivery, message: StoredMessage, seal: Seal, hop: Hop
    ) -> Iterator[bytes]:
        yield format_received(
            message.envelope,
            by=hop.ehlo_name,
            name=SOFTWARE,
            delivery_id=claimed.id,
            recipient=claimed.recipient,
        )
        yield seal.fields(hop.ehlo_name)
        yield seal.header
        yield b"\r\n"
        yield from self.library.body(message)


def header_for(message: StoredMessage, recipient: str) -> bytes:
    """The header section of one recipient's copy."""
    if not message.adds_to:
        return message.header
    return message.header + f"To: <{recipient}>\r\n".encode()
