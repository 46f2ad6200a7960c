"""Ends what nobody else will: mail whose time is over, doubts a crash left, lost words.

A parked row waits for the word of whoever frees a slot. If that process died, so did
the word; then a few of those that wait for the limit are taken out of the park, to be
rung for like any others, and whoever is done with one of them goes on with the rest.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mta.config.live import Live
from mta.delivery import Delivery, DeliveryState, Outcome
from mta.observe import metrics
from mta.reply import make_reply
from mta.store.due import Due
from mta.store.parking import Parking
from mta.worker.outcome import Judge

log = logging.getLogger(__name__)

# Each of these is a round trip: a tick must not take long, and there is another.
EXPIRE_AT_ONCE = 200
DOUBTS_AT_ONCE = 200
KEYS_AT_ONCE = 200
# Parked rows rung for when a limit's word may have been lost: most are only waiting,
# in a long line, and each of these goes through a worker for nothing.
PARKED_AT_ONCE = 2
# A tick must not be late for the zones' lists.
UNPARK_FOR_S = 0.2

_EXPIRED = make_reply(554, "5.4.7", "Delivery time expired")
_DOUBTFUL = make_reply(
    450,
    "4.4.2",
    "The process ended between the final dot and its record; "
    "the message may have been delivered",
)


@dataclass(kw_only=True)
class Mender:
    """Puts right what a crash, or time, did to rows that nobody owns."""

    due: Due
    parking: Parking
    judge: Live[Judge]
    monotonic: Callable[[], float] = time.monotonic

    def expire(self, now: datetime) -> None:
        """Give up what waited for too long, whatever it waited for."""
        judge = self.judge.current
        for row in self.due.overdue(now, limit=EXPIRE_AT_ONCE):
            outcome = Outcome(
                at=now, state=DeliveryState.EXPIRED, reply=_EXPIRED, category="queue"
            )
            if self.due.expire(row, outcome, keep_until=judge.keep_until(outcome)):
                _count(row, outcome)
                log.info(
                    "expired id=%s zone=%s to=<%s> was=%s attempts=%d",
                    row.id,
                    row.zone,
                    row.recipient,
                    row.state.value,
                    row.attempts,
                )

    def settle_doubts(self, now: datetime) -> None:
        """Say of mail that may have been sent what its zone's policy says."""
        judge = self.judge.current
        for row in self.due.doubtful(limit=DOUBTS_AT_ONCE):
            zone = judge.config.zones.get(row.zone)
            policy = zone.in_doubt if zone else "retry"
            state, due_at = judge.doubt(policy, row, now)
            outcome = Outcome(
                at=now,
                state=state,
                due_at=due_at,
                reply=_DOUBTFUL,
                category="doubt",
                attempt=row.attempts + 1,
                is_doubtful=True,
            )
            if self.due.doubt(row, outcome, keep_until=judge.keep_until(outcome)):
                _count(row, outcome)
                metrics.IN_DOUBT.labels(row.zone, "crash").inc()
                log.warning(
                    "in doubt id=%s zone=%s to=<%s> owner=%s policy=%s due=%s",
                    row.id,
                    row.zone,
                    row.recipient,
                    row.owner,
                    policy,
                    due_at.isoformat() if due_at else "-",
                )

    def unpark(self, now: datetime) -> None:
        """Wake some of those that nobody took in time, limit by limit."""
        keys = self.parking.keys_to_ring(now)
        # Should there be too many, another part of them in each tick.
        start = int(now.timestamp()) * KEYS_AT_ONCE % max(1, len(keys))
        until_s = self.monotonic() + UNPARK_FOR_S
        for key in [*keys[start:], *keys[:start]][:KEYS_AT_ONCE]:
            self.parking.unpark(key, PARKED_AT_ONCE, now)
            self.parking.postpone(key, now)
            if self.monotonic() > until_s:
                break


def _count(row: Delivery, outcome: Outcome) -> None:
    latency_s = (outcome.at - row.created_at).total_seconds()
    metrics.count_outcome(row.zone, outcome, latency_s=latency_s)
