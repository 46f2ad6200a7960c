"""Line ends: whatever came in, CRLF goes on.

A CR or an LF alone is what one server takes for a line end and the next one does
not, and so how a second message is smuggled inside the first. Here each becomes
CRLF, before anything is hashed, stored or signed. Form feeds, NEL and the Unicode
separators are text.

RFC 5321 §2.3.8.
"""


class CanonicalLines:
    """A filter over chunks: CRLF, LF and CR become CRLF, also across chunks."""

    def __init__(self) -> None:
        self._holds_cr = False
        self._is_at_line_start = True

    def feed(self, chunk: bytes) -> bytes:
        """Return what is certain so far; a CR at the very end waits for its LF."""
        if self._holds_cr:
            chunk = b"\r" + chunk
        self._holds_cr = chunk.endswith(b"\r")
        if self._holds_cr:
            chunk = chunk[:-1]
        if not chunk:
            return b""
        if not _is_canonical(chunk):
            chunk = _canonicalize(chunk)
        self._is_at_line_start = chunk.endswith(b"\n")
        return chunk

    def close(self) -> bytes:
        """Return what ends the content: a CRLF, unless it is empty or has one."""
        is_unfinished = self._holds_cr or not self._is_at_line_start
        self._holds_cr, self._is_at_line_start = False, True
        return b"\r\n" if is_unfinished else b""


def canonical_lines(content: bytes) -> bytes:
    """Bring a whole content into canonical form, a final CRLF included."""
    lines = CanonicalLines()
    return lines.feed(content) + lines.close()


def _is_canonical(chunk: bytes) -> bool:
    pairs = chunk.count(b"\r\n")
    return chunk.count(b"\n") == pairs and chunk.count(b"\r") == pairs


def _canonicalize(chunk: bytes) -> bytes:
    unix = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return unix.replace(b"\n", b"\r\n")
