"""The header section: fields as they came, byte for byte.

What we do not change leaves as it entered, in its order and with its folding, so
that signatures made before us still hold. A line in the section that is no field
stays where it is, too.

RFC 5322 §2.2 (fields), §3.6.8 (names), §4.5 (blanks before the colon).
"""

import re
from collections.abc import Collection, Iterator
from typing import Self

from mta.mail.words import decode_words, encode_words

MAX_HEADER_BYTES = 1 << 20  # ZoneMTA takes 2 MiB; nobody sends 100 KiB in good faith
MAX_LINE_CHARS = 998  # §2.1.1, without CRLF
FOLD_CHARS = 76  # §2.1.1 wants 78; RFC 2047 §2 wants 76 beside encoded words

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_NAME = re.compile(r"[!-9;-~]{1,76}")
_LINE_END = re.compile(rb"\r\n(?![ \t])")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WORD = re.compile(r"[ \t]*[^ \t]+")
_BLANKS = bytes.maketrans(b"\r\n\x00", b"   ")


class HeaderTooLarge(ValueError):
    """The header section does not end within its limit."""


class HeaderSection:
    """The fields of a message, in order; ``bytes()`` gives the section back.

    Names compare without regard to case. Line ends are CRLF; the empty line that
    ends the section is not part of it.
    """

    def __init__(self) -> None:
        self._fields: list[tuple[str, bytes]] = []

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Take a section apart; ``bytes(HeaderSection.parse(raw)) == raw``.

        Raises:
            ValueError: An empty line in ``raw``, which would end the section.
        """
        if raw.startswith(b"\r\n") or b"\r\n\r\n" in raw:
            raise ValueError("an empty line ends a header section")
        section = cls()
        start = 0
        for match in _LINE_END.finditer(raw):
            section._fields.append(_split_name(raw[start : match.end()]))
            start = match.end()
        if start < len(raw):
            section._fields.append(_split_name(raw[start:]))
        return section

    def __bytes__(self) -> bytes:
        return b"".join(raw for _, raw in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: str) -> bool:
        return any(True for _ in self._find(name))

    def __repr__(self) -> str:
        return f"HeaderSection({', '.join(name for name, _ in self._fields[:20])})"

    def fields(self) -> Iterator[tuple[str, bytes]]:
        """Each field's name in lower case, empty if it is none, and its bytes."""
        return iter(self._fields)

    def count(self, name: str) -> int:
        return sum(1 for _ in self._find(name))

    def get(self, name: str) -> str | None:
        """The value of the topmost field of that name, unfolded and decoded."""
        raw = next(self._find(name), None)
        return None if raw is None else _decode(raw)

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of that name, unfolded and decoded."""
        return [_decode(raw) for raw in self._find(name)]

    def select(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        """Fields of these lower-case names from top to bottom, values as of `get`."""
        return ((key, _decode(raw)) for key, raw in self._fields if key in names)

    def raw_values(self, name: str) -> list[str]:
        """The values unfolded but not decoded, as address parsers want them.

        What is not UTF-8 (RFC 6532) becomes U+FFFD, which no address may hold.
        """
        return [_unfold(raw).decode("utf-8", "replace") for raw in self._find(name)]

    def add(self, name: str, value: str) -> None:
        """Write a field on top; see `format_field`."""
        self._fields.insert(0, (name.lower(), format_field(name, value)))

    def append(self, name: str, value: str) -> None:
        """Write a field at the bottom; see `format_field`."""
        field = format_field(name, value)
        if self._fields and not self._fields[-1][1].endswith(b"\r\n"):
            last_name, last = self._fields[-1]
            self._fields[-1] = (last_name, last + b"\r\n")
        self._fields.append((name.lower(), field))

    def remove(self, name: str) -> int:
        """Take out all fields of that name; return how many there were."""
        wanted = name.lower()
        kept = [field for field in self._fields if field[0] != wanted]
        removed = len(self._fields) - len(kept)
        self._fields = kept
        return removed

    def _find(self, name: str) -> Iterator[bytes]:
        wanted = name.lower()
        return (raw for key, raw in self._fields if key == wanted)


class HeaderSplitter:
    """Finds where the header section of a stream ends; wants canonical lines.

    If the first line is no field there is no header section, and everything is
    body: a message without a header is legal to submit (RFC 6409 §8).

    Attributes:
        header: The section without the empty line; whole once `is_complete`.
    """

    def __init__(self, max_bytes: int = MAX_HEADER_BYTES) -> None:
        self.header = b""
        self.is_complete = False
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._is_checked = False

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; return what of it, and of the chunks before, is body.

        Raises:
            HeaderTooLarge: More than ``max_bytes`` and no empty line yet.
        """
        if self.is_complete:
            return chunk
        searched = max(0, len(self._buffer) - 3)
        self._buffer += chunk
        if self._lacks_header(searched):
            return self._finish(0, 0)
        if self._buffer.startswith(b"\r\n"):
            return self._finish(0, 2)
        end = self._buffer.find(b"\r\n\r\n", searched)
        if end + 2 > self._max_bytes or (
            end < 0 and len(self._buffer) > self._max_bytes
        ):
            raise HeaderTooLarge(f"header section over {self._max_bytes} bytes")
        return b"" if end < 0 else self._finish(end + 2, end + 4)

    def close(self) -> bytes:
        """End the stream: without an empty line all of it was header.

        Returns:
            The rest of the body: empty, unless the only line was no field.
        """
        if self.is_complete:
            return b""
        if self._buffer and not _FIELD.match(self._buffer):
            return self._finish(0, 0)
        return self._finish(len(self._buffer), len(self._buffer))

    def _lacks_header(self, searched: int) -> bool:
        """Whether the first line, once it is there, is something else than a field."""
        if self._is_checked or self._buffer.find(b"\r\n", searched) < 0:
            return False
        self._is_checked = True
        return not self._buffer.startswith(b"\r\n") and not _FIELD.match(self._buffer)

    def _finish(self, header_end: int, body_start: int) -> bytes:
        self.is_complete = True
        self.header = bytes(self._buffer[:header_end])
        body = bytes(self._buffer[body_start:])
        self._buffer = bytearray()
        return body


def format_field(name: str, value: str) -> bytes:
    """Write one field, folded at its blanks, CRLF included.

    A value beyond ASCII becomes encoded words as a whole; so this is for
    unstructured fields and for structured ones in ASCII.

    Raises:
        ValueError: A name that is none, a control character in the value, a
            word that no line can hold, or a lone surrogate.
    """
    if not is_field_name(name):
        raise ValueError(f"not a field name: {name[:80]!r}")
    if _FORBIDDEN.search(value):
        raise ValueError(f"a control character in the value of {name}")
    value = value.strip(" \t")
    if not value.isascii():
        value = encode_words(value)
    lines = [f"{name}:"]
    for word in _WORD.findall(" " + value):
        if len(lines[-1]) + len(word) <= FOLD_CHARS or lines[-1] == f"{name}:":
            lines[-1] += word
        else:
            lines.append(word)
    if max(map(len, lines)) > MAX_LINE_CHARS:
        raise ValueError(f"a word in the value of {name} is longer than a line")
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def is_field_name(text: str) -> bool:
    """Whether text may name a field (RFC 5322 §3.6.8), in a length we write."""
    return _NAME.fullmatch(text) is not None


def _split_name(raw: bytes) -> tuple[str, bytes]:
    match = _FIELD.match(raw)
    return (match[1].decode("ascii").lower() if match else "", raw)


def _unfold(raw: bytes) -> bytes:
    """The value of a field: folds undone, other line ends made blanks."""
    return raw.partition(b":")[2].replace(b"\r\n", b"").translate(_BLANKS).strip()


def _decode(raw: bytes) -> str:
    """The value of a field for display: UTF-8, else the Latin-1 of old mailers."""
    value = _unfold(raw)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return decode_words(text).strip()
