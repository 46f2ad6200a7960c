"""Values to documents and back: alone knows the names of the fields.

``deliveries``: ``_id message zone domain recipient lane state created_at due_at
give_up_at ring_at rung_at rings claims attempts owner claimed_by lease_until
waits_for woken_by has_turn put_off_by dot_at doubts doubted_at log finished_at
expires_at notice rule``. Those from ``owner`` to ``dot_at`` are there only while they
mean something.

``messages``: ``_id envelope header body recipients zones rules count tenant
is_transactional created_at due_at give_up_at expand_at sweep_at sweeps is_idle
swept_at expires_at message_id subject notices adds_to``. ``recipients`` is for
expansion only: no delivery ever reads it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson.binary import Binary

from mta.config.zones import Zone
from mta.delivery import (
    NO_NOTICE,
    Delivery,
    DeliveryState,
    Notice,
    Notify,
    Outcome,
    delivery_id,
    lane_of,
)
from mta.mail.address import domain_of, first_address
from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection
from mta.reply import make_reply
from mta.store.mongo import Document
from mta.store.reasons import reasons_document, to_reasons

log = logging.getLogger(__name__)

TEXT_KEPT = 1_000  # characters of a reply's text
LOG_KEPT = 60  # outcomes kept with a row; the schedule has 17 deferrals by default


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What was learned of a body while it was stored.

    Attributes:
        file_id: Its key in the spool.
        size: Bytes, after line ends became CRLF.
        hash: Base64 SHA-256 of the relaxed canonical body (RFC 6376 §3.4.4).
        md5: Hex digest of the stored bytes.
        is_8bit: Some byte is above 127.
    """

    file_id: str
    size: int
    hash: str
    md5: str
    is_8bit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """An accepted message without its recipients: what its deliveries share.

    Attributes:
        tenant: Whose mail it is: those share capacity by weight.
        is_transactional: It goes before other mail.
        adds_to: Each copy is to name its recipient in a To field.
        due_at: Earliest first attempt.
    """

    id: str
    envelope: Envelope
    header: bytes
    body: Body
    message_id: str
    subject: str
    created_at: datetime
    due_at: datetime
    give_up_at: datetime
    recipient_count: int
    tenant: str = ""
    is_transactional: bool = False
    adds_to: bool = False
    has_content: bool = True

    @property
    def lane(self) -> str:
        """As in ``Delivery``."""
        return lane_of(self.tenant, is_transactional=self.is_transactional)

    @property
    def size(self) -> int:
        """Bytes of header and body together, the empty line between included."""
        return len(self.header) + 2 + self.body.size

    def pool_key(self, zone: Zone) -> str:
        """See ``pool_key_of``."""
        return pool_key_of(zone, self.envelope, self.header)

    @property
    def needs_utf8(self) -> bool:
        """The header holds raw UTF-8 (RFC 6532); addresses are seen to elsewhere."""
        return not self.header.isascii()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One routed recipient of a message; ``rule`` chose its zone."""

    address: str
    domain: str
    zone: str
    notice: Notice = NO_NOTICE
    rule: str = ""


def pool_key_of(zone: Zone, envelope: Envelope, header: bytes) -> str:
    """What a message keeps to one address by, with all mail that has the same.

    The reverse path, else the author, else the client's address; empty if the zone
    does not go by senders, and each delivery keeps to an address of its own.
    """
    if zone.pool_hash != "from":
        return ""
    if envelope.reverse_path:
        return envelope.reverse_path
    section = HeaderSection.parse(header)
    return first_address(section.raw_values("From")) or envelope.origin or ""


ENVELOPE_FIELDS = (
    "reverse_path",
    "interface",
    "protocol",
    "received_at",
    "session_id",
    "origin",
    "origin_host",
    "helo",
    "user",
    "smtputf8",
    "body_8bit",
)
# Those that few messages have; they stand there only then.
RARE_ENVELOPE_FIELDS = (
    *("tls", "ret", "envid", "require_tls", "late_at"),
    "requested_zone",
)


def envelope_document(envelope: Envelope) -> Document:
    document = {name: getattr(envelope, name) for name in ENVELOPE_FIELDS}
    for name in RARE_ENVELOPE_FIELDS:
        if value := getattr(envelope, name):
            document[name] = value
    return document


def to_envelope(document: Document) -> Envelope:
    """The recipients are left out: see ``StoredMessage``."""
    names = ENVELOPE_FIELDS + RARE_ENVELOPE_FIELDS
    known = {name: document[name] for name in names if name in document}
    return Envelope(recipients=(), **known)


def message_document(
    message: StoredMessage, recipients: list[Recipient], *, expand_at: datetime
) -> Document:
    document: Document = {
        "_id": message.id,
        "envelope": envelope_document(message.envelope),
        "header": Binary(message.header),
        "body": {
            "file_id": message.body.file_id,
            "size": message.body.size,
            "hash": message.body.hash,
            "md5": message.body.md5,
            "is_8bit": message.body.is_8bit,
        },
        "recipients": [recipient.address for recipient in recipients],
        "zones": _once([recipient.zone for recipient in recipients]),
        "rules": _once([recipient.rule for recipient in recipients]),
        "count": len(recipients),
        "message_id": message.message_id,
        "subject": message.subject,
        "tenant": message.tenant,
        "is_transactional": message.is_transactional,
        "created_at": message.created_at,
        "due_at": message.due_at,
        "give_up_at": message.give_up_at,
        "expand_at": expand_at,
        "sweeps": 0,
    }
    notices = {
        str(index): _notice_document(recipient.notice)
        for index, recipient in enumerate(recipients)
        if recipient.notice
    }
    if notices:
        document["notices"] = notices
    if message.adds_to:
        document["adds_to"] = True
    return document


def to_message(document: Document) -> StoredMessage:
    return StoredMessage(
        id=document["_id"],
        envelope=to_envelope(document["envelope"]),
        header=bytes(document["header"]),
        body=Body(**document["body"]),
        message_id=document["message_id"],
        subject=document["subject"],
        created_at=document["created_at"],
        due_at=document["due_at"],
        give_up_at=document["give_up_at"],
        recipient_count=document["count"],
        tenant=document["tenant"],
        is_transactional=document["is_transactional"],
        adds_to=document.get("adds_to", False),
        has_content="swept_at" not in document,
    )


def to_recipients(document: Document) -> list[Recipient]:
    """The recipients of a whole ``messages`` document, in order."""
    addresses: list[str] = document["recipients"]
    notices = document.get("notices", {})
    routed = zip(
        addresses,
        _each(document["zones"], len(addresses)),
        _each(document.get("rules", ""), len(addresses)),
        strict=True,
    )
    return [
        Recipient(
            address,
            domain_of(address),
            zone,
            _to_notice(notices.get(str(number))),
            rule,
        )
        for number, (address, zone, rule) in enumerate(routed)
    ]


def _once(texts: list[str]) -> list[str] | str:
    """Nearly always all recipients have one zone in common: then it is said once."""
    return texts if len(set(texts)) > 1 else texts[0]


def _each(said: list[str] | str, count: int) -> list[str]:
    return [said] * count if isinstance(said, str) else said


def delivery_document(
    message: StoredMessage,
    number: int,
    recipient: Recipient,
    *,
    ring_at: datetime,
    rung_at: datetime | None,
) -> Document:
    """The row of the ``number``-th recipient (from 1) of a message, just queued."""
    row: Document = {
        "_id": delivery_id(message.id, number),
        "message": message.id,
        "zone": recipient.zone,
        "domain": recipient.domain,
        "recipient": recipient.address,
        "state": DeliveryState.QUEUED.value,
        "lane": message.lane,
        "created_at": message.created_at,
        "due_at": message.due_at,
        "give_up_at": message.give_up_at,
        "ring_at": ring_at,
        "rung_at": rung_at,
        "rings": 0,
        "claims": 0,
        "attempts": 0,
        "doubts": 0,
        "log": [],
    }
    if recipient.rule:
        row["rule"] = recipient.rule
    if recipient.notice:
        row["notice"] = _notice_document(recipient.notice)
    return row


def _notice_document(notice: Notice) -> Document:
    return {"notify": sorted(notice.notify), "orcpt": notice.orcpt}


def _to_notice(document: Document | None) -> Notice:
    if not document:
        return Notice()
    return Notice(frozenset(map(Notify, document["notify"])), document["orcpt"])


def to_delivery(document: Document) -> Delivery:
    return Delivery(
        id=document["_id"],
        message_id=document["message"],
        zone=document["zone"],
        recipient=document["recipient"],
        domain=document["domain"],
        state=DeliveryState(document["state"]),
        created_at=document["created_at"],
        due_at=document["due_at"],
        give_up_at=document["give_up_at"],
        lane=document["lane"],
        claims=document["claims"],
        attempts=document["attempts"],
        owner=document.get("owner", ""),
        lease_until=document.get("lease_until"),
        rung_at=document.get("rung_at"),
        waits_for=document.get("waits_for", ""),
        woken_by=document.get("woken_by", ""),
        has_turn=document.get("has_turn", False),
        put_off_by=document.get("put_off_by", ""),
        rule=document.get("rule", ""),
        doubts=document["doubts"],
        log=tuple(to_outcome(entry) for entry in document["log"]),
        notice=_to_notice(document.get("notice")),
    )


def to_deliveries(documents: Iterable[Document]) -> list[Delivery]:
    """Those that can be read: one that cannot must not stop the others."""
    rows = []
    for document in documents:
        try:
            rows.append(to_delivery(document))
        except (KeyError, TypeError, ValueError):
            log.exception("row cannot be read id=%s", document.get("_id"))
    return rows


def outcome_document(outcome: Outcome) -> Document:
    """Empty facts are left out: a row may keep ``LOG_KEPT`` of these."""
    document: dict[str, Any] = {"at": outcome.at, "state": outcome.state.value}
    document["code"] = outcome.code
    if outcome.status:
        document["status"] = outcome.status
    document["text"] = outcome.text[:TEXT_KEPT]
    for name in OUTCOME_FACTS:
        if value := getattr(outcome, name):
            document[name] = value
    if why := reasons_document(outcome.reasons):
        document["why"] = why
    return document


OUTCOME_FACTS = (
    "category",
    "host",
    "address",
    "source",
    "duration_ms",
    "attempt",
    "due_at",
    "tls",
    "is_doubtful",
)


def to_outcome(document: Document) -> Outcome:
    facts = {name: document[name] for name in OUTCOME_FACTS if name in document}
    status = document.get("status")
    reply = make_reply(document["code"], status, document["text"])
    state = DeliveryState(document["state"])
    return Outcome(
        at=document["at"],
        state=state,
        reply=reply,
        reasons=to_reasons(document.get("why")),
        **facts,
    )
