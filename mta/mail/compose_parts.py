"""The texts and attachments of a composed message, each as a MIME part.

Nodemailer's fields, read strictly: what we do not know or cannot honour is refused
by name, and nothing from a stranger reaches a part's fields unchecked.
"""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from mta.mail.compose_content import SOURCES, decode_content, read_content
from mta.mail.compose_header import read_custom_fields
from mta.mail.compose_input import Node
from mta.mail.header import HeaderSection, HeaderSplitter, HeaderTooLarge, format_field
from mta.mail.lines import canonical_lines
from mta.mail.mime import (
    TRANSFER_ENCODINGS,
    Part,
    canonical_text,
    choose_text_encoding,
    encode_body,
    fits_encoding,
    format_parameter,
)

MAX_ATTACHMENTS = 1000
MAX_ALTERNATIVES = 100
MAX_FILENAME_CHARS = 255

_TEXT_FIELDS = frozenset({*SOURCES, "encoding", "raw"})
_ALTERNATIVE_FIELDS = _TEXT_FIELDS | {
    "contentType",
    "contentTransferEncoding",
    "headers",
    "filename",
}
_ATTACHMENT_FIELDS = _ALTERNATIVE_FIELDS | {"contentDisposition", "cid"}
_EVENT_FIELDS = frozenset({*SOURCES, "encoding", "method", "filename"})
_MEDIA_TYPE = re.compile(
    r"([a-z0-9!#$&.+^_-]{1,60})/[a-z0-9!#$&.+^_-]{1,100}(?: *;[ -~]*)?", re.IGNORECASE
)
_CID = re.compile(r"[!-;=?-~]{1,250}")
_METHOD = re.compile(r"[A-Za-z-]{1,40}")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part beside the texts; ``has_cid`` if the HTML text can refer to it."""

    part: Part
    has_cid: bool


@dataclass(frozen=True, slots=True)
class TextOptions:
    """What holds for all texts of a mail: how they come and how they go."""

    encoding: Node | None = None
    transfer_encoding: str | None = None


def read_text(node: Node, content_type: str, options: TextOptions) -> Part:
    """Read ``text``, ``html`` and their kind: a string or an object."""
    if isinstance(node.value, str):
        content = decode_content(node, options.encoding)
    else:
        members = node.mapping(_TEXT_FIELDS)
        if "raw" in members:
            return _read_raw(members, node)
        content, _ = read_content(members, node)
    _require_utf8(content, node)
    text = canonical_text(content)
    encoding = options.transfer_encoding or choose_text_encoding(text)
    return _make_part(
        f"Content-Type: {content_type}; charset=utf-8",
        encoding,
        encode_body(text, encoding),
    )


def read_alternatives(node: Node) -> list[Part]:
    """Read ``alternatives``: further forms of the text."""
    return [
        _read_part(element, element.mapping(_ALTERNATIVE_FIELDS), number)
        for number, element in enumerate(node.elements(MAX_ALTERNATIVES), 1)
    ]


def read_attachments(node: Node) -> list[Attachment]:
    """Read ``attachments``."""
    attachments = []
    for number, element in enumerate(node.elements(MAX_ATTACHMENTS), 1):
        members = element.mapping(_ATTACHMENT_FIELDS)
        members.setdefault("contentDisposition", Node("", element.pointer))
        part = _read_part(element, members, number)
        attachments.append(Attachment(part, "cid" in members))
    return attachments


def read_event(node: Node, options: TextOptions) -> tuple[Part, Attachment]:
    """Read ``icalEvent``: a form of the text, and the same as a file."""
    if isinstance(node.value, str):
        members: dict[str, Node] = {"content": node}
    else:
        members = node.mapping(_EVENT_FIELDS)
    content, _ = read_content(members, node)
    _require_utf8(content, node)
    method = members["method"].line(40) if "method" in members else "PUBLISH"
    if not _METHOD.fullmatch(method):
        raise members["method"].refuse("is not a method")
    name = _read_filename(members.get("filename"), "invite.ics")
    text = canonical_text(content)
    encoding = options.transfer_encoding or choose_text_encoding(text)
    part = _make_part(
        f"Content-Type: text/calendar; charset=utf-8; method={method.upper()}",
        encoding,
        encode_body(text, encoding),
    )
    fields = f"Content-Type: application/ics{format_parameter('name', name)}"
    fields += f"\r\nContent-Disposition: attachment{format_parameter('filename', name)}"
    return part, Attachment(
        _make_part(fields, "base64", encode_body(text, "base64")), has_cid=False
    )


def _read_part(owner: Node, members: Mapping[str, Node], number: int) -> Part:
    if "raw" in members:
        return _read_raw(members, owner)
    content, media_type = read_content(members, owner)
    is_attachment = "contentDisposition" in members
    name = _read_filename(
        members.get("filename"), f"attachment-{number}" if is_attachment else ""
    )
    content_type = _read_content_type(members, owner, media_type, name)
    is_message = content_type.lower().startswith("message/")
    if is_message or not is_attachment:
        content = canonical_text(content)
    encoding = _choose_encoding(members, owner, content, content_type)
    if encoding != "base64":
        content = canonical_text(content)
    if not fits_encoding(content, encoding):
        raise owner.refuse(f"the content does not fit {encoding}")
    fields = _describe(members, content_type, name, content)
    return Part(
        fields + f"Content-Transfer-Encoding: {encoding}\r\n".encode(),
        encode_body(content, encoding),
    )


def _describe(
    members: Mapping[str, Node], content_type: str, name: str, content: bytes
) -> bytes:
    """Write the fields of a part, up to its transfer encoding."""
    lowered = content_type.lower()
    if lowered.startswith("text/") and "charset" not in lowered and _is_utf8(content):
        content_type += "; charset=utf-8"
    parameter = format_parameter("name", name) if name else ""
    header = f"Content-Type: {content_type}{parameter}\r\n"
    if "cid" in members:
        header += f"Content-ID: <{_read_cid(members['cid'])}>\r\n"
    if "contentDisposition" in members:
        default = "inline" if _is_inline(members, lowered) else "attachment"
        disposition = _read_disposition(members["contentDisposition"], default)
        parameter = format_parameter("filename", name) if name else ""
        header += f"Content-Disposition: {disposition}{parameter}\r\n"
    return header.encode("ascii") + _read_part_headers(members.get("headers"))


def _read_part_headers(node: Node | None) -> bytes:
    if node is None or node.is_empty:
        return b""
    promoted, custom = read_custom_fields(node)
    if promoted:
        raise next(iter(promoted.values())).refuse("belongs in the message, not a part")
    return b"".join(_format(name, value, place) for name, value, place in custom)


def _choose_encoding(
    members: Mapping[str, Node], owner: Node, content: bytes, content_type: str
) -> str:
    is_message = content_type.lower().startswith("message/")
    wanted = members.get("contentTransferEncoding")
    if wanted is not None and not wanted.is_empty:
        encoding = _read_encoding(wanted)
        # RFC 2046 §5.2.1: a message inside a message is not encoded again.
        if is_message and encoding not in ("7bit", "8bit"):
            raise wanted.refuse("must be 7bit or 8bit for a message")
        return encoding
    if is_message:
        if not fits_encoding(content, "8bit"):
            raise owner.refuse("a message has lines of at most 998 octets and no NUL")
        return "7bit" if fits_encoding(content, "7bit") else "8bit"
    if "contentDisposition" in members:
        return "base64"
    return choose_text_encoding(content)


def read_transfer_encoding(node: Node | None) -> str | None:
    """Read ``textEncoding``: None, quoted-printable or base64."""
    if node is None or node.is_empty:
        return None
    encoding = _read_encoding(node)
    if encoding not in ("quoted-printable", "base64"):
        raise node.refuse("must be quoted-printable or base64")
    return encoding


def _read_encoding(node: Node) -> str:
    encoding = node.line(40).lower()
    if encoding not in TRANSFER_ENCODINGS:
        raise node.refuse("must be 7bit, 8bit, quoted-printable or base64")
    return encoding


def _read_content_type(
    members: Mapping[str, Node], owner: Node, media_type: str, name: str
) -> str:
    node = members.get("contentType")
    if node is None and media_type:
        node = Node(media_type, owner.pointer)
    if node is None or node.is_empty:
        # Of the extension alone: a whole name may look like a URL to this function.
        guessed, compression = mimetypes.guess_type(f"x{PurePosixPath(name).suffix}")
        return (not compression and guessed) or "application/octet-stream"
    text = node.line(400).rstrip("; ")
    match = _MEDIA_TYPE.fullmatch(text)
    if match is None or match[1].lower() == "multipart":
        raise node.refuse("is not the media type of a single part")
    return text


def _read_filename(node: Node | None, default: str) -> str:
    """A file's own name, without folders; none for ``false``."""
    if node is None or node.value == "":
        return default
    if node.value is False:
        return ""
    name = node.line(MAX_FILENAME_CHARS)
    return re.split(r"[/\\]", name)[-1].strip() or default


def _read_cid(node: Node) -> str:
    cid = node.line(252).removeprefix("<").removesuffix(">")
    if not _CID.fullmatch(cid):
        raise node.refuse("is not a content id")
    return cid


def _read_disposition(node: Node, default: str) -> str:
    disposition = default if node.is_empty else node.line(40).lower()
    if disposition not in ("attachment", "inline"):
        raise node.refuse("must be attachment or inline")
    return disposition


def _is_inline(members: Mapping[str, Node], content_type: str) -> bool:
    if content_type.startswith("message/"):
        return True
    return content_type.startswith("image/") and "cid" in members


def _read_raw(members: Mapping[str, Node], owner: Node) -> Part:
    """Take a complete MIME entity as it is, but for its line ends."""
    if set(members) - {"raw", "contentDisposition", "cid"}:
        raise owner.refuse("raw stands alone")
    content = canonical_lines(decode_content(members["raw"], None))
    splitter = HeaderSplitter()
    try:
        body = splitter.feed(content)
    except HeaderTooLarge as error:
        raise members["raw"].refuse("has too large a header") from error
    body += splitter.close()
    section = HeaderSection.parse(splitter.header)
    # If it is the only part, its fields become the message's own.
    if not all(name.startswith("content-") for name, _ in section.fields()):
        raise members["raw"].refuse("may only have header fields named Content-...")
    if not fits_encoding(content, "8bit"):
        raise members["raw"].refuse("must have lines of at most 998 octets and no NUL")
    return Part(splitter.header, body)


def _make_part(fields: str, encoding: str, body: bytes) -> Part:
    header = f"{fields}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return Part(header.encode("ascii"), body)


def _format(name: str, value: str, node: Node) -> bytes:
    try:
        return format_field(name, value)
    except ValueError as error:
        raise node.refuse("does not fit into a header field") from error


def _require_utf8(content: bytes, node: Node) -> None:
    if not _is_utf8(content):
        raise node.refuse("must be UTF-8")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
