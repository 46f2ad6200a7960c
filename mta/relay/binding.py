"""Whether this machine has the addresses that its mail is to leave from.

One that is missing is no reason to stop: mail for it waits, all other mail leaves,
and it may be there in a minute. But somebody should know.
"""

import logging
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mta.config.zones import Config, IPAddress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Missing:
    """An address of a pool that cannot be bound.

    Attributes:
        place: Where the file names it, as ``zones.yaml:12``.
        reason: The system's word for it.
    """

    address: IPAddress
    pool: str
    place: str
    reason: str

    def __str__(self) -> str:
        name = f"pools.{self.pool}: {self.address}"
        where = f"{self.place}: " if self.place else ""
        return f"{where}{name} cannot be bound on this machine: {self.reason}"


def find_missing(config: Config, zones: Collection[str]) -> Iterator[Missing]:
    """Find the addresses of these zones' pools that cannot be bound, each once."""
    pools = {config.zones[name].pool for name in zones if name in config.zones}
    seen: set[IPAddress] = set()
    for pool, entries in config.pools.items():
        for entry in entries if pool in pools else ():
            reason = "" if entry.address in seen else try_to_bind(entry.address)
            seen.add(entry.address)
            if reason:
                place = config.place_of("pools", pool, str(entry.address))
                yield Missing(entry.address, pool, place, reason)


def try_to_bind(address: IPAddress) -> str:
    """Say why mail cannot leave from an address; empty if it can."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.bind((str(address), 0))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def report_missing(config: Config, zones: Collection[str]) -> None:
    """Log what cannot be bound."""
    for missing in find_missing(config, zones):
        log.error("address is not there, its mail waits: %s", missing)
