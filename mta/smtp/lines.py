"""Where a command line ends, and where content ends: at CRLF, and nowhere else.

Three readers share one stream of octets. ``CommandReader`` cuts it into command
lines; ``ContentReader`` takes over after DATA, ``ChunkReader`` after BDAT, and both
hand the rest back. None gives any meaning to a lone CR or LF: every disagreement
about those between two servers is a way to smuggle one message inside another
(CVE-2023-51764 and its sisters). All are linear in their input and hold less than
one line.

RFC 5321 §2.3.8 (lines), §4.1.1.4 (DATA), §4.5.2 (transparency), §4.5.3.1.4; RFC
3030 (BDAT).
"""

from enum import Enum

# Octets, CRLF included. §4.5.3.1.4 wants 512 plus what extensions add; AUTH adds
# most (RFC 4954 §4), and a long line costs nothing more than a short one.
MAX_COMMAND_LINE = 12_288

_END = b"\r\n.\r\n"


class LineFault(Enum):
    """A command line that is not one; the value is what to tell the client."""

    TOO_LONG = "Line too long"
    CONTROL = "Control characters are not allowed in commands"
    # Only whoever sent it knows whether the octets after a lone LF are a second
    # command. We must not guess, so nothing after it is read.
    BARE_LF = "Lines end with CRLF, not with LF alone"


class CommandReader:
    """Cuts a stream into command lines.

    After ``BARE_LF`` the stream has no more lines. After ``TOO_LONG`` the rest
    of the line is skipped, so that one line gets one answer.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._is_skipping = False
        self._is_broken = False

    @property
    def has_input(self) -> bool:
        """Some octets were fed and not yet returned as a line."""
        return self._at < len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take octets as they came from the network."""
        if self._at < len(self._buffer):
            self._buffer = self._buffer[self._at :] + data
        else:
            self._buffer = data
        self._at = 0

    def next_line(self) -> bytes | LineFault | None:
        """Return the next line without its CRLF, what is wrong with it, or None.

        None means that more octets are needed.
        """
        if self._is_broken:
            return None
        if self._is_skipping and not self._skip():
            return None
        start = self._at
        end = self._buffer.find(b"\r\n", start)
        if end < 0:
            return self._judge_partial(start)
        line = self._buffer[start:end]
        self._at = end + 2
        # isprintable() on the decoded text is one pass in C over a short line.
        if line.decode("latin-1").isprintable():
            return line if len(line) <= MAX_COMMAND_LINE - 2 else LineFault.TOO_LONG
        return self._judge(line)

    def take_rest(self) -> bytes:
        """Hand over everything that was fed and not yet returned."""
        rest = self._buffer[self._at :]
        self._buffer, self._at = b"", 0
        return rest

    def _judge(self, line: bytes) -> bytes | LineFault:
        if b"\n" in line:
            self._is_broken = True
            return LineFault.BARE_LF
        if len(line) > MAX_COMMAND_LINE - 2:
            return LineFault.TOO_LONG
        if any(octet < 0x20 or octet == 0x7F for octet in line):
            return LineFault.CONTROL
        return line  # octets from 0x80 on; whether they may be is for grammar.py

    def _judge_partial(self, start: int) -> LineFault | None:
        if self._buffer.find(b"\n", start) >= 0:
            self._is_broken = True
            return LineFault.BARE_LF
        if len(self._buffer) - start < MAX_COMMAND_LINE:
            return None
        self._is_skipping = True
        self._skip()
        return LineFault.TOO_LONG

    def _skip(self) -> bool:
        """Drop the rest of a line that was too long; True once it ended."""
        end = self._buffer.find(b"\r\n", self._at)
        if end >= 0:
            self._at = end + 2
            self._is_skipping = False
            return True
        # A CR at the very end may be the first half of the CRLF.
        self._at = len(self._buffer) - self._buffer.endswith(b"\r")
        return False


class ContentReader:
    """Decodes what follows DATA, up to CRLF.CRLF.

    Leading dots are taken away after CRLF only (§4.5.2); whatever else the
    content holds passes as it is, and whoever stores it must make its line
    ends canonical before it travels on. Content over the limit is read, counted
    and dropped.

    Attributes:
        size: Octets of content so far, the dropped ones included.
        is_complete: The end was seen; do not feed more.
        rest: What came after the end; empty until then.
    """

    def __init__(self, limit: int) -> None:
        self.size = 0
        self.is_complete = False
        self.rest = b""
        self._limit = limit
        # What may be the beginning of the end. The CRLF of the DATA line
        # counts (§4.1.1.4: content may be empty) but is not content.
        self._held = b"\r\n"
        self._is_first = True

    @property
    def is_too_big(self) -> bool:
        """There is more content than the limit."""
        return self.size > self._limit

    def feed(self, data: bytes) -> bytes:
        """Take octets from the network and return decoded content, maybe none."""
        content = self._decode(self._held + data)
        self.size += len(content)
        return b"" if self.is_too_big else content

    def _decode(self, block: bytes) -> bytes:
        end = block.find(_END)
        if end >= 0:
            self.is_complete = True
            self.rest = block[end + len(_END) :]
            content = block[: end + 2]
        else:
            held = _length_of_partial_end(block)
            self._held = block[len(block) - held :]
            content = block[: len(block) - held]
        content = content.replace(b"\r\n.", b"\r\n")
        if self._is_first and content:
            # Never less than the CRLF we began with: nothing shorter than the
            # block is held, unless all of it is.
            self._is_first = False
            return content[2:]
        return content


class ChunkReader:
    """Counts off the octets of one BDAT chunk; they are content as they are.

    Args:
        length: Octets of the chunk.
        before: Octets of content in the chunks before it.
        is_last: BDAT said LAST.

    Attributes:
        size: Octets of content so far, those before the chunk included.
        left: Octets of the chunk that are still to come.
        is_complete: All of the chunk was fed; do not feed more.
        rest: What came after it; empty until then.
    """

    def __init__(self, length: int, *, before: int = 0, is_last: bool = False) -> None:
        self.size = before
        self.length = length
        self.is_last = is_last
        self.is_complete = length == 0
        self.rest = b""
        self.left = length

    def feed(self, data: bytes) -> bytes:
        """Take octets from the network and return those of the chunk."""
        content = data[: self.left]
        self.left -= len(content)
        self.size += len(content)
        if self.left == 0:
            self.is_complete = True
            self.rest = data[len(content) :]
        return content


class LineEndCheck:
    """Looks for a CR or an LF that stands alone, block by block.

    Attributes:
        has_stray: One was found; a CR at the very end may still be half of a CRLF.
    """

    def __init__(self) -> None:
        self.has_stray = False
        self._ends_in_cr = False

    def feed(self, data: bytes) -> None:
        """Take the next octets of content."""
        if not data:
            return
        is_second_half = self._ends_in_cr and data.startswith(b"\n")
        if self._ends_in_cr and not is_second_half:
            self.has_stray = True
        self._ends_in_cr = data.endswith(b"\r")
        pairs = data.count(b"\r\n")
        if data.count(b"\n") - is_second_half != pairs:
            self.has_stray = True
        if data.count(b"\r") - self._ends_in_cr != pairs:
            self.has_stray = True

    def close(self) -> None:
        """There is no more content: a CR at its end is alone."""
        self.has_stray = self.has_stray or self._ends_in_cr


def _length_of_partial_end(block: bytes) -> int:
    """Count the octets at the end of ``block`` that may begin an end of data."""
    for length in (4, 3, 2, 1):
        if block.endswith(_END[:length]):
            return length
    return 0
