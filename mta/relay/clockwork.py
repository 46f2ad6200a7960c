"""Time, as the relay needs it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Clockwork:
    """The clocks and the patience of a relay; tests have their own.

    Attributes:
        dialing: No further host is tried after this long, if none so far could be
            connected to.
        farewell: For all goodbyes together when the process ends; one alone has
            ``Timeouts.quit``.
    """

    dialing: timedelta = timedelta(minutes=2)
    farewell: timedelta = timedelta(seconds=2.2)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
