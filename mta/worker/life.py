"""The life of a worker beside its tasks: heartbeats, and an end that loses nothing.

Asked to stop, it begins nothing new. Transactions run on; those that have not come
to the final dot in time are cut, and their deliveries given back; those that have
are heard out. So no row is left in doubt, and no lease, unless the next hop says
nothing for longer than the supervisor waits.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from mta.errors import StoreUnavailable
from mta.worker.attempt import Attempts
from mta.worker.handover import HandOver
from mta.worker.leases import Leases
from mta.worker.register import Register
from mta.worker.shaper import Shaper
from mta.worker.waker import Waker

# Transactions may run on for so long before the dot. Less than the supervisor's
# patience of 30 s by what an answer to the dot takes.
FINISH_FOR_S = 15.0


class Relay(Protocol):
    """The sessions; see ``mta.relay.relay.Relay``."""

    def stop(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...

    def yield_idle(self, key: str) -> None: ...


class Clock(Protocol):
    """What tells the time; see ``mta.store.clock.DatabaseClock``."""

    def adjust(self) -> None: ...

    def timestamp(self) -> float: ...


class Limits(Protocol):
    """The limits; see ``mta.store.limits.Limits``."""

    def start(
        self,
        on_wanted: Callable[[str], None],
        on_freed: Callable[[Sequence[str]], None],
    ) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Starts and ends what runs beside the tasks of a worker process."""

    attempts: Attempts
    leases: Leases
    limits: Limits
    relay: Relay
    handover: HandOver
    shaper: Shaper
    waker: Waker
    clock: Clock
    register: Register
    wait: Callable[[float], None] = time.sleep

    def start(self, zones: Sequence[str]) -> None:
        """Begin the heartbeats; the tasks of ``zones`` may come."""
        with suppress(StoreUnavailable):  # it asks again by itself
            self.clock.adjust()
        self.shaper.start()
        self.register.start(zones)
        self.limits.start(self.relay.yield_idle, self.handover.ring_next)
        self.leases.start()

    def stop_soon(self) -> None:
        """Begin nothing new; cut what does not come to its dot in time.

        Returns after ``FINISH_FOR_S``: give it a thread of its own.
        """
        self.attempts.stopping.set()
        self.relay.stop()
        self.wait(FINISH_FOR_S)
        self.relay.abort()

    def stop(self) -> None:
        """No attempt runs any more: say QUIT on idle sessions, and sign off."""
        self.shaper.stop()
        self.leases.stop()
        self.relay.close()
        self.limits.stop()
        self.register.stop()
