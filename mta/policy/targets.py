"""Where mail for a domain goes: which hosts, in which order, and never where.

Pure: the records come from the resolver, ``shuffle`` from whoever has the dice.

RFC 5321 §5.1 (order, implicit MX, loops), RFC 7505 (null MX), RFC 6890 and its
kin (addresses that are nobody's mail server).
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from mta.config.zones import IPAddress, IPNetwork
from mta.errors import PermanentFailure
from mta.reply import make_reply

MAX_HOSTS = 10  # per domain; §5.1 asks for at least two
MAX_ADDRESSES = 20  # per attempt, over all hosts

NULL_MX = make_reply(556, "5.1.10", "DNS Error: domain does not accept mail (null MX)")
MX_LOOP = make_reply(554, "5.4.6", "DNS Error: mail for this domain loops back to us")


@dataclass(frozen=True, slots=True)
class MX:
    """One MX record; ``host`` in lower case without final dot, "." if null."""

    preference: int
    host: str


def order_targets(
    domain: str,
    mx: Sequence[MX],
    *,
    own_names: Container[str],
    shuffle: Callable[[Sequence[MX]], Sequence[MX]],
) -> tuple[str, ...]:
    """Order the hosts that take mail for ``domain``, best first, at most ten.

    Args:
        domain: Lower-case A-label.
        mx: Its MX records; none means that the domain itself is the host.
        own_names: Names under which others reach us.
        shuffle: Returns its argument in random order.

    Raises:
        PermanentFailure: the domain takes no mail, or we are its best host.
    """
    if not mx:
        return (domain,)  # implicit MX, §5.1
    named = [record for record in mx if record.host not in ("", ".")]
    if not named:
        # RFC 7505 §3: the owner has spoken, so no fallback to A and no retry. A
        # null MX beside others is a mistake (§3), and the others count.
        raise PermanentFailure(NULL_MX, category="dns")
    # If we are listed, drop our level and every worse one: those hosts would only
    # hand the message back to us (RFC 5321 §5.1).
    limit = min((r.preference for r in named if r.host in own_names), default=None)
    usable = [r for r in named if limit is None or r.preference < limit]
    if not usable:
        raise PermanentFailure(MX_LOOP, category="dns")
    # Equal preferences MUST be randomized (§5.1). sorted() is stable, so shuffling
    # first is enough.
    ordered = sorted(shuffle(usable), key=lambda record: record.preference)
    return tuple(dict.fromkeys(record.host for record in ordered))[:MAX_HOSTS]


# Never a mail server, whatever the operator allows: this host, multicast,
# reserved, broadcast.
_NEVER = tuple(map(ip_network, ("0.0.0.0/8", "224.0.0.0/3", "::/128", "ff00::/8")))

# Within a site: an MX that points there makes us knock at our own inner doors.
_LOCAL = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
            "fec0::/10",
        ),
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1


def is_refused_address(
    address: IPAddress,
    *,
    block_local: bool,
    allowed: Sequence[IPNetwork] = (),
    own_addresses: Container[IPAddress] = (),
) -> bool:
    """Tell whether DNS may not send us to this address.

    To be asked after each resolution, so that a name that changes its mind is
    caught every time.

    Args:
        allowed: Exceptions from ``block_local``.
        own_addresses: Ours as seen from outside; blocked like local ones.
    """
    real = _unwrap(address)
    if _is_in(real, _NEVER):
        return True
    if not block_local or _is_in(real, allowed) or _is_in(address, allowed):
        return False
    return _is_in(real, _LOCAL) or real in own_addresses


def _is_in(address: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    return any(address in network for network in networks)


def _unwrap(address: IPAddress) -> IPAddress:
    """Find the IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64 or (address.packed[:12] == bytes(12) and int(address) > 1):
        # NAT64, and the "IPv4-compatible" form of RFC 4291 §2.5.5.1.
        return IPv4Address(address.packed[12:])
    return address.ipv4_mapped or address.sixtofour or address


def parse_literal(domain: str) -> IPAddress | None:
    """Read an address literal, ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``.

    Returns:
        None if ``domain`` is no literal at all.

    Raises:
        ValueError: it is one, of no address (RFC 5321 §4.1.3).
    """
    if not domain.startswith("["):
        return None
    inner = domain[1:-1]
    if not domain.endswith("]") or "%" in inner:
        raise ValueError(f"{domain!r} is not an address literal")
    tag, _, rest = inner.partition(":")
    return IPv6Address(rest) if tag.lower() == "ipv6" else ip_address(inner)
