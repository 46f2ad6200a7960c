"""Durations, sizes, rates, shares and addresses as operators write them.

Pure text to value. Each ``parse_`` raises ValueError with the predicate alone ("is
not a time; ..."): the caller knows the subject, and whether it may be shown, for a
value may come from a secret.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple, TypeAlias

import idna

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MAX_PORT = 65_535
MAX_TENANT_CHARS = 100
MAX_DOMAIN_CHARS = 253  # RFC 1035 §2.3.4, without the root and the first length

_UNITS_OF_TIME = {
    timedelta(milliseconds=1): "ms millisecond milliseconds",
    timedelta(seconds=1): "s sec second seconds",
    timedelta(minutes=1): "m min minute minutes",
    timedelta(hours=1): "h hour hours",
    timedelta(days=1): "d day days",
    timedelta(weeks=1): "w week weeks",
}
_TIMES = {
    name: unit for unit, names in _UNITS_OF_TIME.items() for name in names.split()
}
# What a rate counts by; the first word is how it is shown.
_PERIODS = {
    timedelta(seconds=1): "second seconds sec s",
    timedelta(minutes=1): "minute minutes min m",
    timedelta(hours=1): "hour hours h",
    timedelta(days=1): "day days d",
}
_PERIOD_OF = {
    name: period for period, names in _PERIODS.items() for name in names.split()
}
MIN_INTERVAL = timedelta(microseconds=100)  # a clock of whole microseconds does it
# As in IEC 80000-13: MB is a million bytes, MiB is 2^20. "M" alone could be either.
_SIZES = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
}
_AMOUNT = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,3}))? ?([A-Za-z]{1,12})")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_PER_CENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")
_FRACTION = re.compile(r"([0-9]{1,9}) ?/ ?([0-9]{1,9})")
_RATE = re.compile(r"([0-9]{1,9}) ?/ ?([A-Za-z]{1,12})")
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

_NO_TIME = "is not a time; write it with its unit, as in 30s, 5m, 2h or 7d"
_NO_SIZE = "is not a size; write it with its unit, as in 500 KiB, 30 MiB or 25 MB"
_NO_RATIO = "is not a share of 1; write it as in 1/20, 5% or 0.05"
_NO_RATE = "is not a rate; write COUNT/PERIOD, as in 10/s, 100/minute or 5000/day"
_NO_DOMAIN = "is not a domain name, such as mail.example.com"
_NO_ADDRESS = "is not an IP address, such as 192.0.2.10 or 2001:db8::10"
_NO_NETWORK = "is not a network, such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1"


class HostPort(NamedTuple):
    """Where something listens or is reached; IPv6 without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of something in a period, evenly spaced: no bursts."""

    count: int
    period: timedelta

    @property
    def interval(self) -> timedelta:
        """From one to the next; rounded up, so that the rate is never exceeded."""
        microseconds = self.period // timedelta(microseconds=1)
        return timedelta(microseconds=-(-microseconds // self.count))

    def __str__(self) -> str:
        return f"{self.count}/{_PERIODS[self.period].split()[0]}"


def parse_duration(text: str) -> timedelta:
    """Read ``"5s"``, ``"7 m"``, ``"1.5 hours"`` or ``"30d"``.

    Raises:
        ValueError: It has no unit or is no time at all.
    """
    match = _AMOUNT.fullmatch(text.strip())
    unit = _TIMES.get(match[3].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(_NO_TIME)
    try:
        return int(match[1]) * unit + _thousandths(match[2]) * unit / 1000
    except OverflowError:
        raise ValueError("is longer than anything lasts") from None


def parse_size(text: str) -> int:
    """Read ``"30 MiB"``, ``"25MB"`` or ``"4096 bytes"`` as a number of bytes.

    Raises:
        ValueError: It has no unit or is no size at all.
    """
    match = _AMOUNT.fullmatch(text.strip())
    unit = _SIZES.get(match[3].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(_NO_SIZE)
    return int(match[1]) * unit + _thousandths(match[2]) * unit // 1000


def parse_ratio(text: str) -> float:
    """Read ``"1/20"``, ``"5%"`` or ``"0.05"``.

    Raises:
        ValueError: It is none of these, or not from 0 to 1.
    """
    text = text.strip()
    if match := _PER_CENT.fullmatch(text):
        ratio = float(match[1]) / 100
    elif (match := _FRACTION.fullmatch(text)) and int(match[2]):
        ratio = int(match[1]) / int(match[2])
    elif _DECIMAL.fullmatch(text):
        ratio = float(text)
    else:
        raise ValueError(_NO_RATIO)
    if ratio > 1:
        raise ValueError("is more than 1, which is all there is")
    return ratio


def parse_rate(text: str) -> Rate:
    """Read ``"10/s"``, ``"100/minute"`` or ``"5000/day"``.

    Raises:
        ValueError: It is none, or one that `check_rate` refuses.
    """
    match = _RATE.fullmatch(text.strip())
    period = _PERIOD_OF.get(match[2].lower()) if match else None
    if match is None or period is None:
        raise ValueError(_NO_RATE)
    return check_rate(Rate(int(match[1]), period))


def check_rate(rate: Rate) -> Rate:
    """See that a rate is one that can be kept.

    Raises:
        ValueError: It is zero, or of a period that has no name, or its interval
            is below ``MIN_INTERVAL``.
    """
    if rate.period not in _PERIODS:
        raise ValueError(_NO_RATE)
    if rate.count < 1:
        raise ValueError("is a rate of zero: nothing would ever be sent")
    if rate.count * MIN_INTERVAL > rate.period:
        fastest = Rate(timedelta(seconds=1) // MIN_INTERVAL, timedelta(seconds=1))
        raise ValueError(f"is faster than can be measured; the most is {fastest}")
    return rate


def parse_address(text: str) -> IPAddress:
    """Read an IP address; IPv6 may have the brackets of a URL.

    Raises:
        ValueError: It is none.
    """
    text = text.strip()
    try:
        if text.startswith("[") and text.endswith("]"):
            return IPv6Address(text[1:-1])
        return ip_address(text)
    except ValueError:
        raise ValueError(_NO_ADDRESS) from None


def parse_network(text: str) -> IPNetwork:
    """Read a network in CIDR notation; a single address is a network of one.

    Raises:
        ValueError: It is none, or has bits set beyond its prefix.
    """
    try:
        return ip_network(text.strip())
    except ValueError:
        pass
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(_NO_NETWORK) from None
    # Not guessed: 10.1.2.3/8 may have been meant as 10.1.2.3 or as all of 10.
    alone = network.max_prefixlen
    raise ValueError(
        f"is an address within a network; write {network}, or /{alone} for it alone"
    )


def parse_domain(text: str) -> str:
    """Read a domain name into lower-case A-labels, without a final dot.

    Raises:
        ValueError: It is none, or a pattern.
    """
    domain = text.strip().lower().removesuffix(".")
    if "*" in domain:
        raise ValueError("is a pattern; only whole domains are matched, name each one")
    if "@" in domain:
        raise ValueError("is an address; write its domain alone")
    if not domain.isascii() and len(domain) <= MAX_DOMAIN_CHARS:
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise ValueError(_NO_DOMAIN) from None
    if len(domain) > MAX_DOMAIN_CHARS or not _DOMAIN.fullmatch(domain):
        raise ValueError(_NO_DOMAIN)
    if domain.rpartition(".")[2].isdigit():
        # RFC 1123 §2.1: that is an address, or what is left of one.
        raise ValueError(_NO_DOMAIN)
    return domain


def parse_domain_pattern(text: str) -> str:
    """Read a domain, or ``"*.example.com"``: every name below that, not itself.

    Raises:
        ValueError: It is neither.
    """
    text = text.strip()
    domain = text.removeprefix("*.")
    if "*" in domain:
        message = "is no pattern; '*.example.com' is every name below example.com"
        raise ValueError(message)
    return text.removesuffix(domain) + parse_domain(domain)


def parse_mx_pattern(text: str) -> str:
    """Read a host name, or ``"*.google.com"``: that name and any below it.

    Raises:
        ValueError: It is neither.
    """
    text = text.strip()
    host = text.removeprefix("*.")
    try:
        domain = parse_domain(host)
    except ValueError:
        message = "is neither a host name nor, with what is below it, '*.example.com'"
        raise ValueError(message) from None
    return text.removesuffix(host) + domain


def parse_tenant(text: str) -> str:
    """Read the name of a tenant: any line of text that is not long.

    Raises:
        ValueError: It is none.
    """
    tenant = text.strip()
    if not tenant or len(tenant) > MAX_TENANT_CHARS or not tenant.isprintable():
        raise ValueError(
            f"is not a name of 1 to {MAX_TENANT_CHARS} printable characters"
        )
    return tenant


def parse_host(text: str) -> str:
    """Read a host to connect to: a domain name, or an address without brackets.

    Raises:
        ValueError: It is neither.
    """
    if text.strip().lower().removesuffix(".") == "localhost":
        # Our resolver asks DNS alone, never /etc/hosts.
        raise ValueError("is not looked up in DNS; write 127.0.0.1")
    try:
        return str(parse_address(text))
    except ValueError:
        pass
    try:
        return parse_domain(text)
    except ValueError:
        message = "is neither a host name, such as mx.example.com, nor an IP address"
        raise ValueError(message) from None


def parse_listen_host(text: str) -> str:
    """Read an address to listen on.

    Raises:
        ValueError: It is not an IP address.
    """
    if text.strip().lower() == "localhost":
        raise ValueError("is a name; write the address to listen on, 127.0.0.1")
    if text.strip() == "*":
        raise ValueError("is not an address; every one is 0.0.0.0, or :: with IPv6")
    return str(parse_address(text))


def parse_host_port(text: str, default_port: int | None = None) -> HostPort:
    """Read ``"127.0.0.1:5353"``, ``"[::1]:5353"`` or, with a default, ``"::1"``.

    Raises:
        ValueError: The host is none, or the port is missing or out of range.
    """
    host, port = _split_port(text.strip())
    if port is None:
        if default_port is None:
            raise ValueError("has no port; write HOST:PORT, as in 127.0.0.1:2526")
        return HostPort(parse_host(host), default_port)
    if not _PORT.fullmatch(port) or not 0 < int(port) <= MAX_PORT:
        raise ValueError(f"has no valid port; one is from 1 to {MAX_PORT}")
    return HostPort(parse_host(host), int(port))


def is_loopback(host: str) -> bool:
    """Whether what listens on the address ``host`` hears only its own machine."""
    return ip_address(host).is_loopback


def format_duration(duration: timedelta) -> str:
    """Write a duration with the largest unit that fits it: ``90s``, ``2h``."""
    for unit, names in reversed(_UNITS_OF_TIME.items()):
        if duration and not duration % unit:
            return f"{duration // unit}{names.split()[0]}"
    return f"{duration.total_seconds():g}s"


def format_size(size: int) -> str:
    """Write a size with the largest unit of 1024 that fits it."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size and not size % unit:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def _thousandths(digits: str | None) -> int:
    return int((digits or "0").ljust(3, "0"))


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, _, rest = text.partition("]")
        return f"{host}]", rest.removeprefix(":") if rest else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, None  # bare IPv6, or no port
