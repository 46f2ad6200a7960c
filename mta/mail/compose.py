"""A message from a JSON object, as Nodemailer describes mail.

The tree is mixed > alternative > related: attachments beside the texts, the forms
of the text as alternatives, and what the HTML shows by content id beside it. What
we do not honour is refused by the name of its field; nothing is fetched or ignored.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from mta.errors import Rejected
from mta.mail.address import domain_of
from mta.mail.compose_addresses import ADDRESS_FIELDS, People, read_people
from mta.mail.compose_content import SOURCES, decode_content, read_content
from mta.mail.compose_header import (
    CustomFields,
    format_top_header,
    read_custom_fields,
)
from mta.mail.compose_input import Node
from mta.mail.compose_parts import (
    Attachment,
    TextOptions,
    read_alternatives,
    read_attachments,
    read_event,
    read_text,
    read_transfer_encoding,
)
from mta.mail.header import HeaderSection, HeaderSplitter, HeaderTooLarge
from mta.mail.lines import canonical_lines
from mta.mail.mime import Part, make_multipart
from mta.mail.submit import MAX_RECIPIENTS, extract_envelope, new_message_id
from mta.reply import make_reply

MAX_BYTES = 256 << 20

# Each form of the text, in the order in which alternatives get better.
_TEXTS = (
    ("text", "text/plain"),
    ("watchHtml", "text/watch-html"),
    ("amp", "text/x-amp-html"),
    ("html", "text/html"),
)
# Nodemailer's locks against reading files and addresses. Ours cannot be opened.
_LOCKS = ("disableFileAccess", "disableUrlAccess")
_ENVELOPE_FIELDS = frozenset({*ADDRESS_FIELDS, "envelope", *_LOCKS})
_RAW_FIELDS = _ENVELOPE_FIELDS | {"raw"}
_FIELDS = _RAW_FIELDS | {
    *(field for field, _ in _TEXTS),
    "subject",
    "messageId",
    "date",
    "inReplyTo",
    "references",
    "alternatives",
    "attachments",
    "icalEvent",
    "headers",
    "encoding",
    "textEncoding",
}
_RAW_OBJECT_FIELDS = frozenset({*SOURCES, "encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A message and its envelope.

    Attributes:
        reverse_path: Null path as ``""``.
        recipients: Normalized, each once; at least one.
        header: The header section with CRLFs, without the empty line.
        body: What follows the empty line.
        message_id: With its angle brackets; empty if a raw message has none.
        smtputf8: An address needs SMTPUTF8 on its way (RFC 6531).
        body_8bit: The body needs 8BITMIME on its way (RFC 6152).
    """

    reverse_path: str
    recipients: tuple[str, ...]
    header: bytes
    body: bytes
    message_id: str
    smtputf8: bool = False

    @property
    def body_8bit(self) -> bool:
        return not self.body.isascii()

    @property
    def content(self) -> bytes:
        """Header, empty line and body in one; a copy."""
        return b"\r\n".join((self.header, self.body))


def compose(
    mail: Mapping[str, object],
    *,
    now: datetime,
    hostname: str,
    max_recipients: int = MAX_RECIPIENTS,
    max_bytes: int = MAX_BYTES,
    make_token: Callable[[], str] = lambda: secrets.token_hex(12),
) -> Composed:
    """Build a message.

    Args:
        mail: Parsed JSON; not trusted.
        now: The Date, unless the mail has its own.
        hostname: The domain of the Message-ID, if the reverse path has none.
        make_token: Gives what boundaries are made of; not guessable.

    Raises:
        Rejected: A field we cannot honour; ``pointer`` names it.
    """
    root = Node(mail, "").mapping(_FIELDS)
    for lock in _LOCKS:
        if lock in root and root[lock].value is not True:
            raise root[lock].refuse("cannot be switched off")
    if "raw" in root:
        composed = _compose_raw(root, max_recipients)
    else:
        composed = _compose_fields(
            root,
            now=now,
            hostname=hostname,
            max_recipients=max_recipients,
            make_token=make_token,
        )
    if len(composed.header) + len(composed.body) + 2 > max_bytes:
        raise Rejected(make_reply(552, "5.3.4", "The message is too large"))
    return composed


def _compose_fields(
    root: dict[str, Node],
    *,
    now: datetime,
    hostname: str,
    max_recipients: int,
    make_token: Callable[[], str],
) -> Composed:
    custom: CustomFields = []
    if "headers" in root:
        promoted, custom = read_custom_fields(root["headers"])
        root = promoted | root
    people = read_people(root, max_recipients)
    reverse_path, recipients = _require_envelope(people)
    top, message_id = format_top_header(
        root,
        people,
        custom,
        now=now,
        make_message_id=lambda: new_message_id(domain_of(reverse_path) or hostname),
    )
    content = _build_tree(root, make_token)
    return Composed(
        reverse_path=reverse_path,
        recipients=recipients,
        header=top + content.header,
        body=content.body if content.body.endswith(b"\r\n") else content.body + b"\r\n",
        message_id=message_id,
        smtputf8=people.needs_smtputf8,
    )


def _compose_raw(root: dict[str, Node], max_recipients: int) -> Composed:
    """Take a complete message; JSON fields beside it are its envelope only."""
    for name in root.keys() - _RAW_FIELDS:
        raise root[name].refuse("cannot stand beside raw")
    raw = root["raw"]
    if isinstance(raw.value, str):
        content = decode_content(raw, None)
    else:
        content, _ = read_content(raw.mapping(_RAW_OBJECT_FIELDS), raw)
    splitter = HeaderSplitter()
    try:
        body = splitter.feed(canonical_lines(content))
    except HeaderTooLarge as error:
        raise raw.refuse("the header is too large", 552, "5.3.4") from error
    body += splitter.close()
    section = HeaderSection.parse(splitter.header)
    people = read_people(root, max_recipients)
    if people.recipients and people.reverse_path is not None:
        reverse_path, recipients = people.reverse_path, people.recipients
    else:
        reverse_path, recipients = _complete_envelope(people, section, max_recipients)
    return Composed(
        reverse_path=reverse_path,
        recipients=recipients,
        header=splitter.header,
        body=body,
        message_id=section.get("Message-ID") or "",
        smtputf8=not all(map(str.isascii, (reverse_path, *recipients))),
    )


def _complete_envelope(
    people: People, section: HeaderSection, max_recipients: int
) -> tuple[str, tuple[str, ...]]:
    """Take from the header section what the JSON does not say."""
    reverse_path, recipients = extract_envelope(section, max_recipients=max_recipients)
    if people.reverse_path is not None:
        reverse_path = people.reverse_path
    return reverse_path, people.recipients or recipients


def _require_envelope(people: People) -> tuple[str, tuple[str, ...]]:
    if people.reverse_path is None:
        raise Node(None, "/from").refuse("is missing")
    if not people.recipients:
        raise Node(None, "/to").refuse("no recipients in to, cc and bcc", 554, "5.5.1")
    return people.reverse_path, people.recipients


def _build_tree(root: Mapping[str, Node], make_token: Callable[[], str]) -> Part:
    """Read all contents and nest them."""
    options = TextOptions(
        encoding=root.get("encoding"),
        transfer_encoding=read_transfer_encoding(root.get("textEncoding")),
    )
    attachments = read_attachments(root["attachments"]) if "attachments" in root else []
    has_html = "html" in root
    related = [item.part for item in attachments if has_html and item.has_cid]
    mixed = [item for item in attachments if not (has_html and item.has_cid)]
    texts = []
    for field, content_type in _TEXTS:
        if field in root:
            part = read_text(root[field], content_type, options)
            if field == "html":
                part = _nest("related", [part, *related], make_token, content_type)
            texts.append(part)
    texts += _read_further_forms(root, options, mixed)
    parts = [_nest("alternative", texts, make_token)] if texts else []
    parts += [item.part for item in mixed]
    if not parts:
        parts = [read_text(Node("", "/text"), "text/plain", options)]
    return _nest("mixed", parts, make_token)


def _read_further_forms(
    root: Mapping[str, Node], options: TextOptions, mixed: list[Attachment]
) -> list[Part]:
    """Read the event, whose file joins ``mixed``, and the alternatives."""
    forms = []
    if "icalEvent" in root:
        part, attachment = read_event(root["icalEvent"], options)
        forms.append(part)
        mixed.append(attachment)
    if "alternatives" in root:
        forms += read_alternatives(root["alternatives"])
    return forms


def _nest(
    subtype: str, parts: list[Part], make_token: Callable[[], str], root_type: str = ""
) -> Part:
    if len(parts) == 1:
        return parts[0]
    return make_multipart(subtype, parts, make_token(), root_type=root_type)
