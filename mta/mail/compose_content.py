"""The octets of a part, from whichever way the JSON gives them.

Content is a string, with an encoding or not, or a ``data:`` URI. Nothing is ever
fetched: a path or an address from a stranger would read our files and our network.

RFC 2397 (data URIs), RFC 4648 §5 (the URL's base64).
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from mta.mail.compose_input import Node

_BLANK = re.compile(r"\s+", re.ASCII)
_URL_SAFE = str.maketrans("-_", "+/")
_CHARSETS = {
    "utf8": "utf-8",
    "utf-8": "utf-8",
    "ascii": "ascii",
    "us-ascii": "ascii",
    "latin1": "latin-1",
    "binary": "latin-1",
}
SOURCES = ("content", "path", "href")


def read_content(members: Mapping[str, Node], owner: Node) -> tuple[bytes, str]:
    """Read the octets of an object with ``content``, or ``path`` or ``href``.

    Returns:
        The octets, and the media type of a data URI or ``""``.

    Raises:
        Rejected: None or more than one of the three, an encoding that is none
            or does not fit the content, or a path that is no data URI.
    """
    given = [members[name] for name in SOURCES if name in members]
    if len(given) != 1:
        raise owner.refuse("must have exactly one of content, path and href")
    if "content" not in members:
        return _read_data_uri(given[0])
    return decode_content(given[0], members.get("encoding")), ""


def decode_content(node: Node, encoding: Node | None) -> bytes:
    """Decode a string by the name of its encoding, UTF-8 if there is none."""
    text = node.text()
    name = encoding.line(40).lower() if encoding is not None else "utf-8"
    try:
        if name == "base64":
            return _decode_base64(text)
        if name == "hex":
            return bytes.fromhex(text)
        if name in _CHARSETS:
            return text.encode(_CHARSETS[name])
    except ValueError as error:
        raise node.refuse(f"is not {name}") from error
    raise (encoding or node).refuse("must be base64, hex, utf-8, ascii or latin1")


def _read_data_uri(node: Node) -> tuple[bytes, str]:
    uri = node.text()
    if uri[:5].lower() != "data:" or "," not in uri:
        raise node.refuse("must be a data: URI; files and addresses are not read")
    media_type, _, data = uri[5:].partition(",")
    if not media_type.lower().endswith(";base64"):
        return unquote_to_bytes(data), media_type
    try:
        return _decode_base64(unquote_to_bytes(data).decode("ascii")), media_type[:-7]
    except ValueError as error:
        raise node.refuse("is not base64") from error


def _decode_base64(text: str) -> bytes:
    """Decode as JavaScript does: either alphabet, any blanks, padding or none."""
    clean = _BLANK.sub("", text).translate(_URL_SAFE).rstrip("=")
    return b64decode(clean + "=" * (-len(clean) % 4), validate=True)
