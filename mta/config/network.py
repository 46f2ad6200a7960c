"""The addresses of this machine's network interfaces, as the system has them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeAlias

import psutil

from mta.config.values import IPAddress

# By the interface's name.
Network: TypeAlias = Mapping[str, Sequence[IPAddress]]
ReadNetwork: TypeAlias = Callable[[], Network]

# What stays within a site; beside a global address it is of no use to mail.
_UNIQUE_LOCAL = ip_network("fc00::/7")


def read_network() -> Network:
    """List the addresses of every interface that mail can leave from, IPv4 first."""
    return {
        name: list_global(
            # With the interface's name behind it, if it is of the link alone.
            ip_address(entry.address.partition("%")[0])
            for entry in entries
            if entry.family != psutil.AF_LINK
        )
        for name, entries in psutil.net_if_addrs().items()
    }


def list_global(addresses: Iterable[IPAddress]) -> list[IPAddress]:
    """Leave out what nobody elsewhere could answer; IPv4 first.

    Private IPv4 addresses stay: a router may stand for them.
    """
    return sorted(
        filter(_is_global, addresses),
        key=lambda address: (address.version, int(address)),
    )


def _is_global(address: IPAddress) -> bool:
    if isinstance(address, IPv6Address) and address in _UNIQUE_LOCAL:
        return False
    return not (address.is_loopback or address.is_link_local)
