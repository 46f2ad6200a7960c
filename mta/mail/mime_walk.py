"""The structure of a MIME message, found while the message streams past.

What comes out is what went in, cut into pieces: header sections, delimiters, and
content. Nothing is decoded, and nothing is held but a header section that has not
ended and a line that may become a delimiter.

Where readers disagree, these rules hold:

- Lines end with CRLF. A CR or an LF alone is content (RFC 3030 §3).
- A delimiter is a whole line: two hyphens, the boundary, two more if it closes, then
  blanks. To RFC 2046 §5.1.1 the beginning of a line suffices; then ``--b2`` would end
  the parts of ``b``, and nobody reads it so.
- The CRLF before a delimiter belongs to it. It may be the one that ended a header
  section or another delimiter, and a delimiter may cut a header section short.
- Outer delimiters win over inner ones, also if both have the same boundary.
- The first Content-Type counts, and the first Content-Transfer-Encoding.
- A multipart without a boundary is a leaf, and so is a message in base64 or
  quoted-printable, which RFC 2045 §6.4 forbids.

RFC 2045 §5 and §6, RFC 2046 §5, RFC 6532 §3.7 (message/global).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from mta.mail.header import MAX_HEADER_BYTES, MAX_LINE_CHARS

MAX_DEPTH: Final = 100  # composites around a part; Postfix stops at 100, too
MAX_PARTS: Final = 10_000  # header sections; the digest of a busy list has hundreds
MAX_VALUE_BYTES: Final = 1 << 14  # of the two fields read; keeps patterns' stacks small
MAX_BOUNDARY: Final = 70  # octets, RFC 2046 §5.1.1
MAX_DELIMITER_LINE: Final = MAX_LINE_CHARS  # octets, blanks included; longer is content

_LINE_END = re.compile(rb"\r\n(?![ \t])")
_FIELD = re.compile(rb"[!-9;-~]++[ \t]*+:")
_CONTENT_TYPE = re.compile(rb"(?:\A|\r\n)content-type[ \t]*+:", re.IGNORECASE)
_TRANSFER_ENCODING = re.compile(
    rb"(?:\A|\r\n)content-transfer-encoding[ \t]*+:", re.IGNORECASE
)

# A comment inside a comment is not understood, but does no harm either.
_BLANKS = rb"(?:\s++|\([^()]*+\))*"
_TOKEN = rb'[^\s()<>@,;:\\"/\[\]?=]++'
_FIRST_TOKEN = re.compile(rb"%b(%b)" % (_BLANKS, _TOKEN))
_MEDIA_TYPE = re.compile(rb"%b(%b/%b)" % (_BLANKS, _TOKEN, _TOKEN))
# Values without quotes are read generously: many boundaries want quotes and have none.
_PARAMETER = re.compile(
    rb';%b([^\s()=;"]++)%b=%b(?:"((?:[^"\\]++|\\.)*)"?|([^\s;"]++))'
    % (_BLANKS, _BLANKS, _BLANKS),
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)

_TEXT = b"text/plain"
_MESSAGE = b"message/rfc822"
_MESSAGES = frozenset({_MESSAGE, b"message/global"})
_IDENTITIES = frozenset({b"", b"7bit", b"8bit", b"binary"})
_BEFORE_DELIMITER = b"\r\n--"


class TooComplex(ValueError):
    """A limit is exceeded; to go on would be to pass parts nobody has looked at."""


class Kind(Enum):
    """What a piece of a message is: one of three header sections, or not one.

    A header section has with it the empty line that ends it, if there is one.
    """

    LEAF = auto()
    COMPOSITE = auto()  # its parts come next, as pieces of their own
    UNOPENED = auto()  # composite, but too deep: its parts come as content
    CONTENT = auto()  # of a leaf, or what stands before and after parts
    DELIMITER = auto()  # with both its line ends, as far as they are its own


@dataclass(frozen=True, slots=True)
class Piece:
    """Some octets of a message; a content may come in any number of pieces."""

    kind: Kind
    octets: bytes


class MimeWalk:
    """Cuts a message into pieces; joined, they are the message.

    A composite beyond ``MAX_DEPTH`` is not opened. What exceeds another limit, or has
    its boundary in sections (RFC 2231 §3), raises ``TooComplex``; then the walk is of
    no more use. Time is linear in the input, however it is cut.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._levels = _Levels()
        self._depth = 0
        self._default_type = _TEXT
        self._parts = 0
        self._is_in_header = True
        # Where in the buffer the line begins that is being looked at, and up to where
        # nothing needs to be searched again.
        self._line = self._searched = 0
        # In a body: nothing of it was seen yet; the line begins with two hyphens.
        self._is_at_start = False
        self._is_candidate = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take octets, yield what is certain. Raises `TooComplex`."""
        self._buffer += data
        return self._advance(is_last=False)

    def close(self) -> Iterator[Piece]:
        """End the message, in the middle of a line if need be; yield the rest."""
        return self._advance(is_last=True)

    def _advance(self, *, is_last: bool) -> Iterator[Piece]:
        while True:
            if self._is_in_header:
                size = self._find_header_end(is_last=is_last)
                if size is None:
                    return
                header = self._take(size)
                yield Piece(self._open(header), header)
            else:
                size, delimiter = self._find_delimiter(is_last=is_last)
                if size:
                    yield Piece(Kind.CONTENT, self._take(size))
                if delimiter is None:
                    return
                yield Piece(Kind.DELIMITER, self._take(delimiter.size))
                self._leave(delimiter)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._searched = max(self._searched - size, 0)
        self._line = max(self._line - size, 0)
        return taken

    def _find_header_end(self, *, is_last: bool) -> int | None:
        """Count the octets of the header section, or None if it goes on."""
        while True:
            end = self._buffer.find(b"\r\n", self._searched)
            if end < 0 and not is_last:
                self._searched = max(self._searched, len(self._buffer) - 1)
                if len(self._buffer) > MAX_HEADER_BYTES + MAX_DELIMITER_LINE + 2:
                    raise TooComplex(f"header section over {MAX_HEADER_BYTES} bytes")
                return None
            size = self._end_header_at(end)
            if size is not None:
                return size
            self._line = self._searched = end + 2

    def _end_header_at(self, end: int) -> int | None:
        """Count the octets of the section if it ends with the line, or before it.

        Args:
            end: Of the line; -1 at the end of the message.
        """
        buffer, line, is_last = self._buffer, self._line, end < 0
        if is_last:
            end = len(buffer)
        if end == line:
            return end if is_last else end + 2
        if buffer.startswith(b"--", line) and self._levels.find(buffer[line:end]):
            return max(line - 2, 0)
        if end + 2 > MAX_HEADER_BYTES:
            raise TooComplex(f"header section over {MAX_HEADER_BYTES} bytes")
        if line == 0 and not _FIELD.match(buffer):
            return 0
        return end if is_last else None

    def _open(self, header: bytes) -> Kind:
        """Judge a part by its header, and prepare for what follows."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise TooComplex(f"more than {MAX_PARTS} parts")
        media_type, boundary = _read_content_type(header) or (self._default_type, b"")
        is_message = (
            media_type in _MESSAGES and transfer_encoding(header) in _IDENTITIES
        )
        self._go_on(in_header=False)
        if not (is_message or boundary):
            return Kind.LEAF
        if self._depth >= MAX_DEPTH:
            return Kind.UNOPENED
        if len(boundary) > MAX_BOUNDARY:
            raise TooComplex(f"boundary over {MAX_BOUNDARY} octets")
        if is_message:
            self._depth, self._default_type = self._depth + 1, _TEXT
            self._go_on(in_header=True)
        else:
            self._levels.push(boundary, self._depth, media_type == b"multipart/digest")
        return Kind.COMPOSITE

    def _find_delimiter(self, *, is_last: bool) -> tuple[int, "_Found | None"]:
        """Count the octets that are content, and find what follows them."""
        buffer = self._buffer
        while self._levels and self._find_candidate():
            line = self._line
            limit = line + MAX_DELIMITER_LINE + 2
            end = buffer.find(b"\r\n", self._searched, limit)
            stop = end + 2
            if end < 0 and len(buffer) < limit:
                if not is_last:
                    self._searched = max(self._searched, len(buffer) - 1)
                    return max(line - 2, 0), None
                end = stop = len(buffer)
            found = self._levels.find(buffer[line:end]) if end >= 0 else None
            if found is not None:
                start = max(line - 2, 0)
                return start, found._replace(size=stop - start)
            self._is_candidate = False
            self._searched = end if end >= 0 else line + 2
        if is_last or not self._levels:
            return len(buffer), None
        return self._searched, None

    def _find_candidate(self) -> bool:
        """Look for a line that begins with two hyphens; True if there is one."""
        if self._is_candidate:
            return True
        buffer = self._buffer
        if self._is_at_start:
            if len(buffer) < 2 and b"--".startswith(bytes(buffer)):
                return False
            self._is_at_start = False
            if buffer.startswith(b"--"):
                self._line, self._searched, self._is_candidate = 0, 2, True
                return True
        found = buffer.find(_BEFORE_DELIMITER, self._searched)
        if found < 0:
            held = buffer.rfind(b"\r", max(self._searched, len(buffer) - 3))
            self._searched = held if held >= 0 else len(buffer)
            return False
        self._line, self._searched, self._is_candidate = found + 2, found + 4, True
        return True

    def _leave(self, delimiter: "_Found") -> None:
        """Go on after a delimiter: with the next part, or what follows the last."""
        level = self._levels.cut(delimiter.level, is_closed=delimiter.is_close)
        self._depth = level.depth + 1
        self._default_type = _MESSAGE if level.is_digest else _TEXT
        self._go_on(in_header=not delimiter.is_close)

    def _go_on(self, *, in_header: bool) -> None:
        self._is_in_header = in_header
        self._is_at_start = not in_header
        self._is_candidate = False
        self._line = self._searched = 0


class _Level(NamedTuple):
    boundary: bytes
    depth: int  # of the multipart
    is_digest: bool  # its parts are messages if they do not say (RFC 2046 §5.1.5)


class _Found(NamedTuple):
    level: int
    is_close: bool
    size: int = 0  # octets, line ends included


class _Levels:
    """The multiparts around the current place, outermost first."""

    def __init__(self) -> None:
        self._open: list[_Level] = []
        self._by_boundary: dict[bytes, int] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def push(self, boundary: bytes, depth: int, is_digest: bool) -> None:
        self._by_boundary.setdefault(boundary, len(self._open))
        self._open.append(_Level(boundary, depth, is_digest))

    def find(self, line: bytes | bytearray) -> _Found | None:
        """Say whose delimiter a line is that begins with two hyphens."""
        if len(line) > MAX_DELIMITER_LINE:
            return None
        text = bytes(line[2:].rstrip(b" \t"))
        opened = self._by_boundary.get(text)
        closed = self._by_boundary.get(text[:-2]) if text.endswith(b"--") else None
        if closed is not None and (opened is None or closed < opened):
            return _Found(closed, is_close=True)
        return None if opened is None else _Found(opened, is_close=False)

    def cut(self, index: int, *, is_closed: bool) -> _Level:
        """Leave what is inside of a level, and the level itself if it is closed."""
        level = self._open[index]
        while len(self._open) > index + (not is_closed):
            boundary = self._open.pop().boundary
            if self._by_boundary[boundary] == len(self._open):
                del self._by_boundary[boundary]
        return level


def find_transfer_encodings(header: bytes) -> Iterator[slice]:
    """Find what each Content-Transfer-Encoding field names, without its comments."""
    for value in _find_values(header, _TRANSFER_ENCODING):
        token = _FIRST_TOKEN.match(header, value.start, value.stop)
        if token is not None:
            yield slice(*token.span(1))


def transfer_encoding(header: bytes) -> bytes:
    """Read the encoding of a part, in lower case; empty if it names none."""
    return header[next(find_transfer_encodings(header), slice(0, 0))].lower()


def _read_content_type(header: bytes) -> tuple[bytes, bytes] | None:
    """Read the media type, in lower case, and the boundary if it is a multipart.

    None if no field names a type (RFC 2045 §5.2).
    """
    value = next(_find_values(header, _CONTENT_TYPE), slice(0, 0))
    named = _MEDIA_TYPE.match(header, value.start, value.stop)
    if named is None:
        return None
    media_type = named[1].lower()
    if not media_type.startswith(b"multipart/"):
        return media_type, b""
    return media_type, _read_boundary(header[named.end() : value.stop])


def _read_boundary(parameters: bytes) -> bytes:
    for parameter in _PARAMETER.finditer(parameters.replace(b"\r\n", b"")):
        name, quoted, plain = parameter.groups()
        if name.lower() == b"boundary":
            return (plain or _QUOTED_PAIR.sub(rb"\1", quoted)).rstrip(b" \t")
        if name.lower().startswith(b"boundary*"):
            raise TooComplex("a boundary in sections")
    return b""


def _find_values(header: bytes, field: re.Pattern[bytes]) -> Iterator[slice]:
    for match in field.finditer(header):
        end = _LINE_END.search(header, match.end())
        value = slice(match.end(), end.start() if end else len(header))
        if value.stop - value.start > MAX_VALUE_BYTES:
            raise TooComplex(f"field over {MAX_VALUE_BYTES} bytes")
        yield value
