"""The hash of a body in relaxed form, computed while the body passes by.

The canonical form removes blanks at the end of lines, makes one space of other
runs of blanks, and drops empty lines at the end. What a chunk's end leaves open is
therefore always of one shape: some line ends, then perhaps a blank, then perhaps a
CR. Three small values hold it, however the content is cut.

RFC 6376 §3.4.4.
"""

import hashlib
from base64 import b64encode

_LINE_ENDS = b"\r\n" * 16_384  # so that a million empty lines cost no memory


class RelaxedBodyHash:
    """SHA-256 over a body's relaxed form; feed it content with canonical lines.

    Attributes:
        body_bytes: Octets fed so far, before canonicalization.
    """

    def __init__(self) -> None:
        self.body_bytes = 0
        self._sha256 = hashlib.sha256()
        self._has_content = False
        self._line_ends = 0
        self._holds_blank = False
        self._holds_cr = False

    def update(self, chunk: bytes) -> None:
        self.body_bytes += len(chunk)
        data = self._with_held(chunk)
        if not data:
            return
        data = _relax(data)
        if data.endswith(b"\r"):
            self._holds_cr = True
            data = data[:-1]
        if data.endswith(b" "):
            self._holds_blank = True
            data = data[:-1]
        end = _start_of_line_ends(data)
        if end:
            self._hash_line_ends()
            self._sha256.update(data[:end] if end < len(data) else data)
            self._has_content = True
        self._line_ends += (len(data) - end) // 2

    def digest(self) -> str:
        """Return the hash of what was fed so far, in base64; may be asked again."""
        sha256 = self._sha256.copy()
        if self._holds_cr:  # a CR without LF is content
            _hash_line_ends(sha256, self._line_ends)
            sha256.update(b" \r" if self._holds_blank else b"\r")
        if self._has_content or self._holds_cr:
            sha256.update(b"\r\n")  # one, there or added; none for an empty body
        return b64encode(sha256.digest()).decode("ascii")

    def _with_held(self, chunk: bytes) -> bytes:
        if not (chunk and (self._holds_blank or self._holds_cr)):
            return chunk
        held = (b" " if self._holds_blank else b"") + (b"\r" if self._holds_cr else b"")
        self._holds_blank = self._holds_cr = False
        return held + chunk

    def _hash_line_ends(self) -> None:
        _hash_line_ends(self._sha256, self._line_ends)
        self._line_ends = 0


def _relax(data: bytes) -> bytes:
    """Reduce blanks. Each pass halves the longest run, and most data needs none."""
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data.replace(b" \r\n", b"\r\n") if b" \r\n" in data else data


def _start_of_line_ends(data: bytes) -> int:
    """Find where the CRLFs that end ``data`` begin."""
    if not data.endswith(b"\r\n"):
        return len(data)
    tail_start = len(data.rstrip(b"\r\n"))
    tail = data[tail_start:]
    # Only CR and LF are left in it. It alternates after the last pair of equals.
    pair = tail.rfind(b"\n\n")
    start = max(pair + 2 if pair >= 0 else 0, tail.rfind(b"\r\r") + 1)
    if tail[start : start + 1] == b"\n":
        start += 1
    return tail_start + start


def _hash_line_ends(sha256: "hashlib._Hash", count: int) -> None:
    full, rest = divmod(count, len(_LINE_ENDS) // 2)
    for _ in range(full):
        sha256.update(_LINE_ENDS)
    sha256.update(_LINE_ENDS[: rest * 2])
