"""One attempt at one delivery: claim, send, decide, settle.

Whatever happens here, the row is right: a claim that is not settled runs out and
somebody tries again. A settlement is the first thing done after the next hop's
answer, and it is retried while MongoDB is away, because forgetting a 250 means
sending twice.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mta.config.zones import Config, Zone
from mta.delivery import Delivery, DeliveryState, Outcome
from mta.errors import (
    AttemptFailed,
    ContentMissing,
    StoreUnavailable,
    TransientFailure,
)
from mta.mail.trace import format_received
from mta.observe import metrics
from mta.policy.classify import decide
from mta.policy.retry import next_attempt_at
from mta.relay.relay import RelayRequest, Sent
from mta.reply import Reply, make_reply
from mta.store.deliveries import Deliveries
from mta.store.documents import StoredMessage
from mta.worker.leases import Leases
from mta.worker.library import Library

log = logging.getLogger(__name__)

# How long a settlement is tried again while MongoDB is away, and how often.
SETTLE_FOR_S = 600.0
SETTLE_EVERY_S = 2.0
# A zone that is configured no more, or not yet here: look again then.
UNKNOWN_ZONE_WAIT = timedelta(minutes=5)

SOFTWARE = "celery-mta"

_EXPIRED = make_reply(554, "5.4.7", "Delivery time expired")
_GONE = make_reply(554, "5.3.0", "The message is no longer stored")
_OUR_FAULT = make_reply(451, "4.3.0", "Internal error")


class LeaseLost(Exception):
    """Another worker may own the delivery now; nothing more may be sent."""


class Relay(Protocol):
    """Sends one message to one recipient.

    Raises:
        AttemptFailed: with the reply, and whether it may do better later.
    """

    def send(self, request: RelayRequest) -> Sent: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Everything an attempt needs.

    Attributes:
        owner: Names this process in leases; unique over hosts and restarts.
        now: The clock; aware UTC.
    """

    config: Config
    deliveries: Deliveries
    library: Library
    leases: Leases
    relay: Relay
    owner: str
    now: Callable[[], datetime]
    wait: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def start(self) -> None:
        """Begin to keep leases alive."""
        self.leases.start()

    def stop(self) -> None:
        """No attempt runs any more: say QUIT on idle sessions."""
        self.leases.stop()
        self.relay.close()

    def attempt(self, delivery_id: str) -> None:
        """Try one delivery once. A late or repeated call changes nothing."""
        try:
            self._attempt(delivery_id)
        except StoreUnavailable as error:
            # The row is as it was, or its lease runs out: later, not lost.
            log.warning("left to the scheduler id=%s error=%s", delivery_id, error)

    def _attempt(self, delivery_id: str) -> None:
        asked_at = self.monotonic()
        claimed = self.deliveries.claim(delivery_id, owner=self.owner)
        if claimed is None:
            # An echo: not due, settled, or another worker's.
            metrics.ECHOES.inc()
            return
        started_at = self.now()
        with self.leases.holding(claimed, asked_at=asked_at):
            try:
                outcome = self._try(claimed, started_at)
            except LeaseLost:
                metrics.LOST_CLAIMS.labels(claimed.zone).inc()
                return
        # No longer held: a heartbeat must not take a settled row for a lost one.
        self._settle(claimed, outcome)

    def _try(self, claimed: Delivery, started_at: datetime) -> Outcome:
        """Send; every failure becomes an outcome, the unexpected ones "later"."""
        if started_at >= claimed.give_up_at:
            return _untried(DeliveryState.EXPIRED, _EXPIRED, started_at)
        zone = self.config.zones.get(claimed.zone)
        if zone is None or zone.disabled:
            return _parked(claimed.zone, started_at)
        try:
            sent = self._send(claimed, zone)
        except KeyError:
            return _untried(DeliveryState.BOUNCED, _GONE, started_at)
        except AttemptFailed as failure:
            return self._after_failure(claimed, zone, failure, started_at)
        if sent.is_reused:
            metrics.CONNECTION_REUSES.inc()
        return Outcome(
            at=self.now(),
            state=DeliveryState.DELIVERED,
            host=sent.host,
            address=sent.address,
            source=sent.source,
            tls=sent.tls,
            attempt=claimed.attempts + 1,
            duration_ms=_milliseconds(self.now() - started_at),
            reply=sent.reply,
        )

    def _send(self, claimed: Delivery, zone: Zone) -> Sent:
        """Send.

        Raises:
            AttemptFailed: for whatever reason, the unexpected ones transient.
            KeyError: The message is gone.
            LeaseLost: The delivery is no longer ours.
            StoreUnavailable: MongoDB is away: no attempt was made.
        """
        message = self.library.message(claimed.message_id)
        try:
            return self.relay.send(self._request(claimed, zone, message))
        except (AttemptFailed, LeaseLost, StoreUnavailable):
            raise
        except ContentMissing as error:
            log.error("content missing id=%s error=%s", claimed.id, error)
            raise TransientFailure(_OUR_FAULT, category="store") from error
        except Exception as error:
            log.exception("attempt broke id=%s", claimed.id)
            raise TransientFailure(_OUR_FAULT, category="other") from error

    def _after_failure(
        self,
        claimed: Delivery,
        zone: Zone,
        failure: AttemptFailed,
        started_at: datetime,
    ) -> Outcome:
        now = self.now()
        decision = decide(failure)
        due_at = None
        if decision.action == "defer":
            due_at = next_attempt_at(
                zone.defer_times or self.config.queue.defer_times,
                attempts=claimed.attempts + 1,
                now=now,
                give_up_at=claimed.give_up_at,
            )
        return Outcome(
            at=now,
            state=DeliveryState.DEFERRED if due_at else DeliveryState.BOUNCED,
            due_at=due_at,
            category=failure.category,
            host=failure.host or "",
            address=failure.address or "",
            source=failure.source or "",
            attempt=claimed.attempts + 1,
            duration_ms=_milliseconds(now - started_at),
            reply=failure.reply,
        )

    def _request(
        self, claimed: Delivery, zone: Zone, message: StoredMessage
    ) -> RelayRequest:
        def content(ehlo_name: str) -> Iterator[bytes]:
            yield format_received(
                message.envelope,
                by=ehlo_name,
                name=SOFTWARE,
                delivery_id=claimed.id,
                recipient=claimed.recipient,
            )
            yield message.header + b"\r\n"
            yield from self.library.body(message)
            # The last moment at which not sending is still possible.
            if self.leases.is_lost(claimed):
                raise LeaseLost

        return RelayRequest(
            zone=zone,
            reverse_path=message.envelope.reverse_path,
            recipient=claimed.recipient,
            domain=claimed.domain,
            delivery_id=claimed.id,
            size=message.size,
            needs_8bit=message.body.is_8bit,
            needs_utf8=message.needs_utf8,
            open_content=content,
        )

    def _settle(self, claimed: Delivery, outcome: Outcome) -> None:
        keep_until = outcome.at + self.config.queue.keep_records
        waited_s = 0.0
        while True:
            try:
                is_ours = self.deliveries.settle(
                    claimed, outcome, keep_until=keep_until
                )
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
            return
        latency = outcome.at - claimed.created_at
        metrics.count_outcome(claimed.zone, outcome, latency_s=latency.total_seconds())
        _log_outcome(claimed, outcome)


def _parked(zone: str, now: datetime) -> Outcome:
    return Outcome(
        at=now,
        state=DeliveryState.DEFERRED,
        reply=make_reply(451, "4.3.5", f"Zone {zone} is not configured here"),
        due_at=now + UNKNOWN_ZONE_WAIT,
        category="config",
    )


def _untried(state: DeliveryState, reply: Reply, now: datetime) -> Outcome:
    return Outcome(at=now, state=state, reply=reply, category="queue")


def _milliseconds(length: timedelta) -> int:
    return int(length.total_seconds() * 1000)


def _log_outcome(claimed: Delivery, outcome: Outcome) -> None:
    log.info(
        "%s id=%s zone=%s to=<%s> mx=%s[%s] attempt=%d ms=%d due=%s category=%s (%s)",
        outcome.state.value,
        claimed.id,
        claimed.zone,
        claimed.recipient,
        outcome.host or "-",
        outcome.address or "-",
        outcome.attempt,
        outcome.duration_ms,
        outcome.due_at.isoformat() if outcome.due_at else "-",
        outcome.category or "-",
        outcome.response,
    )
