"""A message that does not exist, made by the functions that make one of real mail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mta.config.zones import Config
from mta.errors import Rejected
from mta.intake.route import API_INTERFACE
from mta.intake.terms import settle_terms
from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection, format_field
from mta.mail.submit import HeaderRules, prepare_header
from mta.operate.explain import Letter
from mta.reply import make_reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """What somebody supposes of a message.

    Attributes:
        recipients: Valid addresses, normalized.
        fields: Of its header section; From is the reverse path if it is not there.
        interface: Where it would come in.
        zone, tenant: As the HTTP API lets submitters say.
    """

    reverse_path: str
    recipients: tuple[str, ...]
    fields: Sequence[tuple[str, str]] = ()
    interface: str = API_INTERFACE
    origin: str | None = None
    user: str | None = None
    zone: str | None = None
    tenant: str = ""


def to_letter(
    supposed: Supposed, config: Config, *, now: datetime, hostname: str
) -> Letter:
    """Make the message as it would be stored.

    Raises:
        Rejected: It would not be taken; the reply says why.
    """
    envelope = Envelope(
        reverse_path=supposed.reverse_path,
        recipients=supposed.recipients,
        interface=supposed.interface,
        protocol="HTTP" if supposed.interface == API_INTERFACE else "ESMTP",
        received_at=now,
        session_id="",
        origin=supposed.origin,
        user=supposed.user,
        requested_zone=supposed.zone,
        tenant=supposed.tenant,
    )
    prepared = prepare_header(
        _section(supposed),
        envelope=envelope,
        now=now,
        hostname=hostname,
        rules=HeaderRules(
            add_missing=config.queue.add_missing,
            x_originating_ip=config.queue.x_originating_ip,
        ),
    )
    terms = settle_terms(config, envelope, prepared, created_at=now)
    return Letter(
        envelope=envelope.asking_for(prepared.requested_zone),
        header=prepared.header,
        tenant=terms.tenant,
    )


def _section(supposed: Supposed) -> HeaderSection:
    fields = list(supposed.fields)
    if supposed.reverse_path and "from" not in (name.lower() for name, _ in fields):
        fields.insert(0, ("From", supposed.reverse_path))
    try:
        raw = b"".join(format_field(name, value) for name, value in fields)
    except ValueError as error:
        reply = make_reply(554, "5.6.0", str(error))
        raise Rejected(reply, pointer="/headers") from None
    return HeaderSection.parse(raw)
