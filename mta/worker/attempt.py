"""Trying deliveries: claim, send, decide, settle; and the next one that waits.

Whatever happens here, the row is right: a claim that is not settled runs out and
somebody tries again. A settlement is the first thing done after the next hop's
answer, and it is retried while MongoDB is away, because forgetting a 250 means
sending twice.

Before the final dot the row is marked, and the mark is also the last look at the
lease: from there on a death of ours leaves the delivery in doubt, never simply sent
again.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from typing import Protocol

from mta.config.live import Live
from mta.config.zones import Config, Zone
from mta.delivery import Delivery, Outcome
from mta.errors import (
    AttemptFailed,
    ContentMissing,
    KeyUnusable,
    MessageGone,
    Postponed,
    RateReached,
    SlotsTaken,
    Stopping,
    StoreUnavailable,
    TransientFailure,
)
from mta.observe import metrics
from mta.policy.limits import Slot, limit_key
from mta.relay.request import Chain, RelayRequest, Sent
from mta.reply import make_reply
from mta.store.deliveries import ETA_LEAD, RING_GRACE, Deliveries
from mta.store.parking import SAFETY_NET
from mta.worker.handover import HandOver
from mta.worker.leases import Leases
from mta.worker.outcome import Judge, count_and_log
from mta.worker.request import Dot, LeaseLost, Requests
from mta.worker.witness import Witness

log = logging.getLogger(__name__)

# How long a settlement is tried again while MongoDB is away, and how often.
SETTLE_FOR_S = 600.0
SETTLE_EVERY_S = 2.0
# MongoDB gave no body, or could not take the mark: not at once again.
STORE_PAUSE = timedelta(seconds=10)
# A task goes on with parked deliveries for so long, even if others wait in the broker
# for its greenlet; and for so long if none does.
CHAIN_FOR_S = 1.0
CHAIN_AT_MOST_S = 20.0

_OUR_FAULT = make_reply(451, "4.3.0", "Internal error")
# RFC 3463 §3.8: X.7.5, for want of a key.
_NO_SIGNATURE = make_reply(451, "4.7.5", "The message cannot be signed now")


class Relay(Protocol):
    """Sends one message to one recipient; see ``mta.relay.relay.Relay``."""

    def send(self, request: RelayRequest, chain: Chain | None = None) -> Sent: ...

    def end(self, chain: Chain) -> None: ...


class Shaper(Protocol):
    """Learns from replies; see ``mta.worker.shaper.Shaper``."""

    def note(
        self, claimed: Delivery, config: Config, failure: AttemptFailed
    ) -> None: ...


class Counts:
    """Deliveries begun, and those being worked on now.

    Attributes:
        capacity: How many tasks may run at a time; 0 if that is not known.
    """

    started = 0
    busy = 0
    capacity = 0

    @property
    def is_full(self) -> bool:
        """A task that comes now may have to wait for the one that asks."""
        return self.busy + 1 >= self.capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Everything an attempt needs.

    Attributes:
        owner: Names this process in leases; unique over hosts and restarts.
        now: The clock; aware UTC.
        spread: A number from 0 to 1, so that not all safety nets are due at once.
        stopping: Set once nothing new is to begin.
    """

    deliveries: Deliveries
    judge: Live[Judge]
    requests: Requests
    leases: Leases
    relay: Relay
    shaper: Shaper
    handover: HandOver
    witness: Witness
    owner: str
    now: Callable[[], datetime]
    spread: Callable[[], float]
    wait: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    counts: Counts = field(default_factory=Counts)
    stopping: Event = field(default_factory=Event)

    def attempt(self, delivery_id: str) -> None:
        """Try one delivery once. A late or repeated call changes nothing.

        Then, for a while, those that wait for a slot of the same domain.
        """
        began_at = self.monotonic()
        chain = Chain()
        try:
            asked_at = self.monotonic()
            claimed = self.deliveries.claim(delivery_id, owner=self.owner)
            if claimed is None:
                # An echo: not due, settled, or another worker's.
                metrics.ECHOES.inc()
            while claimed is not None:
                has_met = self._work(claimed, asked_at, chain)
                self._rest(chain)
                asked_at = self.monotonic()
                claimed = self._next(claimed, began_at, has_met)
        except StoreUnavailable as error:
            # The row is as it was, or its lease runs out: later, not lost.
            log.warning("left to the scheduler error=%s", error)
        finally:
            # Who frees its slots rings, and any worker's task may take them.
            self.relay.end(chain)

    def _next(self, done: Delivery, began_at: float, has_met: str) -> Delivery | None:
        """Claim what waits for the domain that ``done`` is through with.

        Also after a failure, or without any attempt: ``done`` may have been woken
        by a free slot, which others wait for.

        Args:
            has_met: The limit that ``done`` was parked for, if it was.
        """
        domain = limit_key("domain", done.zone, done.domain)
        if has_met == domain or not self.handover.is_wanted(domain):
            return None
        if self.stopping.is_set() or self._is_long(began_at):
            # A session ends with the chain, and its slot is passed on then. Where
            # there is none, one may be free.
            limit = self.judge.current.limit_of(done.domain)
            self.handover.wait_for(Slot(domain, limit))
            return None
        claimed = self.handover.claim_next(domain, zone=done.zone, owner=self.owner)
        if claimed is not None:
            metrics.CHAINED.labels(done.zone).inc()
        return claimed

    def _rest(self, chain: Chain) -> None:
        """Let a connection rest between two messages; no delivery is held meanwhile."""
        if chain.session is None or not chain.rests_until:
            return
        self.counts.busy += 1
        try:
            self.stopping.wait(max(0.0, chain.rests_until - self.monotonic()))
        finally:
            self.counts.busy -= 1

    def _is_long(self, began_at: float) -> bool:
        most_s = CHAIN_FOR_S if self.counts.is_full else CHAIN_AT_MOST_S
        return self.monotonic() - began_at >= most_s

    def _work(self, claimed: Delivery, asked_at: float, chain: Chain) -> str:
        """Try a claimed delivery; returns the limit that it was parked for, if any.

        Should it have been woken for a slot that it did not take after all, the next
        one is: nobody else would ever hear of that slot.
        """
        chain.admitted = frozenset()
        has_met = self._work_on(claimed, asked_at, chain)
        woken_by = claimed.woken_by
        if woken_by and woken_by != has_met and woken_by not in chain.admitted:
            self.handover.ring_next([woken_by])
        return has_met

    def _work_on(self, claimed: Delivery, asked_at: float, chain: Chain) -> str:
        started_at = self.now()
        judge = self.judge.current  # for all of this attempt
        self.counts.started += 1
        self.counts.busy += 1
        try:
            with self.leases.holding(claimed, asked_at=asked_at):
                outcome = self._try(claimed, judge, started_at, chain)
            # No longer held: a heartbeat must not take a settled row for a lost one.
            self._settle(claimed, outcome, judge)
        except Postponed as postponed:
            return self._postpone(claimed, postponed)
        except LeaseLost:
            metrics.LOST_CLAIMS.labels(claimed.zone).inc()
        finally:
            self.counts.busy -= 1
        return ""

    def _try(
        self, claimed: Delivery, judge: Judge, started_at: datetime, chain: Chain
    ) -> Outcome:
        """Send; every failure becomes an outcome, the unexpected ones "later"."""
        zone = judge.zone_of(claimed, started_at)
        if isinstance(zone, Outcome):
            return zone
        try:
            sent = self._send(claimed, judge.config, zone, chain)
        except MessageGone:
            return judge.gone(self.now())
        except AttemptFailed as failure:
            self.shaper.note(claimed, judge.config, failure)
            return judge.failed(claimed, zone, failure, started_at, self.now())
        if sent.is_reused:
            metrics.CONNECTION_REUSES.inc()
        return judge.sent(claimed, sent, started_at, self.now())

    def _send(
        self, claimed: Delivery, config: Config, zone: Zone, chain: Chain
    ) -> Sent:
        """Send.

        Raises:
            AttemptFailed: for whatever reason, the unexpected ones transient.
            LeaseLost: The delivery is no longer ours.
            MessageGone: There is nothing to send.
            Postponed: Nothing was tried, or MongoDB was away before the dot.
        """
        dot = Dot()
        try:
            request = self.requests.make(claimed, config, zone, dot)
            return self.relay.send(request, chain)
        except (AttemptFailed, LeaseLost, MessageGone, Postponed):
            raise
        except StoreUnavailable as error:
            raise Postponed(str(error)) from error
        except KeyUnusable as error:
            log.error("not signed id=%s: %s", claimed.id, error)
            raise TransientFailure(_NO_SIGNATURE, category="other") from error
        except ContentMissing as error:
            log.error("content missing id=%s error=%s", claimed.id, error)
            raise TransientFailure(_OUR_FAULT, category="store") from error
        except Exception as error:
            log.exception("attempt broke id=%s", claimed.id)
            raise TransientFailure(
                _OUR_FAULT, category="other", is_in_doubt=dot.is_marked
            ) from error

    def _postpone(self, claimed: Delivery, postponed: Postponed) -> str:
        """Give the row back: to wait for a slot, for its turn, or for anybody.

        Returns:
            The limit it was parked for, if it was.
        """
        now = self.now()
        if isinstance(postponed, SlotsTaken):
            metrics.PARKED.labels(claimed.zone, _kind(postponed.key)).inc()
            net = SAFETY_NET * (0.8 + 0.4 * self.spread())
            self._give_back(claimed, ring_at=now + net, waits_for=postponed.key)
            self.handover.wait_for(Slot(postponed.key, postponed.limit))
            return postponed.key
        if isinstance(postponed, RateReached):
            metrics.RATE_WAITS.labels(claimed.zone, _kind(postponed.key)).inc()
            due_at = now + postponed.wait
            has_turn = claimed.has_turn or postponed.is_turn
            put_off = replace(claimed, has_turn=has_turn, put_off_by=postponed.key)
            self._wait_for_turn(put_off, now, due_at)
        else:
            is_ending = isinstance(postponed, Stopping)
            again_at = now if is_ending else now + STORE_PAUSE
            self._give_back(claimed, ring_at=again_at)
        return ""

    def _wait_for_turn(
        self, claimed: Delivery, now: datetime, due_at: datetime
    ) -> None:
        is_soon = due_at - now <= self.handover.eta_lead
        ring_at = due_at + (RING_GRACE if is_soon else -ETA_LEAD)
        self._give_back(replace(claimed, due_at=due_at), ring_at=ring_at)
        if is_soon:  # the scheduler's next tick may be too late
            self.handover.ring_for(replace(claimed, due_at=due_at), now)

    def _give_back(
        self, claimed: Delivery, *, ring_at: datetime, waits_for: str = ""
    ) -> None:
        self._record(
            claimed,
            lambda: self.deliveries.postpone(
                claimed, ring_at=ring_at, waits_for=waits_for
            ),
        )

    def _settle(self, claimed: Delivery, outcome: Outcome, judge: Judge) -> None:
        keep_until = judge.keep_until(outcome)
        is_ours = self._record(
            claimed,
            lambda: self.deliveries.settle(claimed, outcome, keep_until=keep_until),
        )
        if is_ours:
            count_and_log(claimed, outcome)
            self.witness.note(claimed, outcome)

    def _record(self, claimed: Delivery, write: Callable[[], bool]) -> bool:
        """Write what came of a claim, as soon as MongoDB takes it."""
        waited_s = 0.0
        while True:
            try:
                is_ours = write()
                break
            except StoreUnavailable as error:
                if waited_s >= SETTLE_FOR_S:
                    log.error("outcome not recorded id=%s error=%s", claimed.id, error)
                    raise
                self.wait(SETTLE_EVERY_S)
                waited_s += SETTLE_EVERY_S
        if not is_ours:
            metrics.LOST_CLAIMS.labels(claimed.zone).inc()
            log.warning("claim lost before it was settled id=%s", claimed.id)
        return is_ours


def _kind(key: str) -> str:
    return key.partition(":")[0]
