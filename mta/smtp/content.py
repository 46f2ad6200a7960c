"""The content of one message on its way in, by DATA or by BDAT.

Content that is refused is read to its end all the same: of DATA the client would not
hear why before, and of BDAT not one octet may be taken for a command (RFC 3030 §2).
"""

from typing import Final

from mta.smtp import phrases
from mta.smtp.lines import ChunkReader, ContentReader, LineEndCheck
from mta.smtp.options import SessionOptions

# Octets that are refused and read; reading on is a courtesy, and has an end.
MAX_DROPPED: Final = 256 * 1024 * 1024


class Incoming:
    """What of a message has come, and whether it can be taken.

    Attributes:
        size: Octets of content so far, the dropped ones included.
        has_lines: It comes by DATA; else chunk by chunk.
        rest: What came after the content, or after the chunk.
    """

    def __init__(
        self, options: SessionOptions, *, has_lines: bool, is_binary: bool = False
    ) -> None:
        self.size = 0
        self.has_lines = has_lines
        self._limit = options.max_size
        self._reader: ContentReader | ChunkReader = (
            ContentReader(options.max_size) if has_lines else ChunkReader(0)
        )
        is_checked = options.refuses_stray_line_ends and not is_binary
        self._check = LineEndCheck() if is_checked else None
        self._refusal = b""

    @property
    def rest(self) -> bytes:
        return self._reader.rest

    @property
    def is_refused(self) -> bool:
        """It cannot be taken; nothing of it is handed on."""
        return bool(self._refusal) or self.size > self._limit

    @property
    def is_complete(self) -> bool:
        """The content has ended, or the chunk."""
        return self._reader.is_complete

    @property
    def is_last(self) -> bool:
        """There is no more to come after this."""
        return self.has_lines or getattr(self._reader, "is_last", False)

    @property
    def is_endless(self) -> bool:
        """Too much was dropped already, or is announced."""
        announced = getattr(self._reader, "left", 0)
        return self.is_refused and self.size + announced > self._limit + MAX_DROPPED

    @property
    def refusal(self) -> bytes:
        """Why it cannot be taken, for the wire."""
        return self._refusal or phrases.counted_too_big(self.size, self._limit)

    @property
    def taken(self) -> bytes:
        """The reply to a chunk that is not the last."""
        return phrases.chunk_taken(getattr(self._reader, "length", 0))

    def open_chunk(self, length: int, *, is_last: bool) -> None:
        """Go on with a chunk of ``length`` octets."""
        self._reader = ChunkReader(length, before=self.size, is_last=is_last)
        if not self._refusal and self.size + length > self._limit:
            self.refuse(phrases.counted_too_big(self.size + length, self._limit))

    def refuse(self, reply: bytes) -> None:
        """Drop it from now on; the client hears ``reply`` at the end."""
        self._refusal = reply

    def feed(self, block: bytes) -> bytes:
        """Take octets from the network; returns those to hand on."""
        content = self._reader.feed(block)
        self.size = self._reader.size
        if self.is_refused:
            return b""
        if self._check is not None:
            self._check.feed(content)
            if self.is_complete and self.is_last:
                self._check.close()
            if self._check.has_stray:
                self.refuse(phrases.STRAY_LINE_END)
                return b""
        return content
