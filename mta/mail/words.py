"""Encoded words: text beyond ASCII inside header fields.

Decoding serves display and display names only. Addresses are cut out of a field
before its words are decoded, so an encoded word can never add a recipient.

RFC 2047. We also read what RFC 2047 §2 forbids but mailers write: words longer
than 75 characters, and characters split over adjacent words.
"""

import codecs
import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64

# Payloads hold no "?", so scans from different starts never overlap: linear.
_WORD = re.compile(r"=\?([!-<>@-~]{1,40})\?([bBqQ])\?([!->@-~ ]*)\?=")
_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PRINTABLE = re.compile(r"[!-~]+")
# RFC 2047 §5 (3): what a word may hold as itself even within a display name.
_PLAIN = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
)
# Python's own codecs that are no charset, and quadratic ones among them.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"}
)
# "=?UTF-8?Q?" and "?=" take 12. Shorter than RFC 2047's 75, so that the first
# word still fits beside the field's name.
_WORD_CHARS = 52
_PAYLOAD_CHARS = _WORD_CHARS - 12


def decode_words(text: str) -> str:
    """Replace encoded words by what they say; others stay as they are.

    Control characters and line separators, decoded or not, become one space:
    the result is fit for a log line and for a web page's text.
    """
    return _CONTROL.sub(" ", _replace_words(text) if "=?" in text else text)


def encode_words(text: str) -> str:
    """Write text as encoded words separated by single spaces.

    Q where most of it stays readable, else B. No character is split over two words.

    Raises:
        UnicodeEncodeError: a lone surrogate.
    """
    characters = [char.encode() for char in text]
    if 3 * sum(len(char) > 1 for char in characters) <= len(characters):
        pieces = _pack([_q_encode(char) for char in characters], _PAYLOAD_CHARS)
        return " ".join(f"=?UTF-8?Q?{piece.decode()}?=" for piece in pieces)
    pieces = _pack(characters, _PAYLOAD_CHARS * 3 // 4)
    return " ".join(
        f"=?UTF-8?B?{b2a_base64(piece, newline=False).decode()}?=" for piece in pieces
    )


def is_printable_ascii(text: str) -> bool:
    """Visible ASCII only: no space, no control character, not empty."""
    return _PRINTABLE.fullmatch(text) is not None


def _replace_words(text: str) -> str:
    """Decode runs of adjacent words; white space between two words vanishes."""
    out: list[str] = []
    run: list[tuple[str, bytes]] = []
    position = 0
    for match in _WORD.finditer(text):
        data = _payload(match[2], match[3])
        between = text[position : match.start()]
        if data is None or not _is_charset(match[1]):
            out += [_join(run), between, match[0]]
            run = []
        elif run and not between.strip():
            run.append((match[1], data))
        else:
            out += [_join(run), between]
            run = [(match[1], data)]
        position = match.end()
    return "".join([*out, _join(run), text[position:]])


def _payload(encoding: str, payload: str) -> bytes | None:
    if encoding in "qQ":
        raw = payload.replace("_", " ").encode("ascii")
        return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), raw)
    try:
        return a2b_base64(payload + "=" * (-len(payload) % 4))
    except BinasciiError:
        return None


def _is_charset(name: str) -> bool:
    try:
        info = codecs.lookup(name.partition("*")[0])  # RFC 2231 §5: charset*language
    except (LookupError, ValueError):
        return False
    return info.name not in _NO_CHARSETS and info._is_text_encoding


def _join(run: list[tuple[str, bytes]]) -> str:
    """Decode a run of words, joining neighbours of one charset first."""
    parts: list[str] = []
    start = 0
    for index in range(1, len(run) + 1):
        if index == len(run) or run[index][0].lower() != run[start][0].lower():
            data = b"".join(piece for _, piece in run[start:index])
            parts.append(data.decode(run[start][0].partition("*")[0], "replace"))
            start = index
    # A charset may still say half of a surrogate pair, which is no character.
    return "".join(parts).encode("utf-8", "replace").decode("utf-8")


def _q_encode(char: bytes) -> bytes:
    if char == b" ":
        return b"_"
    if len(char) == 1 and char[0] in _PLAIN:
        return char
    return b"".join(b"=%02X" % octet for octet in char)


def _pack(pieces: list[bytes], limit: int) -> list[bytes]:
    """Join pieces, each shorter than ``limit``, into strings of at most that."""
    packed: list[bytes] = []
    current = bytearray()
    for piece in pieces:
        if len(current) + len(piece) > limit:
            packed.append(bytes(current))
            current.clear()
        current += piece
    return [*packed, bytes(current)]
