"""What submission does to a header section before the message is stored.

It completes what RFC 6409 §8 lets a submission server complete (Date, Message-ID),
says where the message came from, takes out what is not for the recipients (Bcc,
X-Sending-Zone, X-Tenant, X-Delivery-Priority), and refuses what looks like a loop (RFC
5321 §6.3). All other fields stay as they came.
"""

import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from ipaddress import ip_address

from mta.errors import Rejected
from mta.mail.address import (
    domain_of,
    is_valid_address,
    is_valid_domain,
    iter_mailboxes,
)
from mta.mail.envelope import Envelope
from mta.mail.header import MAX_LINE_CHARS, HeaderSection
from mta.reply import make_reply

MAX_RECEIVED = 100  # RFC 5321 §6.3 wants at least 100
MAX_FIELDS = 10_000
MAX_RECIPIENTS = 10_000
MAX_SUBJECT_CHARS = 128  # of what we keep for display

ZONE_FIELD = "X-Sending-Zone"
TENANT_FIELD = "X-Tenant"
PRIORITY_FIELD = "X-Delivery-Priority"
ORIGIN_FIELD = "X-Originating-IP"

_MIME_FIELDS = ("Content-Type", "Content-Transfer-Encoding", "Content-Disposition")

_MAX_DATE_CHARS = 200  # parsedate() is for dates, not for novels
_EARLIEST = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)  # as ZoneMTA has it


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRules:
    """What is added to header sections; as in ``QueueConfig``."""

    add_missing: Collection[str] = ("message-id", "date")
    x_originating_ip: bool = True


DEFAULT_RULES = HeaderRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A header section ready to be stored, and what was read in it.

    Attributes:
        header: The section's bytes, without the empty line.
        section: The same, for lookups by routing rules.
        message_id: Value of Message-ID, with its angle brackets.
        subject: Decoded and cut to what a list can show.
        date: Value of Date, aware.
        requested_zone: What X-Sending-Zone asked for, in lower case; whether the
            interface may ask is for the caller to say.
        adds_to: Each recipient is to be named in a To of its own copy.
        requested_tenant, requested_priority: What X-Tenant and X-Delivery-Priority
            said, likewise, and as they said it.
    """

    header: bytes
    section: HeaderSection
    message_id: str
    subject: str
    date: datetime
    requested_zone: str | None
    requested_tenant: str | None = None
    requested_priority: str | None = None
    adds_to: bool = False


def prepare_header(
    section: HeaderSection,
    *,
    envelope: Envelope,
    now: datetime,
    hostname: str,
    rules: HeaderRules = DEFAULT_RULES,
    message_id_factory: Callable[[str], str] | None = None,
) -> Prepared:
    """Complete and clean a header section, in place.

    Args:
        section: The message's; changed here.
        envelope: Its reverse path names the domain of a new Message-ID.
        now: For a Date that is missing or no date.
        hostname: The domain of a new Message-ID, if the reverse path has none.
        rules: What is added.
        message_id_factory: Makes one from a domain; `new_message_id` if None.

    Raises:
        Rejected: Too many fields, or so many Received that it must be a loop.
    """
    _refuse_excess(section)
    adds_to = "to" in rules.add_missing and not any(
        section.count(name) for name in ("To", "Cc", "Bcc")
    )
    zone, tenant, priority = (
        section.get(name) for name in (ZONE_FIELD, TENANT_FIELD, PRIORITY_FIELD)
    )
    for name in (ZONE_FIELD, TENANT_FIELD, PRIORITY_FIELD, "Bcc"):
        section.remove(name)
    if rules.x_originating_ip:
        _name_origin(section, envelope.origin)
    if "mime-version" in rules.add_missing:
        _add_mime_version(section)
    date = _keep_or_add_date(section, now, is_added="date" in rules.add_missing)
    make_message_id = message_id_factory or new_message_id
    message_id = _keep_or_add_message_id(
        section,
        lambda: make_message_id(_id_domain(envelope.reverse_path, hostname)),
        is_added="message-id" in rules.add_missing,
    )
    return Prepared(
        header=bytes(section),
        section=section,
        message_id=message_id,
        subject=(section.get("Subject") or "")[:MAX_SUBJECT_CHARS],
        date=date,
        requested_zone=zone.lower() if zone else None,
        requested_tenant=tenant,
        requested_priority=priority,
        adds_to=adds_to,
    )


def extract_envelope(
    section: HeaderSection, *, max_recipients: int = MAX_RECIPIENTS
) -> tuple[str, tuple[str, ...]]:
    """Read reverse path and recipients from a header section.

    The reverse path is the first address of From, else of Sender. The recipients
    are those of To, Cc and Bcc, in this order, each once.

    Raises:
        Rejected: None of them found, too many, or one that is no address.
    """
    return _reverse_path(section), _recipients(section, max_recipients)


def new_message_id(domain: str) -> str:
    """Make a Message-ID that is like no other (RFC 5322 §3.6.4)."""
    return f"<{secrets.token_hex(16)}@{domain}>"


def parse_date(text: str) -> datetime | None:
    """Read a date in the format of header fields; None if it is none."""
    if len(text) > _MAX_DATE_CHARS:
        return None
    try:
        date = parsedate_to_datetime(text)
        # "-0000" means UTC without a word about the place (RFC 5322 §3.3).
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _refuse_excess(section: HeaderSection) -> None:
    if len(section) > MAX_FIELDS:
        raise Rejected(make_reply(554, "5.6.0", "Too many header fields"))
    if section.count("Received") > MAX_RECEIVED:
        raise Rejected(
            make_reply(554, "5.4.6", "Too many hops, this looks like a loop")
        )


def _name_origin(section: HeaderSection, origin: str | None) -> None:
    """Say where it came from; what a client says of that itself is not believed."""
    if origin is None or ip_address(origin).is_loopback:
        return
    section.remove(ORIGIN_FIELD)
    section.add(ORIGIN_FIELD, f"[{origin}]")


def _add_mime_version(section: HeaderSection) -> None:
    is_mime = any(section.count(name) for name in _MIME_FIELDS)
    if is_mime and not section.count("MIME-Version"):
        section.append("MIME-Version", "1.0")


def _keep_or_add_date(
    section: HeaderSection, now: datetime, *, is_added: bool
) -> datetime:
    date = parse_date(section.get("Date") or "")
    if date is not None and date >= _EARLIEST:
        return date
    now = now.astimezone(UTC)
    if is_added:
        section.remove("Date")
        section.add("Date", format_datetime(now))
    return now


def _keep_or_add_message_id(
    section: HeaderSection, make: Callable[[], str], *, is_added: bool
) -> str:
    message_id = section.get("Message-ID")
    if message_id:
        return message_id[:MAX_LINE_CHARS]
    message_id = make()
    if is_added:
        section.remove("Message-ID")
        section.add("Message-ID", message_id)
    return message_id


def _id_domain(reverse_path: str, hostname: str) -> str:
    domain = domain_of(reverse_path)
    return domain if is_valid_domain(domain) else hostname


def _reverse_path(section: HeaderSection) -> str:
    for name in ("From", "Sender"):
        for mailbox in _mailboxes(section, [name]):
            if not is_valid_address(mailbox):
                raise Rejected(
                    make_reply(553, "5.1.7", f"The address in {name} is not valid"),
                    detail=mailbox[:320],
                )
            return mailbox
    raise Rejected(make_reply(554, "5.6.0", "The message has neither From nor Sender"))


def _recipients(section: HeaderSection, max_recipients: int) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for recipient in _mailboxes(section, ["To", "Cc", "Bcc"]):
        if not is_valid_address(recipient):
            raise Rejected(
                make_reply(553, "5.1.3", "A recipient's address is not valid"),
                detail=recipient[:320],
            )
        found[recipient] = None
        if len(found) > max_recipients:
            raise Rejected(make_reply(552, "5.5.3", "Too many recipients"))
    if not found:
        raise Rejected(make_reply(554, "5.5.1", "No recipients in To, Cc and Bcc"))
    return tuple(found)


def _mailboxes(section: HeaderSection, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        for value in section.raw_values(name):
            for mailbox in iter_mailboxes(value):
                yield mailbox.address
