"""What the scheduler asks of the rows: who must be rung, and who is out of time.

A row that is not finished has a ``ring_at``: the instant at which somebody must look
after it, should nobody have settled it until then. Every question is a bounded scan
of one index, lane by lane, and reads no row that need not be looked after: neither
those that wait for a later time nor those that stand behind in another's backlog.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pymongo import ASCENDING

from mta.delivery import CLAIMABLE, WAITING, Delivery, DeliveryState, Outcome
from mta.store.deliveries import RING_GRACE, milliseconds, settlement
from mta.store.documents import to_deliveries
from mta.store.mongo import DELIVERIES, LIVE_ROW, Document, Mongo, durable, guarded

RING_AT_MOST = timedelta(minutes=10)

_WAITING, _CLAIMABLE = sorted(WAITING), sorted(CLAIMABLE)
_SENDING = DeliveryState.SENDING.value
# A held row waits for a person, a parked one for a slot, and one with a dot for the
# judgement of its doubt: a doorbell would change nothing for any of them.
_RINGABLE: Document = {
    "state": {"$in": [*_CLAIMABLE, _SENDING]},
    "waits_for": {"$exists": False},
    "dot_at": {"$exists": False},
}
# Said outright: what is chosen by trial may be chosen badly when the queue is long.
_BY_ID = [("_id", ASCENDING)]
_BY_LANE = [("zone", ASCENDING), ("lane", ASCENDING), ("ring_at", ASCENDING)]
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class Due:
    """Rows by the time at which they must be looked after.

    Args:
        grace: How long after its lease a late owner may still settle a row; as in
            ``Deliveries``.
    """

    def __init__(self, db: Mongo, *, grace: timedelta) -> None:
        self._rows = durable(db, DELIVERIES)
        self._grace = grace

    @guarded
    def zones(self) -> list[str]:
        """Zones with rows that are not finished, configured or not."""
        # The conditions are always true; they let the index jump from one zone to
        # the next instead of reading every row there ever was.
        query = {"zone": {"$gte": ""}, "ring_at": {"$gte": _EVER}}
        return sorted(self._rows.distinct("zone", query))

    @guarded
    def lanes(self, zone: str, now: datetime) -> list[str]:
        """Lanes of a zone with rows that must be looked after."""
        query = {"zone": zone, "lane": {"$gte": ""}, "ring_at": {"$lte": now}}
        return sorted(self._rows.distinct("lane", query))

    @guarded
    def to_ring(
        self, zone: str, lane: str, now: datetime, *, due_by: datetime, limit: int
    ) -> list[Delivery]:
        """Rows of a lane nobody has dealt with in time, the longest waiting first.

        Args:
            due_by: Not those that are due later: the broker would not hold their
                doorbells for so long.
        """
        query = {"zone": zone, "lane": lane, "ring_at": {"$lte": now}}
        found = (
            self._rows.find({**query, "due_at": {"$lte": due_by}, **_RINGABLE})
            .sort(_BY_LANE)
            .hint(_BY_LANE)
            .limit(limit)
        )
        return to_deliveries(found)

    @guarded
    def overdue(self, now: datetime, *, limit: int) -> list[Delivery]:
        """Rows of any zone that nobody owns, whose time is over, longest so first."""
        query = {"give_up_at": {"$lte": now}, **self._is_nobodys(), **LIVE_ROW}
        by_end = [("give_up_at", ASCENDING)]
        found = self._rows.find(query).sort(by_end).hint(by_end).limit(limit)
        return to_deliveries(found)

    @guarded
    def doubtful(self, *, limit: int) -> list[Delivery]:
        """Rows whose owner died between the final dot and its record."""
        by_dot = [("dot_at", ASCENDING)]
        found = self._rows.find(self._is_doubtful()).sort(by_dot).hint(by_dot)
        return to_deliveries(found.limit(limit))

    @guarded
    def oldest_due_at(self, zone: str, now: datetime) -> datetime | None:
        """Since when the waiting row of a zone that is due for longest has been so."""
        query = {"zone": zone, "due_at": {"$lte": now}, "state": {"$in": _CLAIMABLE}}
        by_due = [("zone", ASCENDING), ("due_at", ASCENDING)]
        row = self._rows.find_one(
            {**query, **LIVE_ROW}, {"due_at": 1}, sort=by_due, hint=by_due
        )
        return row["due_at"] if row else None

    @guarded
    def mark_rung(self, rung: Sequence[Delivery], now: datetime) -> None:
        """A doorbell is about to be published: wait longer before each next one.

        Written before publishing, so that a crash between costs one wait and
        never a storm. Only rows still as they were read are changed.
        """
        steps = [RING_GRACE * 2**n for n in range(7)]
        branches = [
            {
                "case": {"$lte": ["$rings", n]},
                "then": milliseconds(min(step, RING_AT_MOST)),
            }
            for n, step in enumerate(steps)
        ]
        wait = {
            "$switch": {"branches": branches, "default": milliseconds(RING_AT_MOST)}
        }
        # Not before it is due, and then the wait: the bell hangs until its ETA.
        base = {"$max": ["$due_at", {"$literal": now}]}
        update = [
            {
                "$set": {
                    "ring_at": {"$add": [base, wait]},
                    "rung_at": {"$literal": now},
                    "rings": {"$add": ["$rings", 1]},
                }
            }
        ]
        # Most were claimed equally often: then one update does for all.
        alike: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
        for row in rung:
            alike[row.claims, row.state.value].append(row.id)
        for (claims, state), ids in alike.items():
            fence = {"_id": {"$in": ids}, "claims": claims, "state": state}
            self._rows.update_many(fence, update, hint=_BY_ID)

    @guarded
    def postpone_ring(
        self, waiting: Sequence[Delivery], now: datetime, until: datetime
    ) -> None:
        """Their doorbells are still in the broker: look again at ``until``.

        Not those that were settled since, and are to be rung at a time of their own.
        """
        self._postpone(waiting, now, {"$literal": until})

    @guarded
    def leave_to_the_end(self, waiting: Sequence[Delivery], now: datetime) -> None:
        """They are not to be tried any more: look again when their time is over."""
        self._postpone(waiting, now, "$give_up_at")

    def _postpone(
        self, waiting: Sequence[Delivery], now: datetime, until: Document | str
    ) -> None:
        ids = [row.id for row in waiting]
        self._rows.update_many(
            {"_id": {"$in": ids}, "state": {"$in": _WAITING}, "ring_at": {"$lte": now}},
            [{"$set": {"ring_at": until}}],
            hint=_BY_ID,
        )

    @guarded
    def expire(self, row: Delivery, outcome: Outcome, *, keep_until: datetime) -> bool:
        """Give up a row that nobody owns."""
        fence = {"_id": row.id, "claims": row.claims, **self._is_nobodys()}
        update = settlement(outcome, keep_until=keep_until)
        return self._rows.update_one(fence, update).modified_count == 1

    @guarded
    def doubt(self, row: Delivery, outcome: Outcome, *, keep_until: datetime) -> bool:
        """Settle a row whose owner died after the final dot, if it is still so."""
        fence = {"_id": row.id, "claims": row.claims, **self._is_doubtful()}
        update = settlement(outcome, keep_until=keep_until)
        return self._rows.update_one(fence, update).modified_count == 1

    def _is_nobodys(self) -> Document:
        """It waits, or its owner died before the dot and no worker took it since."""
        abandoned = {"dot_at": {"$exists": False}, **self._is_abandoned()}
        return {"$or": [{"state": {"$in": _WAITING}}, abandoned]}

    def _is_doubtful(self) -> Document:
        return {"dot_at": {"$exists": True}, **self._is_abandoned()}

    def _is_abandoned(self) -> Document:
        late = {"$subtract": ["$$NOW", milliseconds(self._grace)]}
        return {"state": _SENDING, "$expr": {"$lt": ["$lease_until", late]}}
