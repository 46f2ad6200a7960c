"""The top header section of a composed message, written by ourselves.

Ten thousand addresses in one field are normal here, and the values come from
strangers: each field is built from checked parts, and folded where we choose.

RFC 5322 §3.6, RFC 2047 §5.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from mta.mail.address import Mailbox
from mta.mail.compose_addresses import People
from mta.mail.compose_input import Node
from mta.mail.header import FOLD_CHARS, format_field, is_field_name
from mta.mail.submit import parse_date
from mta.mail.words import encode_words, is_printable_ascii

MAX_CUSTOM_FIELDS = 1000
MAX_REFERENCES = 1000

# Custom headers that mean a field of the mail; the mail's own field wins.
_PROMOTED = {
    "from": "from",
    "sender": "sender",
    "reply-to": "replyTo",
    "to": "to",
    "cc": "cc",
    "subject": "subject",
    "message-id": "messageId",
    "date": "date",
    "in-reply-to": "inReplyTo",
    "references": "references",
}
# Fields that servers write, that describe what we build, or that would betray.
_RESERVED = frozenset(
    {
        "bcc",
        "received",
        "return-path",
        "delivered-to",
        "dkim-signature",
        "authentication-results",
        "mime-version",
    }
)
_RESERVED_PREFIXES = ("content-", "resent-", "arc-", "x-internal")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_' -]*")
_ADDRESS_FIELDS = (
    ("From", "from"),
    ("Sender", "sender"),
    ("Reply-To", "replyTo"),
    ("To", "to"),
    ("Cc", "cc"),
)

CustomFields = list[tuple[str, str, Node]]


def read_custom_fields(node: Node) -> tuple[dict[str, Node], CustomFields]:
    """Read ``headers``: an object, or a list of ``{key, value}``.

    Returns:
        What belongs in fields of the mail, by their names there; then the rest,
        as name, value and where it came from.

    Raises:
        Rejected: A name that is none or that is reserved, a value with a line
            break, too many.
    """
    promoted: dict[str, Node] = {}
    custom: CustomFields = []
    for name, value in _pairs(node):
        key = name.lower()
        if not is_field_name(name):
            raise value.refuse("is not a name for a header field")
        if key in _RESERVED or key.startswith(_RESERVED_PREFIXES):
            raise value.refuse("is a header field that cannot be set")
        if key in _PROMOTED:
            promoted[_PROMOTED[key]] = value
        elif value.value is not None:
            for element in value.elements(MAX_CUSTOM_FIELDS):
                custom.append((name, element.line(), element))
    if len(custom) > MAX_CUSTOM_FIELDS:
        raise node.refuse(f"more than {MAX_CUSTOM_FIELDS} header fields", 552, "5.3.4")
    return promoted, custom


def format_top_header(
    root: Mapping[str, Node],
    people: People,
    custom: CustomFields,
    *,
    now: datetime,
    make_message_id: Callable[[], str],
) -> tuple[bytes, str]:
    """Write all fields up to MIME-Version; return them and the Message-ID.

    Raises:
        Rejected: A subject, date or message id that cannot be one.
    """
    message_id = _read_message_id(root.get("messageId")) or make_message_id()
    lines = [
        format_address_field(name, people.mailboxes[field])
        for name, field in _ADDRESS_FIELDS
        if people.mailboxes.get(field)
    ]
    if "subject" in root:
        lines.append(_field("Subject", root["subject"].line(), root["subject"]))
    lines.append(format_field("Message-ID", message_id))
    for name, field in (("In-Reply-To", "inReplyTo"), ("References", "references")):
        if field in root and not root[field].is_empty:
            lines.append(_field(name, _read_references(root[field]), root[field]))
    lines.append(format_field("Date", _read_date(root.get("date"), now)))
    lines += [_field(name, value, node) for name, value, node in custom]
    lines.append(b"MIME-Version: 1.0\r\n")
    return b"".join(lines), message_id


def format_address_field(name: str, mailboxes: Iterable[Mailbox]) -> bytes:
    """Write an address field, folded after commas and inside long names."""
    words: list[str] = []
    for mailbox in mailboxes:
        words += _mailbox_words(mailbox)
        words[-1] += ","
    words[-1] = words[-1][:-1]
    lines: list[str] = []
    line = f"{name}:"
    for word in words:
        if len(line) + 1 + len(word) > FOLD_CHARS and not line.endswith(":"):
            lines.append(line)
            line = ""
        line += f" {word}"
    lines.append(line)
    return "\r\n".join(lines).encode() + b"\r\n"


def _mailbox_words(mailbox: Mailbox) -> list[str]:
    """The pieces of a mailbox between which a line may be folded."""
    name = mailbox.name.strip()
    if not name:
        return [mailbox.address]
    # A mailbox without an address is an empty group, RFC 5322 §3.4.
    place = f"<{mailbox.address}>" if mailbox.address else ":;"
    if not name.isascii():
        return [*encode_words(name).split(" "), place]
    if not _PLAIN_NAME.fullmatch(name):
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{escaped}"'
    return [f"{name} {place}" if mailbox.address else f"{name}{place}"]


def _pairs(node: Node) -> Iterable[tuple[str, Node]]:
    if isinstance(node.value, Mapping):
        return node.items()
    pairs = []
    for element in node.elements(MAX_CUSTOM_FIELDS):
        members = element.mapping(frozenset({"key", "value"}))
        if "key" not in members or "value" not in members:
            raise element.refuse("must have a key and a value")
        pairs.append((members["key"].text()[:80], members["value"]))
    return pairs


def _field(name: str, value: str, node: Node) -> bytes:
    try:
        return format_field(name, value)
    except ValueError as error:
        raise node.refuse("does not fit into a header field") from error


def _read_message_id(node: Node | None) -> str:
    if node is None or node.is_empty:
        return ""
    text = node.line(250)
    inner = text.removeprefix("<").removesuffix(">")
    if not is_printable_ascii(inner) or "@" not in inner or set(inner) & set("<>"):
        raise node.refuse("is not a message id")
    return f"<{inner}>"


def _read_references(node: Node) -> str:
    """One or many message ids, each in its angle brackets."""
    ids = []
    for element in node.elements(MAX_REFERENCES):
        for word in element.line().split():
            inner = word.removeprefix("<").removesuffix(">")
            if not is_printable_ascii(inner) or set(inner) & set("<>"):
                raise element.refuse("is not a list of message ids")
            ids.append(f"<{inner}>")
    if len(ids) > MAX_REFERENCES:
        raise node.refuse(f"more than {MAX_REFERENCES} message ids", 552, "5.3.4")
    return " ".join(ids)


def _read_date(node: Node | None, now: datetime) -> str:
    if node is None or node.is_empty:
        return format_datetime(now.astimezone(UTC))
    text = node.line(100)
    date = _parse_iso_date(text) or parse_date(text)
    if date is None:
        raise node.refuse("is not a date")
    return format_datetime(date)


def _parse_iso_date(text: str) -> datetime | None:
    """Read what JavaScript's JSON makes of a Date."""
    try:
        date = datetime.fromisoformat(text)
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
