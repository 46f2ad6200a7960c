"""How each kind of field is read: from an operator's text, or as the value it is.

The messages are predicates, as in ``values.py``. Values that are built in code pass
the same bounds, so a model that exists is one that a file could have said.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainValidator

from mta.config.values import (
    MAX_PORT,
    HostPort,
    IPAddress,
    IPNetwork,
    Rate,
    check_rate,
    format_duration,
    format_size,
    parse_address,
    parse_domain,
    parse_domain_pattern,
    parse_duration,
    parse_host,
    parse_host_port,
    parse_listen_host,
    parse_mx_pattern,
    parse_network,
    parse_rate,
    parse_ratio,
    parse_size,
)

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

DNS_PORT = 53
MAX_PATH = 4096  # PATH_MAX of Linux
MAX_TEXT = 200  # of a banner or a routed header value, in characters


def whole(low: int, high: int) -> BeforeValidator:
    """Take a whole number from ``low`` to ``high``."""

    def read(value: object) -> int:
        # bool is an int to Python, not to an operator.
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("is not a whole number; write it in digits, unquoted")
        if not low <= value <= high:
            raise ValueError(f"is out of range; it must be from {low} to {high}")
        return value

    return BeforeValidator(read)


def lasting(low: timedelta, high: timedelta) -> BeforeValidator:
    """Take a duration from ``low`` to ``high``."""

    def read(value: object) -> timedelta:
        if isinstance(value, str):
            value = parse_duration(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            raise ValueError(f"has no unit; if seconds are meant, write {value}s")
        if not isinstance(value, timedelta):
            raise ValueError("is not a time, such as 30s, 5m, 2h or 7d")
        if not low <= value <= high:
            span = f"from {format_duration(low)} to {format_duration(high)}"
            raise ValueError(f"is out of range; it must be {span}")
        return value

    return BeforeValidator(read)


def sized(low: int, high: int) -> BeforeValidator:
    """Take a number of bytes from ``low`` to ``high``."""

    def read(value: object) -> int:
        if isinstance(value, str):
            value = parse_size(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("is not a size, such as 30 MiB or 25 MB")
        if not low <= value <= high:
            span = f"from {format_size(low)} to {format_size(high)}"
            raise ValueError(f"is out of range; it must be {span}")
        return value

    return BeforeValidator(read)


def text_of(parse: Callable[[str], T]) -> Callable[[object], T]:
    """Read what is only ever written as text, also for a field that is text."""

    def read(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError("is not text; put it in quotes")
        return parse(value)

    return read


def _made(parse: Callable[[str], T], *types: type) -> PlainValidator:
    """Read text; a value of the types that are made of it passes."""
    from_text = text_of(parse)
    return PlainValidator(lambda v: v if isinstance(v, types) else from_text(v))


def _ratio(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("is not a share of 1, such as 1/20, 5% or 0.05")
    if isinstance(value, str):
        return parse_ratio(value)
    if not 0 <= value <= 1:
        raise ValueError("is not a share of 1; it must be from 0 to 1")
    return float(value)


def _rate(value: object) -> Rate:
    if isinstance(value, Rate):
        return check_rate(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"has no period; write {value}/minute, if that is meant")
    if not isinstance(value, str):
        raise ValueError("is not a rate, such as 10/s, 100/minute or 5000/day")
    return parse_rate(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false; write one of them, unquoted")
    return value


def or_word(word: str) -> BeforeValidator:
    """Take true, false or one word for something between or beyond them."""

    def read(value: object) -> bool | str:
        if isinstance(value, bool) or value == word:
            return value
        raise ValueError(f"is none of true, false and {word}")

    return BeforeValidator(read)


def _file_path(text: str) -> str:
    # Every process must find the same file, whatever folder it runs in.
    if not text.startswith("/") or "\0" in text or len(text) > MAX_PATH:
        raise ValueError("is not an absolute path, such as /etc/mta/tls/mail.pem")
    return text


def _certificate_name(text: str) -> str:
    star, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    return star + parse_domain(name)


def _callout_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.fragment:
        raise ValueError("is not a web address, such as https://auth.example.com/smtp")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("has blanks, or characters beyond ASCII; write them as %20")
    if url.username is not None:
        raise ValueError("is not a web address without a name and a password in it")
    return text


def _line(text: str) -> str:
    if not text or len(text) > MAX_TEXT or not (text.isascii() and text.isprintable()):
        raise ValueError(f"is not a line of at most {MAX_TEXT} ASCII characters")
    return text


def _header_name(text: str) -> str:
    # RFC 5322 §3.6.8: printable ASCII but the colon; a blank is none of it.
    name = text.strip().lower()
    printable = name.isascii() and name.isprintable()
    if not name or len(name) > MAX_TEXT or not printable or set(name) & {":", " "}:
        raise ValueError("is not the name of a header field, such as X-Campaign")
    return name


def _header_value(text: str) -> str:
    value = text.strip()
    if not value or len(value) > MAX_TEXT or not value.isprintable():
        raise ValueError(f"is not a line of at most {MAX_TEXT} characters")
    return value


def _nameserver(text: str) -> HostPort:
    server = parse_host_port(text, DNS_PORT)
    parse_address(server.host)  # a nameserver's name could not be looked up
    return server


def frozen_mapping(value: Mapping[K, V]) -> Mapping[K, V]:
    """Make a copy that cannot be changed."""
    return MappingProxyType(dict(value))


Boolean = Annotated[bool, BeforeValidator(_boolean)]
FilePath = Annotated[str, BeforeValidator(text_of(_file_path))]
CertificateName = Annotated[str, BeforeValidator(text_of(_certificate_name))]
CalloutUrl = Annotated[str, BeforeValidator(text_of(_callout_url))]
ListenPort = Annotated[int, whole(0, MAX_PORT)]  # 0: any free one
RemotePort = Annotated[int, whole(1, MAX_PORT)]
Ratio = Annotated[float, PlainValidator(_ratio)]
RateValue = Annotated[Rate, PlainValidator(_rate)]
ListenHost = Annotated[str, BeforeValidator(text_of(parse_listen_host))]
Host = Annotated[str, BeforeValidator(text_of(parse_host))]
Domain = Annotated[str, BeforeValidator(text_of(parse_domain))]
DomainPattern = Annotated[str, BeforeValidator(text_of(parse_domain_pattern))]
MxPattern = Annotated[str, BeforeValidator(text_of(parse_mx_pattern))]
Line = Annotated[str, BeforeValidator(text_of(_line))]
HeaderName = Annotated[str, BeforeValidator(text_of(_header_name))]
HeaderValue = Annotated[str, BeforeValidator(text_of(_header_value))]
Address = Annotated[IPAddress, _made(parse_address, IPv4Address, IPv6Address)]
Network = Annotated[IPNetwork, _made(parse_network, IPv4Network, IPv6Network)]
Nameserver = Annotated[HostPort, _made(_nameserver, HostPort)]
FrozenMapping = AfterValidator(frozen_mapping)
