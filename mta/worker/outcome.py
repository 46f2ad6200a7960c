"""What an attempt comes to: from what happened to the outcome that is recorded."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from mta.config.zones import Config, Zone
from mta.delivery import Delivery, DeliveryState, Outcome
from mta.errors import AttemptFailed
from mta.observe import metrics
from mta.policy.classify import category_of, decide
from mta.policy.retry import choose_schedule, next_attempt_at
from mta.policy.wait import is_about_pace, parse_wait
from mta.relay.request import Sent
from mta.reply import Reply, make_reply

log = logging.getLogger(__name__)

# A zone that is configured no more, or not yet here: look again then.
UNKNOWN_ZONE_WAIT = timedelta(minutes=5)
# Doubts about one delivery after which it is not simply tried again.
MAX_DOUBTS = 5

_EXPIRED = make_reply(554, "5.4.7", "Delivery time expired")
_GONE = make_reply(554, "5.3.0", "The message is no longer stored")


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns what happened into outcomes, by the configuration alone."""

    config: Config

    def zone_of(self, claimed: Delivery, now: datetime) -> Zone | Outcome:
        """The zone to try it in, or why it is not tried."""
        if now >= claimed.give_up_at:
            return _untried(DeliveryState.EXPIRED, _EXPIRED, now)
        zone = self.config.zones.get(claimed.zone)
        if zone is not None and not zone.disabled:
            return zone
        return Outcome(
            at=now,
            state=DeliveryState.DEFERRED,
            reply=make_reply(451, "4.3.5", f"Zone {claimed.zone} is not configured"),
            due_at=now + UNKNOWN_ZONE_WAIT,
            category="config",
        )

    def limit_of(self, domain: str) -> int:
        """How many connections a zone may have to a domain."""
        return self.config.domain_limits(domain).max_connections

    def gone(self, now: datetime) -> Outcome:
        """The message is not there any more."""
        return _untried(DeliveryState.BOUNCED, _GONE, now)

    def sent(
        self, claimed: Delivery, sent: Sent, started_at: datetime, now: datetime
    ) -> Outcome:
        """The next hop took it."""
        return Outcome(
            at=now,
            state=DeliveryState.DELIVERED,
            host=sent.host,
            address=sent.address,
            source=sent.source,
            tls=sent.tls,
            attempt=claimed.attempts + 1,
            duration_ms=_milliseconds(now - started_at),
            reply=sent.reply,
            reasons=sent.reasons,
            talk=sent.talk,
        )

    def failed(
        self,
        claimed: Delivery,
        zone: Zone,
        failure: AttemptFailed,
        started_at: datetime,
        now: datetime,
    ) -> Outcome:
        """It was tried, and not taken; or perhaps it was."""
        if failure.is_in_doubt:
            state, due_at = self.doubt(zone.in_doubt, claimed, now)
        else:
            state, due_at = self._after(claimed, zone, failure, now)
        return Outcome(
            at=now,
            state=state,
            due_at=due_at,
            category=failure.category,
            host=failure.host or "",
            address=failure.address or "",
            source=failure.source or "",
            attempt=claimed.attempts + 1,
            duration_ms=_milliseconds(now - started_at),
            reply=failure.reply,
            is_doubtful=failure.is_in_doubt,
            reasons=failure.reasons,
            talk=failure.talk,
        )

    def doubt(
        self,
        policy: Literal["retry", "hold", "assume_delivered"],
        row: Delivery,
        now: datetime,
    ) -> tuple[DeliveryState, datetime | None]:
        """State and next time of a delivery that may have arrived.

        A hop that takes messages and never says so gets a few copies, at growing
        intervals, not one every few minutes for weeks: then a person is asked.
        """
        if policy == "assume_delivered":
            return DeliveryState.DELIVERED, None
        if policy == "hold" or row.doubts >= MAX_DOUBTS:
            return DeliveryState.IN_DOUBT, row.give_up_at
        again_at = now + self.config.queue.in_doubt_wait * 2**row.doubts
        return DeliveryState.IN_DOUBT, min(again_at, row.give_up_at)

    def keep_until(self, outcome: Outcome) -> datetime:
        """When the record of a delivery that ends so may be forgotten."""
        return outcome.at + self.config.queue.keep_records

    def _after(
        self, claimed: Delivery, zone: Zone, failure: AttemptFailed, now: datetime
    ) -> tuple[DeliveryState, datetime | None]:
        if decide(failure).action != "defer":
            return DeliveryState.BOUNCED, None
        domain = self.config.domain_limits(claimed.domain)
        text = " ".join(failure.reply.text)
        scopes = (domain.defer_times, zone.defer_times, self.config.queue.defer_times)
        due_at = next_attempt_at(
            choose_schedule(
                [scope for scope in scopes if scope is not None], category_of(failure)
            ),
            attempts=claimed.attempts + 1,
            now=now,
            give_up_at=claimed.give_up_at,
            jitter=self.config.queue.jitter,
            key=claimed.id,
            asked=parse_wait(text),
            may_shorten=is_about_pace(text),
        )
        return (DeliveryState.DEFERRED if due_at else DeliveryState.BOUNCED), due_at


def count_and_log(claimed: Delivery, outcome: Outcome) -> None:
    """Tell the metrics and the log what was recorded."""
    latency = outcome.at - claimed.created_at
    metrics.count_outcome(claimed.zone, outcome, latency_s=latency.total_seconds())
    if outcome.is_doubtful:
        metrics.IN_DOUBT.labels(claimed.zone, "reply").inc()
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


def _untried(state: DeliveryState, reply: Reply, now: datetime) -> Outcome:
    return Outcome(at=now, state=state, reply=reply, category="queue")


def _milliseconds(length: timedelta) -> int:
    return int(length.total_seconds() * 1000)
