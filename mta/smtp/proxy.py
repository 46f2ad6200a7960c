"""HAProxy's PROXY protocol: who a load balancer speaks for, before anything else.

Its header precedes the first octet of the connection, TLS included. Versions 1 (a
line of text) and 2 (binary) are told apart by their first octet; that one must come
is for the listener to know, and that only proxies are believed is for it to see to.
A connection with a bad header is worth nothing: the octets after it cannot be found.

No more than one header is held: ``MAX_V1_HEADER`` or 16 + ``MAX_V2_BLOCK`` octets,
and what came with its last one.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, §2.1 and §2.2.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, NoReturn

MAX_V1_HEADER = 107  # octets, CRLF included; §2.1
# Octets after the fixed part. §2.2 lets them be 65535; addresses take 216 at most, and
# a proxy that says more than this about one client means us no good.
MAX_V2_BLOCK = 4096

_V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16  # octets: signature, version and command, family, length
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC: Final = frozenset({0x00, 0x01})
_INET, _INET6, _UNIX = 0x11, 0x21, 0x31
# Family and "stream" to the octets of two addresses, with ports where there are any.
_V2_ADDRESSES: Final = {0x00: 0, 0x01: 0, _INET: 12, _INET6: 36, _UNIX: 216}

_TLV_CRC32C, _TLV_SSL = 0x03, 0x20
_SSL_FIXED = 5  # octets: what the client did, and how its certificate was judged
_CLIENT_SSL = 0x01

# Any beginning of a decimal 0 to 255 is one itself; the same holds for ports. That
# is what lets one pattern match lines and beginnings of lines.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PORT = (
    "(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}"
    "|[1-5][0-9]{4}|[1-9][0-9]{0,3}|0)"
)
_INET_TEXT = (_OCTET, r"\.", _OCTET, r"\.", _OCTET, r"\.", _OCTET)
_INET6_TEXT = ("[0-9A-Fa-f:.]++",)


def _beginning_of(*parts: str) -> str:
    """Compose a pattern for all that a text of these parts may begin with.

    Args:
        parts: Patterns; the beginnings of what each of them matches, it matches too.
    """
    pattern = ""
    for part in reversed(parts):
        pattern = f"(?:{part}{pattern})?"
    return pattern


def _beginning_of_line(family: str, address: tuple[str, ...]) -> str:
    start = (*f"PROXY {family} ", *address, " ", *address, " ")
    return _beginning_of(*start, _PORT, " ", _PORT, "\r", "\n")


_V1 = re.compile(
    "|".join(
        (
            _beginning_of_line("TCP4", _INET_TEXT),
            _beginning_of_line("TCP6", _INET6_TEXT),
            # What follows is to be ignored (§2.1).
            _beginning_of(*"PROXY UNKNOWN", "(?: [ -~]*+)?", "\r", "\n"),
        )
    ).encode()
)


class BadProxyHeader(ValueError):
    """This connection does not begin with a PROXY header; the text is for our log."""


@dataclass(frozen=True, slots=True)
class ProxiedFrom:
    """What a proxy says of its client.

    Attributes:
        source: The client's IP address; an IPv4 address is text of IPv4, however it
            was sent. None: the connection is the proxy's own, say for a health check,
            or it could not tell.
        source_port: 0 if there is no ``source``.
        destination: Where the client connected to; None if there is no ``source``.
        destination_port: 0 if there is no ``source``.
        rest: Octets that came after the header.
        is_tls: The client used TLS with the proxy.
    """

    source: str | None
    source_port: int
    destination: str | None
    destination_port: int
    rest: bytes = field(repr=False)  # a client's login may be in it
    is_tls: bool


class ProxyReader:
    """Reads one header, however it is cut into pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_over = False

    def feed(self, data: bytes) -> ProxiedFrom | None:
        """Take octets from the network; None means that more are needed.

        Raises:
            BadProxyHeader: They are no header. Said at the first octet that cannot be
                part of one; but IPv6 addresses of version 1 and TLVs of version 2
                are judged when all of the header is here.
            RuntimeError: The header was read before, or was bad.
        """
        if self._is_over:
            raise RuntimeError("a connection has one PROXY header")
        self._buffer += data
        try:
            found = self._read()
        except BadProxyHeader:
            self._is_over = True
            self._buffer.clear()
            raise
        self._is_over = found is not None
        return found

    def _read(self) -> ProxiedFrom | None:
        if not self._buffer:
            return None
        return self._read_v1() if self._buffer[0] == b"P"[0] else self._read_v2()

    def _read_v1(self) -> ProxiedFrom | None:
        end = self._buffer.find(b"\n", 0, MAX_V1_HEADER) + 1
        line = bytes(self._buffer[: end or MAX_V1_HEADER])
        if _V1.fullmatch(line) is None:
            _refuse("not a line of version 1")
        if end:
            return _parse_v1(line, bytes(self._buffer[end:]))
        if len(line) == MAX_V1_HEADER:
            _refuse(f"no end within {MAX_V1_HEADER} octets")
        return None

    def _read_v2(self) -> ProxiedFrom | None:
        fixed = bytes(self._buffer[:_V2_FIXED])
        _check_v2(fixed)
        if len(fixed) < _V2_FIXED:
            return None
        end = _V2_FIXED + int.from_bytes(fixed[14:])
        if len(self._buffer) < end:
            return None
        return _parse_v2(bytes(self._buffer[:end]), bytes(self._buffer[end:]))


def _parse_v1(line: bytes, rest: bytes) -> ProxiedFrom:
    """Read a line that matches ``_V1``, and ends."""
    words = line.decode("ascii").split()
    if words[1] == "UNKNOWN":
        return _not_said(rest)
    read = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
    try:
        source, destination = read(words[2]), read(words[3])
    except ValueError:
        _refuse("not an IPv6 address")
    return ProxiedFrom(
        source=_format(source),
        source_port=int(words[4]),
        destination=_format(destination),
        destination_port=int(words[5]),
        rest=rest,
        is_tls=False,
    )


def _check_v2(fixed: bytes) -> None:
    """Refuse what cannot begin the fixed part, which may be incomplete."""
    if not fixed.startswith(_V2_SIGNATURE[: len(fixed)]):
        _refuse("neither version 1 nor version 2")
    if len(fixed) > 12 and fixed[12] not in {_LOCAL, _PROXY}:
        _refuse("neither version 2 nor a command of it")
    # LOCAL: the family, too, is to be ignored (§2.2).
    is_proxied = fixed[12:13] == bytes([_PROXY])
    if is_proxied and len(fixed) > 13 and fixed[13] not in _V2_ADDRESSES:
        _refuse("no family of addresses that streams have")
    length = int.from_bytes(fixed[14:].ljust(2, b"\0"))
    if length > MAX_V2_BLOCK:
        _refuse(f"more than {MAX_V2_BLOCK} octets")
    if is_proxied and len(fixed) == _V2_FIXED and length < _V2_ADDRESSES[fixed[13]]:
        _refuse("too short for its addresses")


def _parse_v2(header: bytes, rest: bytes) -> ProxiedFrom:
    """Read a header that is whole, and whose fixed part was checked."""
    family = header[13]
    # How long the addresses of no family are, nobody knows; so no TLV is found either.
    if header[12] == _LOCAL or family in _UNSPEC:
        return _not_said(rest)
    end = _V2_FIXED + _V2_ADDRESSES[family]
    is_tls = _read_tlvs(header, end)
    if family == _UNIX:  # the client is a process on the proxy's host
        return _not_said(rest, is_tls=is_tls)
    addresses, ports = header[_V2_FIXED : end - 4], header[end - 4 : end]
    half = len(addresses) // 2
    return ProxiedFrom(
        source=_format(ipaddress.ip_address(addresses[:half])),
        source_port=int.from_bytes(ports[:2]),
        destination=_format(ipaddress.ip_address(addresses[half:])),
        destination_port=int.from_bytes(ports[2:]),
        rest=rest,
        is_tls=is_tls,
    )


def _read_tlvs(header: bytes, at: int) -> bool:
    """Check the TLVs from ``at`` on; tell whether one says that the client used TLS."""
    found: dict[int, bytes] = {}
    while at < len(header):
        kind, start = header[at], at + 3
        at = start + int.from_bytes(header[start - 2 : start])
        if at > len(header):
            _refuse("a TLV without an end")
        if kind in {_TLV_CRC32C, _TLV_SSL}:
            if kind in found:
                _refuse("a TLV that comes twice")
            found[kind] = header[start:at]
            if kind == _TLV_CRC32C:
                _check_crc(header, start, at)
    ssl = found.get(_TLV_SSL)
    if ssl is None:
        return False
    if len(ssl) < _SSL_FIXED:
        _refuse("a TLV about TLS that is too short")
    return bool(ssl[0] & _CLIENT_SSL)


def _check_crc(header: bytes, start: int, end: int) -> None:
    """Check the sum of all octets, its own four counted as zeros (§2.2.3)."""
    blanked = header[:start] + bytes(end - start) + header[end:]
    if header[start:end] != crc32c(blanked).to_bytes(4):
        _refuse("a checksum that is wrong")


def _not_said(rest: bytes, *, is_tls: bool = False) -> ProxiedFrom:
    return ProxiedFrom(None, 0, None, 0, rest, is_tls)


def _format(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


def _refuse(text: str) -> NoReturn:
    raise BadProxyHeader(f"bad PROXY header: {text}")


def _crc_of(octet: int) -> int:
    crc = octet
    for _ in range(8):
        # The polynomial 0x1EDC6F41, its bits in reverse.
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_CRC_TABLE: Final = tuple(map(_crc_of, range(256)))


def crc32c(data: bytes) -> int:
    """Compute CRC-32C, Castagnoli's, which the standard library does not have."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc = crc >> 8 ^ _CRC_TABLE[crc & 0xFF ^ octet]
    return crc ^ 0xFFFFFFFF
