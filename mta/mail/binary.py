"""Binary parts become base64, for hops and a spool that know lines only.

Who takes BODY=BINARYMIME must be able to hand the message on to a server that does
not (RFC 3030 §3). So this filter stands before everything that reads lines: behind
it no part is binary any more, and making line ends canonical harms none.

A leaf that is declared binary is encoded, whatever its type. A multipart or a message
may not be (RFC 2045 §6.4), and need not be once its parts are; it becomes 8bit. In a
header section only the word changes that names the encoding. Signatures over binary
parts break, which no gateway can help.

How parts are found, and what is too complex, says ``mta.mail.mime_walk``. Composites
nested deeper than its ``MAX_DEPTH`` pass as they are, with all that is in them.
"""

from typing import Final

from mta.mail.mime import encode_body
from mta.mail.mime_walk import (
    Kind,
    MimeWalk,
    Piece,
    TooComplex,
    find_transfer_encodings,
    transfer_encoding,
)

__all__ = ["BinaryToBase64", "TooComplex"]

_OCTETS_PER_LINE: Final = 57  # RFC 2045 §6.8: lines of 76 characters


class BinaryToBase64:
    """Rewrites a message as it streams in; a filter over chunks.

    What comes out does not depend on how the input is cut. Memory is bounded by the
    header section of a part and a chunk.
    """

    def __init__(self) -> None:
        self._walk = MimeWalk()
        self._encoder: _Base64Lines | None = None

    def feed(self, data: bytes) -> bytes:
        """Take octets of the message; return what is certain, maybe none.

        Raises:
            TooComplex: The message cannot be taken; do not feed more.
        """
        return b"".join([self._rewrite(piece) for piece in self._walk.feed(data)])

    def close(self) -> bytes:
        """End the message; return the rest.

        Base64 that nothing follows gets the line end that every message ends with.

        Raises:
            TooComplex: The message cannot be taken.
        """
        rest = b"".join([self._rewrite(piece) for piece in self._walk.close()])
        has_lines = self._encoder is not None and self._encoder.has_lines
        return rest + self._end_part() + (b"\r\n" if has_lines else b"")

    def _rewrite(self, piece: Piece) -> bytes:
        if piece.kind is Kind.CONTENT:
            return self._encoder.feed(piece.octets) if self._encoder else piece.octets
        if piece.kind is Kind.DELIMITER:
            return self._end_part() + piece.octets
        return self._begin_part(piece.kind, piece.octets)

    def _begin_part(self, kind: Kind, header: bytes) -> bytes:
        if kind is Kind.UNOPENED or transfer_encoding(header) != b"binary":
            return header
        if kind is Kind.COMPOSITE:
            return _declare(header, b"8bit")
        self._encoder = _Base64Lines()
        return _declare(header, b"base64")

    def _end_part(self) -> bytes:
        encoder, self._encoder = self._encoder, None
        return b"" if encoder is None else encoder.close()


class _Base64Lines:
    """Base64 as one text whose lines CRLF divides, however the octets come."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_begun = False

    @property
    def has_lines(self) -> bool:
        """Some octets came, so there is at least one line, or will be."""
        return self._is_begun or bool(self._rest)

    def feed(self, octets: bytes) -> bytes:
        octets = self._rest + octets
        whole = len(octets) - len(octets) % _OCTETS_PER_LINE
        self._rest = octets[whole:]
        return self._write(octets[:whole])

    def close(self) -> bytes:
        return self._write(self._rest)

    def _write(self, octets: bytes) -> bytes:
        if not octets:
            return b""
        line_end = b"\r\n" if self._is_begun else b""
        self._is_begun = True
        return line_end + encode_body(octets, "base64").removesuffix(b"\r\n")


def _declare(header: bytes, transfer_encoding: bytes) -> bytes:
    """Write the encoding into the field, and into others that contradict it."""
    pieces, at = [], 0
    for named in find_transfer_encodings(header):
        pieces += [header[at : named.start], transfer_encoding]
        at = named.stop
    return b"".join([*pieces, header[at:]])
