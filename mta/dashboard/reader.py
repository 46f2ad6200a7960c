"""A received message made readable: decoded header fields and its text.

Reads the first mebibyte at most and does so in linear time: a small reader of its
own, because the standard library's takes as long as the author of a message wants.
The text is only ever text: HTML is shown as its source.

RFC 5322 §2.1, RFC 2045 §5 and §6, RFC 2046 §5.1.
"""

import codecs
import quopri
import re
from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from mta.mail.header import HeaderSection
from mta.mail.words import decode_words

MAX_READ_BYTES = 1 << 20
MAX_FIELDS = 200
MAX_VALUE_CHARS = 2_000
MAX_DEPTH = 8
MAX_PARTS = 100
MAX_FIELD_BYTES = 4_096  # of a Content-Type or -Transfer-Encoding

_TYPE = re.compile(r"\s*([!-.0-~]{1,80}/[!-.0-:<-~]{1,80})")
_PARAMETER = re.compile(
    r';\s*([a-z-]{1,40})\s*=\s*(?:"([^"]{0,200})"|([^\s;"]{1,200}))',
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
# Charsets that mail has; Python's other codecs are none, or slow.
_CHARSET = re.compile(
    r"utf-?8|us-ascii|iso-8859-\d{1,2}|windows-\d{3,4}|cp\d{3,4}|koi8-[rutk]"
    r"|gb2312|gbk|gb18030|big5|euc-(?:jp|kr)|shift[_-]jis|iso-2022-(?:jp|kr)|utf-16"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf of the message's tree; ``size`` as it stands there, encoded."""

    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a page shows of a message.

    Attributes:
        fields: Names and decoded values, in their order.
        text: The first plain text, else the first HTML's source.
        text_type: Which of both; empty if there is neither.
        parts: The leaves, in their order.
        is_whole: False if the message is longer than what was read.
    """

    fields: tuple[tuple[str, str], ...]
    text: str
    text_type: str
    parts: tuple[Part, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class _Leaf:
    media_type: str
    charset: str
    encoding: str
    body: bytes


def read_message(content: bytes, *, is_whole: bool = True) -> Reading:
    """Make a message readable; never fails, whatever ``content`` is."""
    is_whole = is_whole and len(content) <= MAX_READ_BYTES
    content = content[:MAX_READ_BYTES]
    section, body = _split(content)
    leaves = list(islice(_leaves(section, body, depth=0), MAX_PARTS))
    shown = _choose(leaves)
    return Reading(
        fields=tuple(_fields(section)),
        text=_decode(shown) if shown else "",
        text_type=shown.media_type if shown else "",
        parts=tuple(Part(leaf.media_type, len(leaf.body)) for leaf in leaves),
        is_whole=is_whole,
    )


def take(chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """The beginning of a stream, as much as is read, and whether that is all."""
    taken = bytearray()
    for chunk in chunks:
        taken += chunk
        if len(taken) > MAX_READ_BYTES:
            return bytes(taken[:MAX_READ_BYTES]), False
    return bytes(taken), True


def _split(content: bytes) -> tuple[HeaderSection, bytes]:
    if content.startswith(b"\r\n"):
        return HeaderSection(), content[2:]
    header, _, body = content.partition(b"\r\n\r\n")
    return HeaderSection.parse(header), body


def _fields(section: HeaderSection) -> Iterator[tuple[str, str]]:
    for count, (_, raw) in enumerate(section.fields()):
        if count == MAX_FIELDS:
            return
        name, _, value = raw[: 4 * MAX_VALUE_CHARS].partition(b":")
        unfolded = value.replace(b"\r\n", b"").strip()
        text = decode_words(unfolded.decode("utf-8", "replace"))
        yield name.decode("ascii", "replace")[:80], text[:MAX_VALUE_CHARS]


def _leaves(section: HeaderSection, body: bytes, *, depth: int) -> Iterator[_Leaf]:
    media_type, parameters = _content_type(section)
    boundary = parameters.get("boundary", "")
    if media_type.startswith("multipart/") and boundary and depth < MAX_DEPTH:
        for part in _parts(body, boundary):
            yield from _leaves(*_split(part), depth=depth + 1)
        return
    encoding = (section.get("content-transfer-encoding") or "")[:40].lower()
    charset = parameters.get("charset", "utf-8")
    yield _Leaf(media_type, charset, encoding, body)


def _parts(body: bytes, boundary: str) -> list[bytes]:
    """The parts between the boundaries (RFC 2046 §5.1.1), ``MAX_PARTS`` at most."""
    delimiter = b"\r\n--" + boundary.encode("utf-8", "replace")
    pieces = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)[1:]
    parts = []
    for piece in pieces[:MAX_PARTS]:
        if piece.startswith(b"--"):
            break
        parts.append(piece.partition(b"\r\n")[2])
    return parts


def _content_type(section: HeaderSection) -> tuple[str, dict[str, str]]:
    values = section.raw_values("content-type")
    value = values[0][:MAX_FIELD_BYTES] if values else ""
    match = _TYPE.match(value)
    if match is None:
        return "text/plain", {}
    parameters = {
        found[1].lower(): found[2] or found[3] or ""
        for found in _PARAMETER.finditer(value)
    }
    return match[1].lower(), parameters


def _choose(leaves: list[_Leaf]) -> _Leaf | None:
    for wanted in ("text/plain", "text/html"):
        for leaf in leaves:
            if leaf.media_type == wanted:
                return leaf
    return None


def _decode(leaf: _Leaf) -> str:
    raw = leaf.body
    if leaf.encoding == "base64":
        raw = _from_base64(raw)
    elif leaf.encoding == "quoted-printable":
        raw = quopri.decodestring(raw)
    charset = leaf.charset.lower() if _CHARSET.fullmatch(leaf.charset.lower()) else ""
    try:
        codecs.lookup(charset or "utf-8")
    except LookupError:
        charset = ""
    text = raw.decode(charset or "utf-8", "replace").replace("\r\n", "\n")
    return _CONTROL.sub("\ufffd", text)


def _from_base64(raw: bytes) -> bytes:
    letters = _NOT_BASE64.sub(b"", raw)
    whole = len(letters) - len(letters) % 4
    tail = letters[whole:]
    padded = letters[:whole] + (tail + b"=" * (4 - len(tail)) if len(tail) > 1 else b"")
    try:
        return a2b_base64(padded)
    except BinasciiError:
        return raw
