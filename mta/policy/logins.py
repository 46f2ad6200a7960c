"""Failed logins slow a client down, and in the end turn it away.

What is counted is failures of the last minutes, by address and by account; each
process counts for itself. An address that guesses is answered ever later, then
refused; an account that is guessed at is answered later for everybody, but never
refused, or anybody could lock anybody out. Whether the account exists plays no part.

RFC 4291 §2.5.1: the first half of an IPv6 address is a network's, the second is the
client's to choose.
"""

from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address
from threading import Lock
from typing import Final

# A failure counts for so long; and an address with so many is refused.
WINDOW_S: Final = 600.0
MAX_FAILURES: Final = 20

FREE_FAILURES: Final = 2  # people mistype
FIRST_DELAY_S: Final = 1.0  # then twice as long each time
MAX_DELAY_S: Final = 30.0  # clients wait for a minute at least

# Some 15 MB each, when all are as bad as can be.
MAX_ADDRESSES: Final = 10_000
MAX_ACCOUNTS: Final = 10_000
_MAX_KEY_CHARS = 255


class FailedLogins:
    """The failures of the last ``WINDOW_S``; forgets who failed longest ago.

    Times are seconds of a clock that never jumps. Safe to share among threads.
    """

    def __init__(
        self, *, max_addresses: int = MAX_ADDRESSES, max_accounts: int = MAX_ACCOUNTS
    ) -> None:
        self._lock = Lock()
        self._addresses = _Failures(max_addresses)
        self._accounts = _Failures(max_accounts)

    def delay(self, address: str, username: str, at_s: float) -> float:
        """How many seconds to wait before looking at the next try, 0 or more.

        Args:
            username: Empty if the client did not say.
        """
        with self._lock:
            by_address = self._addresses.count(_network(address), at_s)
            by_account = self._accounts.count(username[:_MAX_KEY_CHARS], at_s)
        return _delay(max(by_address, by_account))

    def is_blocked(self, address: str, at_s: float) -> bool:
        """Whether to refuse this address without a look at what it says."""
        with self._lock:
            return self._addresses.count(_network(address), at_s) >= MAX_FAILURES

    def add(self, address: str, username: str, at_s: float) -> None:
        """Note a failure."""
        with self._lock:
            self._addresses.add(_network(address), at_s)
            if username:
                self._accounts.add(username[:_MAX_KEY_CHARS], at_s)

    def forgive(self, username: str) -> None:
        """Note a success: the account starts anew, but its address does not.

        Else whoever has one account could go on guessing others.
        """
        with self._lock:
            self._accounts.forget(username[:_MAX_KEY_CHARS])


class _Failures:
    """When each key failed; at most ``most`` keys, ``MAX_FAILURES`` times of each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, key: str, at_s: float) -> int:
        times = self._times.get(key)
        if times is None:
            return 0
        while times and times[0] <= at_s - WINDOW_S:
            times.popleft()
        if not times:
            del self._times[key]
        return len(times)

    def add(self, key: str, at_s: float) -> None:
        self._times.setdefault(key, deque(maxlen=MAX_FAILURES)).append(at_s)
        self._times.move_to_end(key)
        if len(self._times) > self._most:
            self._times.popitem(last=False)

    def forget(self, key: str) -> None:
        self._times.pop(key, None)


def _delay(failures: int) -> float:
    if failures < FREE_FAILURES:
        return 0.0
    # At most ``MAX_FAILURES`` are known, so that the power stays small.
    return min(FIRST_DELAY_S * 2.0 ** (failures - FREE_FAILURES), MAX_DELAY_S)


def _network(address: str) -> str:
    """What one client can choose its address from: an IPv4 address, an IPv6 /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:_MAX_KEY_CHARS]  # a socket that has no address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{int(parsed) >> 64:x}::/64"
    return str(parsed)
