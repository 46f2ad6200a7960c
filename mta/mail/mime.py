"""MIME parts as bytes: transfer encodings, parameters, multiparts.

Boundaries hold ``=_``, which neither quoted-printable nor base64 can produce, and a
random token, which no content can have foreseen.

RFC 2045 §6 (encodings), RFC 2046 §5.1 (multipart), RFC 2231 (parameters).
"""

import re
from base64 import encodebytes
from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass

from mta.mail.header import MAX_LINE_CHARS
from mta.mail.lines import canonical_lines

TRANSFER_ENCODINGS = frozenset({"7bit", "8bit", "quoted-printable", "base64"})

_TOKEN = re.compile(r"[A-Za-z0-9!#$&.+^_`{|}~-]{1,60}")
_BEYOND_ASCII = bytes(range(128, 256))
_NOT_7BIT = re.compile(rb"[\x00\x80-\xff]")
_ATTRIBUTE_CHARS = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`|~"
)
_SECTION_CHARS = 50  # of a parameter's value per line


@dataclass(frozen=True, slots=True)
class Part:
    """A MIME entity: the fields that describe it, and its encoded body."""

    header: bytes
    body: bytes


def make_multipart(
    subtype: str, parts: Sequence[Part], token: str, *, root_type: str = ""
) -> Part:
    """Join parts into one.

    Args:
        token: What no part can hold.
        root_type: The media type of the first part; ``related`` has to name it
            (RFC 2387 §3.1).
    """
    boundary = f"=_{subtype[:3]}_{token}"
    root = f'; type="{root_type}"' if root_type else ""
    header = (
        f'Content-Type: multipart/{subtype}{root};\r\n boundary="{boundary}"\r\n'
    ).encode()
    delimiter = f"--{boundary}".encode()
    pieces: list[bytes] = []
    for part in parts:
        pieces += (delimiter, b"\r\n", part.header, b"\r\n", part.body, b"\r\n")
    return Part(header, b"".join([*pieces, delimiter, b"--\r\n"]))


_LONG_END = re.compile(rb"^(.{74,75})(=20|=09)$", re.MULTILINE)


def encode_body(content: bytes, transfer_encoding: str) -> bytes:
    """Encode a body.

    Args:
        content: For 7bit, 8bit and quoted-printable, text with canonical lines.
        transfer_encoding: One of ``TRANSFER_ENCODINGS``.
    """
    if transfer_encoding == "base64":
        return encodebytes(content).replace(b"\n", b"\r\n")
    if transfer_encoding == "quoted-printable":
        # It ends soft breaks like the first line, and with LF if there is only one.
        encoded = b2a_qp(content, istext=True).replace(b"\r\n", b"\n")
        # It does not count what a blank at a line's end becomes (RFC 2045 §6.7).
        encoded = _LONG_END.sub(rb"\1=\n\2", encoded)
        return encoded.replace(b"\n", b"\r\n")
    return content


def choose_text_encoding(text: bytes) -> str:
    """Pick 7bit if the text allows it, else the shorter of the other two."""
    if fits_encoding(text, "7bit"):
        return "7bit"
    beyond = len(text) - len(text.translate(None, _BEYOND_ASCII))
    return "quoted-printable" if 6 * beyond < len(text) else "base64"


def fits_encoding(text: bytes, transfer_encoding: str) -> bool:
    """Whether text may travel in this encoding; lines must be short in some."""
    if transfer_encoding not in ("7bit", "8bit"):
        return True
    if b"\x00" in text or max(map(len, text.split(b"\r\n"))) > MAX_LINE_CHARS:
        return False
    return transfer_encoding == "8bit" or not _NOT_7BIT.search(text)


def canonical_text(text: bytes) -> bytes:
    """Bring line ends to CRLF; unlike a message, a part may end without one."""
    canonical = canonical_lines(text)
    return (
        canonical if text.endswith((b"\n", b"\r")) else canonical.removesuffix(b"\r\n")
    )


def format_parameter(name: str, value: str) -> str:
    r"""Write a parameter, folded before it: ``";\r\n name=value"``.

    Values beyond ASCII, and long ones, take the form of RFC 2231.
    """
    if _TOKEN.fullmatch(value):
        return f";\r\n {name}={value}"
    if value.isascii() and len(value) <= _SECTION_CHARS:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f';\r\n {name}="{escaped}"'
    encoded = [
        chr(octet) if octet in _ATTRIBUTE_CHARS else f"%{octet:02X}"
        for octet in value.encode()
    ]
    sections = [""]
    for char in encoded:
        if len(sections[-1]) + len(char) > _SECTION_CHARS:
            sections.append("")
        sections[-1] += char
    sections[0] = f"utf-8''{sections[0]}"
    if len(sections) == 1:
        return f";\r\n {name}*={sections[0]}"
    return "".join(
        f";\r\n {name}*{index}*={section}" for index, section in enumerate(sections)
    )
