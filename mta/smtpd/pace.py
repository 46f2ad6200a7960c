"""How long a client may keep us waiting.

Only waiting counts: the time that we need ourselves is not the client's fault.
A command line must be complete within the idle time, however its octets drip
in. Content must come in at a minimum rate on average, with the idle time as a
head start, and never pause for longer than the idle time.

RFC 5321 §4.5.3.2.7: a server waits five minutes for the next command at least.
"""

import time
from collections.abc import Callable

# Octets per second. A modem did a hundred times that; whoever is slower holds a
# connection and a half-written message for nothing.
MIN_CONTENT_RATE = 64


class Pace:
    """The clock that runs while we wait for one client.

    Args:
        idle_s: The idle time, in seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self, idle_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle_s = idle_s
        self._clock = clock
        self._waited_s = 0.0
        self._credit_s = 0.0
        self._began_at = 0.0

    def restart(self) -> None:
        """A command was complete, or content began or ended."""
        self._waited_s = 0.0
        self._credit_s = 0.0

    def begin_wait(self) -> float:
        """Start the clock and return how long to wait, in seconds; 0 is too late."""
        self._began_at = self._clock()
        left = self._idle_s + self._credit_s - self._waited_s
        return max(0.0, min(self._idle_s, left))

    def end_wait(self, content_octets: int = 0) -> None:
        """Stop the clock; content that came buys time."""
        self._waited_s += self._clock() - self._began_at
        self._credit_s += content_octets / MIN_CONTENT_RATE
