"""The attributes of XCLIENT and XFORWARD, by which a trusted client speaks for another.

Whether the client is trusted is decided elsewhere; here its words are read. They are
checked all the same, because what it says may be what *its* client said: HELO names
and logins go into our logs and into Received fields.

Not an RFC: Postfix's XCLIENT_README and XFORWARD_README; RFC 3461 §4 (xtext).
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from mta.smtp.xtext import decode_xtext

XCLIENT_NAMES: Final = (
    "NAME",
    "ADDR",
    "PORT",
    "PROTO",
    "HELO",
    "LOGIN",
    "DESTADDR",
    "DESTPORT",
    "REVERSE_NAME",
)
XFORWARD_NAMES: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")

# Decoded characters; as long as the longest name of a host (RFC 5321 §4.5.3.1.2).
MAX_VALUE = 255

# Not known, for good or for now: written like this, without xtext.
_NOT_KNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})

_PORT = re.compile(r"[0-9]{1,5}")
_WORD = re.compile(r"[!-~]++")


def parse_attributes(argument: bytes, names: Collection[str]) -> dict[str, str | None]:
    """Read ``NAME=client.test ADDR=192.0.2.1``.

    Args:
        argument: What follows the verb.
        names: Those that the verb takes: ``XCLIENT_NAMES`` or ``XFORWARD_NAMES``.

    Returns:
        Upper-case name to value, decoded and in normal form: addresses as text of
        their family (IPv4 for an IPv4 address that was mapped into IPv6), ports in
        decimal, PROTO and SOURCE in upper case. None: the client does not know.

    Raises:
        ValueError: With a text for the client that quotes nothing of its own.
    """
    try:
        text = argument.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError("Attributes are ASCII, and the rest as xtext") from None
    attributes: dict[str, str | None] = {}
    for pair in filter(None, text.split(" ")):
        name, equals, value = pair.partition("=")
        name = name.upper()
        if not equals:
            raise ValueError("Attributes are written as NAME=value")
        if name not in names:
            raise ValueError("Attribute not recognized")
        if name in attributes:
            raise ValueError(f"{name} comes twice")
        attributes[name] = _read(name, value)
    if not attributes:
        raise ValueError("At least one attribute is needed")
    return attributes


def _read(name: str, value: str) -> str | None:
    if value.upper() in _NOT_KNOWN:
        return None
    kind = _KINDS.get(name, _TEXT)
    try:
        text = decode_xtext(value)
        if 0 < len(text) <= MAX_VALUE and text.isprintable():
            return kind.read(text)
    except ValueError:
        pass
    raise ValueError(f"{name} takes {kind.takes}")


def _read_address(text: str) -> str:
    if "%" in text:
        raise ValueError("a scope means nothing on another host")
    if text[:5] in {"IPv6:", "IPV6:", "ipv6:"}:
        return _format(ipaddress.IPv6Address(text[5:]))
    return _format(ipaddress.ip_address(text))


def _format(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


def _read_port(text: str) -> str:
    if _PORT.fullmatch(text) is None or int(text) > 0xFFFF:
        raise ValueError("not a port")
    return str(int(text))


def _read_word(text: str) -> str:
    if _WORD.fullmatch(text) is None:
        raise ValueError("not a word")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.isascii() or text.upper() not in words:
            raise ValueError("not one of them")
        return text.upper()

    return read


class _Kind(NamedTuple):
    """What an attribute takes, for the client, and how that is read (ValueError)."""

    takes: str
    read: Callable[[str], str]


_TEXT = _Kind(f"1 to {MAX_VALUE} printable characters as xtext", str)
_ONE_WORD = _Kind(f"one word of ASCII, {MAX_VALUE} characters at most", _read_word)
_ADDRESS = _Kind("an IPv4 address, or IPv6: and an IPv6 address", _read_address)
_A_PORT = _Kind("a number from 0 to 65535", _read_port)

_KINDS: Final[Mapping[str, _Kind]] = {
    "NAME": _ONE_WORD,
    "REVERSE_NAME": _ONE_WORD,
    "HELO": _ONE_WORD,
    "ADDR": _ADDRESS,
    "DESTADDR": _ADDRESS,
    "PORT": _A_PORT,
    "DESTPORT": _A_PORT,
    "PROTO": _Kind("SMTP, ESMTP or LMTP", _one_of("SMTP", "ESMTP", "LMTP")),
    "SOURCE": _Kind("LOCAL or REMOTE", _one_of("LOCAL", "REMOTE")),
}
