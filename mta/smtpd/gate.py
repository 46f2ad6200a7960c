"""How many connections one address may have, and how often it may come.

Bookkeeping for one process; it knows no sockets. Whoever has IPv6 has at least a
/64 of it, so that is what counts as one address there.

The rate is kept by noting when an address would have all of its connections to
spend again: each connection moves that instant on by one interval, and it may lie
no further ahead than the rate's count allows. An address that is gone and whose
instant has passed is as good as a new one, and forgotten.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address

from mta.config.values import IPAddress, IPNetwork, Rate
from mta.reply import Reply, make_reply

# Some 30 MB when full. Those that have a connection open are never forgotten; as
# many as they are, the listener has let in.
MAX_ADDRESSES = 100_000

# RFC 5321 §3.8: 421 is also for a connection that is not wanted now.
TOO_MANY_AT_ONCE = make_reply(
    421, "4.7.0", "Too many connections at once from your address, try later"
)
TOO_OFTEN = make_reply(421, "4.7.0", "Your address connects too often, try later")

_HOST_BITS = 64  # of an IPv6 address, RFC 4291 §2.5.1


class Gate:
    """Lets addresses in and out; not for several threads at once.

    Args:
        most_at_once: Connections open at a time, for each address.
        rate: Connections that are let in, for each address. All of a period's may
            come at once; then one by one as time goes by. None: no such limit.
        exempt: Not counted at all. Loopback is not among them by itself.
        monotonic: The clock; seconds.
        max_addresses: Remembered at most; of those that are gone the oldest are
            forgotten first, and may spend a whole period's connections again.
    """

    def __init__(
        self,
        *,
        most_at_once: int,
        rate: Rate | None,
        exempt: Collection[IPNetwork] = (),
        monotonic: Callable[[], float] = time.monotonic,
        max_addresses: int = MAX_ADDRESSES,
    ) -> None:
        self.limit(most_at_once, rate)
        self._exempt = tuple(exempt)
        self._monotonic = monotonic
        self._max_addresses = max_addresses
        self._present: dict[IPAddress, _Visitor] = {}
        self._gone: OrderedDict[IPAddress, _Visitor] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._present) + len(self._gone)

    def limit(self, most_at_once: int, rate: Rate | None) -> None:
        """Let in by other limits from now on; those who are in stay."""
        self._most_at_once = most_at_once
        self._interval = rate.interval if rate else timedelta(0)
        self._leeway = self._interval * (rate.count - 1) if rate else timedelta(0)

    def enter(self, address: IPAddress) -> Reply | None:
        """Ask for one more connection; None lets it in.

        Whoever is let in must ``leave()`` once. Who is not costs nothing, and is
        not counted.
        """
        key = self._key(address)
        if key is None:
            return None
        now = self._now()
        visitor = self._present.get(key) or self._gone.get(key) or _Visitor(0, now)
        if visitor.connections >= self._most_at_once:
            return TOO_MANY_AT_ONCE
        if visitor.rested_at - now > self._leeway:
            return TOO_OFTEN
        visitor.connections += 1
        visitor.rested_at = max(visitor.rested_at, now) + self._interval
        self._present[key] = visitor
        self._gone.pop(key, None)
        self._forget(now)
        return None

    def leave(self, address: IPAddress) -> None:
        """Note the end of one connection that was let in.

        Raises:
            KeyError: The address has none.
        """
        key = self._key(address)
        if key is None:
            return
        visitor = self._present[key]
        visitor.connections -= 1
        if not visitor.connections:
            self._gone[key] = self._present.pop(key)
            self._forget(self._now())

    def _key(self, address: IPAddress) -> IPAddress | None:
        """What an address is counted under; None if it is not."""
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        if any(address in network for network in self._exempt):
            return None
        if isinstance(address, IPv6Address):
            return IPv6Address(int(address) >> _HOST_BITS << _HOST_BITS)
        return address

    def _now(self) -> timedelta:
        # Whole microseconds, so that sums of intervals are exact.
        return timedelta(seconds=self._monotonic())

    def _forget(self, now: timedelta) -> None:
        """Drop the oldest that are gone, while they are rested or too many."""
        while self._gone:
            oldest = next(iter(self._gone.values()))
            if oldest.rested_at > now and len(self) <= self._max_addresses:
                return
            self._gone.popitem(last=False)


@dataclass(slots=True)
class _Visitor:
    """What is known of one address.

    Attributes:
        connections: Open now.
        rested_at: When it has all of a period's connections to spend again.
    """

    connections: int
    rested_at: timedelta
