"""Contents that were taken, held against the octets that were sent.

Slow and plain on purpose: a second reading of RFC 5321 §4.5.2 and RFC 3030, to compare
with; and a reader as lax as the laxest server on the way.
"""

import re
from collections.abc import Iterable

from mta.mail.binary import BinaryToBase64, TooComplex
from mta.mail.lines import CanonicalLines
from mta.smtp.client import DotStuffer
from tests.fuzz.promises import has_stray_line_end, promise

_DATA_LINE = re.compile(rb"DATA *\r\n", re.IGNORECASE)
_BDAT_LINE = re.compile(rb"BDAT +([0-9]{1,20})(?: +(LAST))? *\r\n", re.IGNORECASE)
_END_OF_DATA = re.compile(rb"(?=\r\n\.\r\n)")
_ANY_LINE_END = re.compile(rb"\r\n|\r|\n")


def decode_data(octets: bytes) -> bytes | None:
    """Decode what follows DATA; None if it does not end."""
    content = b""
    while True:
        line, end, octets = octets.partition(b"\r\n")
        if not end:
            return None
        if line == b".":
            return content
        content += line.removeprefix(b".") + b"\r\n"


def count_ends(stream: bytes) -> int:
    """How many messages a client may have ended, at most."""
    lasts = sum(1 for match in _BDAT_LINE.finditer(stream) if match[2])
    return lasts + len(_END_OF_DATA.findall(stream))


def was_sent(stream: bytes, content: bytes) -> bool:
    """Whether a client sent this as one message, by DATA or by BDAT."""
    return _came_by_data(stream, content) or _came_by_bdat(stream, content)


def _came_by_data(stream: bytes, content: bytes) -> bool:
    return any(
        decode_data(stream[match.end() :]) == content
        for match in _DATA_LINE.finditer(stream)
    )


def _came_by_bdat(stream: bytes, content: bytes) -> bool:
    """Look for chunks that make it up; what looks like one may be content."""
    reached = {0}
    for match in _BDAT_LINE.finditer(stream):
        size = int(match[1])
        chunk = stream[match.end() : match.end() + size]
        if len(chunk) == size:
            reached |= {at + size for at in reached if content.startswith(chunk, at)}
    return len(content) in reached


def check_hand_over(pieces: Iterable[bytes], *, is_binary: bool) -> None:
    """Hold what would go on to the next server to what must never go on."""
    rewriter, lines = BinaryToBase64(), CanonicalLines()
    canonical = b""
    try:
        for piece in pieces:
            canonical += lines.feed(rewriter.feed(piece) if is_binary else piece)
        if is_binary:
            canonical += lines.feed(rewriter.close())
    except TooComplex:
        return
    check_canonical(canonical + lines.close())


def check_canonical(content: bytes) -> None:
    """Hold canonical content, and what the wire makes of it, to its promises."""
    promise(not has_stray_line_end(content), "no CR and no LF alone goes on")
    promise(content.endswith(b"\r\n") or not content, "content ends with a line end")
    stuffer = DotStuffer()
    wire = stuffer.feed(content) + stuffer.close()
    promise(decode_data(wire) == content, "the next server reads what we have")
    lines = _ANY_LINE_END.split(wire)
    promise(lines[-2:] == [b".", b""], "the end of data is at the end")
    promise(b"." not in lines[:-2], "the laxest server sees one end of data")
