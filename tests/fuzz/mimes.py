"""Targets for MIME and for line ends."""

import quopri
import re
from base64 import b64decode
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from mta.mail.binary import BinaryToBase64, TooComplex
from mta.mail.lines import CanonicalLines
from mta.mail.mime import (
    canonical_text,
    choose_text_encoding,
    encode_body,
    fits_encoding,
    format_parameter,
)
from mta.mail.mime_walk import Kind, MimeWalk, transfer_encoding
from mta.smtp.client import DotStuffer
from tests.fuzz.contents import check_canonical, decode_data
from tests.fuzz.promises import attempt, cuts, has_stray_line_end, promise, to_text

MAX_ENCODED_LINE = 76  # characters, RFC 2045 §6.7 and §6.8

_ANY_LINE_END = re.compile(rb"\r\n|\r|\n")


def lines(data: bytes) -> None:
    """Canonical lines, and content made fit for DATA."""
    ended = data if data.endswith((b"\r", b"\n")) or not data else data + b"\n"
    expected = _ANY_LINE_END.sub(b"\r\n", ended)
    whole = _stuff([data])
    promise(decode_data(whole) == expected, "what is stuffed can be unstuffed")
    check_canonical(expected)
    for pieces in cuts(data):
        filter_ = CanonicalLines()
        canonical = b"".join([filter_.feed(piece) for piece in pieces])
        canonical += filter_.close()
        promise(canonical == expected, "line ends do not depend on the cuts")
        promise(_stuff(pieces) == whole, "dots do not depend on the cuts")


def _stuff(pieces: Iterable[bytes]) -> bytes:
    stuffer = DotStuffer()
    return b"".join([stuffer.feed(piece) for piece in pieces]) + stuffer.close()


def encodings(data: bytes) -> None:
    """Transfer encodings, and a parameter of a field."""
    text = canonical_text(data)
    promise(not has_stray_line_end(text), "a text has no CR and no LF alone")
    promise(canonical_text(text) == text, "there is one canonical form")
    written = encode_body(text, "quoted-printable")
    _check_encoded(written)
    promise(quopri.decodestring(written) == text, "quoted-printable can be decoded")
    written = encode_body(data, "base64")
    _check_encoded(written)
    promise(b64decode(written) == data, "base64 can be decoded")
    chosen = choose_text_encoding(text)
    promise(fits_encoding(encode_body(text, chosen), "7bit"), "what is chosen fits")
    _check_parameter(re.sub(r"[\x00-\x1f\x7f]", "", to_text(data)))


def _check_encoded(written: bytes) -> None:
    promise(not has_stray_line_end(written), "lines end with CRLF")
    longest = max(map(len, written.split(b"\r\n")))
    promise(longest <= MAX_ENCODED_LINE, "encoded lines have 76 characters at most")
    promise(written.isascii() and b"\0" not in written, "encoded is 7bit")


def _check_parameter(value: str) -> None:
    written = attempt(lambda: format_parameter("name", value), UnicodeEncodeError)
    if written is None:
        return
    promise(written.isascii(), "a parameter is ASCII")
    is_folded = all(line.startswith(" name") for line in written.split("\r\n")[1:])
    promise(is_folded and written.count("\n") == written.count("\r\n"), "and folded")
    promise(_read_parameter(written) == value, "a parameter can be read")


def _read_parameter(written: str) -> str:
    """Read a parameter as RFC 2045 and RFC 2231 say."""
    _, *sections = written.split(";\r\n ")
    if sections[0].startswith("name="):
        value = sections[0].removeprefix("name=")
        if not value.startswith('"'):
            return value
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    values = [section.partition("=") for section in sections]
    names = [name for name, _, _ in values]
    numbers = [f"name*{number}*" for number in range(len(values))]
    promise(names in (["name*"], numbers), "sections are numbered")
    charset, _, encoded = "".join([value for _, _, value in values]).split("'")
    return unquote_to_bytes(encoded).decode(charset)


def binary(data: bytes) -> None:
    """Binary parts that become base64, and the walk that finds them."""
    whole = _rewrite([data])
    for pieces in cuts(data):
        promise(_rewrite(pieces) == whole, "parts do not depend on the cuts")
    if whole is None:
        return
    promise(_rewrite([whole]) == whole, "after one pass nothing is binary")
    is_same = b"binary" in data.lower() or whole == data
    promise(is_same, "what is not binary leaves as it came")
    before, after = _parts(data), _parts(whole)
    promise([it[0] for it in before] == [it[0] for it in after], "parts stay parts")
    for (kind, header, old), (_, new_header, new) in zip(before, after, strict=True):
        if kind is not Kind.LEAF or transfer_encoding(header) != b"binary":
            promise(old == new, "other parts are not touched")
            continue
        promise(transfer_encoding(new_header) == b"base64", "a binary part says base64")
        promise(b64decode(new) == old, "a binary part is not lost")


def _rewrite(pieces: Iterable[bytes]) -> bytes | None:
    rewriter = BinaryToBase64()
    try:
        written = b"".join([rewriter.feed(piece) for piece in pieces])
        return written + rewriter.close()
    except TooComplex:
        return None


def _parts(data: bytes) -> list[tuple[Kind, bytes, bytes]]:
    """Each part's kind, header section and content; also what stands around parts."""
    walk = MimeWalk()
    pieces = [*walk.feed(data), *walk.close()]
    joined = b"".join([piece.octets for piece in pieces])
    promise(joined == data, "pieces are the message")
    parts: list[tuple[Kind, bytes, bytes]] = [(Kind.CONTENT, b"", b"")]
    for piece in pieces:
        if piece.kind is Kind.CONTENT:
            kind, header, content = parts[-1]
            parts[-1] = (kind, header, content + piece.octets)
        elif piece.kind is Kind.DELIMITER:
            parts.append((Kind.CONTENT, b"", b""))
        else:
            parts.append((piece.kind, piece.octets, b""))
    return parts
