"""The claims this process holds, and the one heartbeat that renews their leases."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from mta.delivery import Delivery
from mta.errors import StoreUnavailable
from mta.store.deliveries import Deliveries

log = logging.getLogger(__name__)


class Leases:
    """Renews every lease of the process in one update, a quarter into each."""

    def __init__(
        self,
        deliveries: Deliveries,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deliveries = deliveries
        self._monotonic = monotonic
        self._held: dict[str, Delivery] = {}
        # When each was last known to be ours: just before the round trip.
        self._known_at: dict[tuple[str, int], float] = {}
        self._lost: set[tuple[str, int]] = set()
        self._lock = Lock()
        self._stopping = Event()

    @contextmanager
    def holding(self, claimed: Delivery, *, asked_at: float) -> Iterator[None]:
        """Keep the lease of ``claimed`` alive meanwhile.

        Args:
            asked_at: ``monotonic`` time just before it was claimed.
        """
        with self._lock:
            self._held[claimed.id] = claimed
            self._known_at[_key(claimed)] = asked_at
        try:
            yield
        finally:
            with self._lock:
                if self._held.get(claimed.id) is claimed:
                    del self._held[claimed.id]
                self._lost.discard(_key(claimed))
                self._known_at.pop(_key(claimed), None)

    def is_lost(self, claimed: Delivery) -> bool:
        """Somebody else may have claimed the row: do not finish sending it.

        True also when MongoDB could not be asked for as long as a lease lasts.
        """
        known_at = self._known_at.get(_key(claimed), float("-inf"))
        age_s = self._monotonic() - known_at
        lease_s = self._deliveries.lease.total_seconds()
        return _key(claimed) in self._lost or age_s >= lease_s

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
        asked_at = self._monotonic()
        try:
            lost = self._deliveries.renew(held)
        except StoreUnavailable as error:
            # The leases run on; if this lasts, others take over, and the fence
            # keeps our late settlements out.
            log.warning("heartbeat failed error=%s", error)
            return
        with self._lock:
            for claimed in held:
                if self._held.get(claimed.id) is not claimed:
                    continue
                if claimed.id in lost:
                    self._lost.add(_key(claimed))
                    log.warning("lease lost id=%s", claimed.id)
                else:
                    self._known_at[_key(claimed)] = asked_at

    def _beat(self) -> None:
        period_s = self._deliveries.lease.total_seconds() / 4
        while not self._stopping.wait(period_s):
            try:
                self.renew()
            except Exception:
                # Without a heartbeat every long transaction would be sent twice.
                log.exception("heartbeat broke")


def _key(claimed: Delivery) -> tuple[str, int]:
    return claimed.id, claimed.claims
