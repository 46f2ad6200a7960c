"""The claims this process holds, and the one heartbeat that renews their leases."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from mta.delivery import Delivery
from mta.errors import StoreUnavailable
from mta.store.deliveries import Deliveries

log = logging.getLogger(__name__)


class Leases:
    """Renews every lease of the process in one update, a quarter into each."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._held: dict[str, Delivery] = {}
        self._lost: set[tuple[str, int]] = set()
        self._lock = Lock()
        self._stopping = Event()

    @contextmanager
    def holding(self, claimed: Delivery) -> Iterator[None]:
        """Keep the lease of ``claimed`` alive meanwhile."""
        with self._lock:
            self._held[claimed.id] = claimed
        try:
            yield
        finally:
            with self._lock:
                if self._held.get(claimed.id) is claimed:
                    del self._held[claimed.id]
                self._lost.discard((claimed.id, claimed.claims))

    def is_lost(self, claimed: Delivery) -> bool:
        """Somebody else may have claimed the row: do not finish sending it."""
        return (claimed.id, claimed.claims) in self._lost

    def start(self) -> None:
        """Begin the heartbeat, in a thread (a greenlet, when patched)."""
        Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """End the heartbeat."""
        self._stopping.set()

    def renew(self) -> None:
        """Renew all leases once; one that is gone is noted as lost."""
        with self._lock:
            held = list(self._held.values())
        try:
            lost = self._deliveries.renew(held)
        except StoreUnavailable as error:
            # The leases run on; if this lasts, others take over, and the fence
            # keeps our late settlements out.
            log.warning("heartbeat failed error=%s", error)
            return
        with self._lock:
            for claimed in held:
                is_still_held = self._held.get(claimed.id) is claimed
                if claimed.id in lost and is_still_held:
                    self._lost.add((claimed.id, claimed.claims))
                    log.warning("lease lost id=%s", claimed.id)

    def _beat(self) -> None:
        period_s = self._deliveries.lease.total_seconds() / 4
        while not self._stopping.wait(period_s):
            self.renew()
