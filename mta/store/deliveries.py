"""The ``deliveries`` collection: insert, claim, settle, and who must be rung.

Every change is one conditional update of one row, fenced by owner and ``claims``.
Claims and leases use the database's clock (``$$NOW``), so that a host whose clock
is wrong can neither steal a lease nor keep one.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError

from mta.delivery import (
    LIVE,
    WAITING,
    Delivery,
    DeliveryState,
    Outcome,
    delivery_id,
)
from mta.store.documents import LOG_KEPT, outcome_document, to_delivery
from mta.store.grouped import Grouped
from mta.store.mongo import (
    DELIVERIES,
    Document,
    Mongo,
    durable,
    guarded,
)

# A doorbell may arrive this much before due_at by the database's clock.
SKEW = timedelta(seconds=2)
# How long a doorbell may be on its way before the scheduler rings again.
RING_GRACE = timedelta(seconds=10)
RING_AT_MOST = timedelta(minutes=10)
# A deferral's Celery message is published this long before it is due: kombu's
# Redis transport is no place to hold an ETA for longer.
ETA_LEAD = timedelta(seconds=5)

_DUPLICATE_KEY = 11000
_WAITING = [state.value for state in WAITING]


def _milliseconds(length: timedelta) -> int:
    return int(length.total_seconds() * 1000)


class Deliveries:
    """The rows, one per recipient.

    Args:
        lease: How long a claim holds without renewal. Must exceed the heartbeat
            (a quarter of it) by enough for a failover of MongoDB.
    """

    def __init__(self, db: Mongo, *, lease: timedelta) -> None:
        self._rows = durable(db, DELIVERIES)
        self.lease = lease
        # A late owner may settle before anyone else may claim.
        self._grace = lease / 3
        self._insert = Grouped(self._insert_all, most=20)
        self._claim = Grouped(self._claim_all)
        self._settle = Grouped(self._settle_all)

    @guarded
    def insert(self, rows: Sequence[Document]) -> None:
        """Insert new rows; those that exist stay as they are."""
        self._insert(rows)

    def _insert_all(self, asked: Sequence[Sequence[Document]]) -> list[None]:
        try:
            self._rows.insert_many(chain.from_iterable(asked), ordered=False)
        except BulkWriteError as error:
            details: dict[str, Any] = dict(error.details or {})
            codes = {failure["code"] for failure in details.get("writeErrors", [])}
            if codes - {_DUPLICATE_KEY} or details.get("writeConcernErrors"):
                raise
        return [None] * len(asked)

    @guarded
    def claim(self, delivery_id: str, *, owner: str) -> Delivery | None:
        """Take one due delivery, or None if there is nothing to take.

        Atomic: of many callers at most one gets it. After the lease without
        ``settle`` it is free again, so a crashed worker loses nothing.
        """
        return self._claim((delivery_id, owner))

    @guarded
    def settle(
        self, claimed: Delivery, outcome: Outcome, *, keep_until: datetime
    ) -> bool:
        """Record what an attempt came to, unless the claim was lost meanwhile.

        Repeating a settlement whose answer was lost is harmless.

        Args:
            keep_until: When the row may be forgotten, if this finishes it.

        Returns:
            False if another owner claimed the row: nothing was changed.
        """
        return self._settle((claimed, _settlement(outcome, keep_until=keep_until)))

    def _claim_all(self, asked: Sequence[tuple[str, str]]) -> list[Delivery | None]:
        """Claim for many callers; nearly always they have one owner."""
        claimed = {
            (row.id, owner): row
            for owner in {owner for _, owner in asked}
            for row in self._claim_for(owner, [key for key, by in asked if by == owner])
        }
        # Of two doorbells for one delivery in a group, the first has the claim.
        return [claimed.pop(key, None) for key in asked]

    def _claim_for(self, owner: str, ids: Sequence[str]) -> list[Delivery]:
        """One update for all, and one look at what it took."""
        token = secrets.token_hex(8)
        late = {"$subtract": ["$$NOW", _milliseconds(self._grace)]}
        soon = {"$add": ["$$NOW", _milliseconds(SKEW)]}
        claimable = [
            {"state": {"$in": _WAITING}, "$expr": {"$lte": ["$due_at", soon]}},
            {
                "state": DeliveryState.SENDING.value,
                "$expr": {"$lt": ["$lease_until", late]},
            },
        ]
        changes = {
            "state": DeliveryState.SENDING.value,
            "owner": {"$literal": owner},
            "claims": {"$add": ["$claims", 1]},
            "claimed_by": token,
            **self._lease_from_now(),
        }
        if len(ids) == 1:
            row = self._rows.find_one_and_update(
                {"_id": ids[0], "$or": claimable},
                [{"$set": changes}],
                return_document=ReturnDocument.AFTER,
            )
            return [to_delivery(row)] if row else []
        query = {"_id": {"$in": list(ids)}, "$or": claimable}
        if not self._rows.update_many(query, [{"$set": changes}]).matched_count:
            return []
        found = self._rows.find({"_id": {"$in": list(ids)}, "claimed_by": token})
        return [to_delivery(row) for row in found]

    def _lease_from_now(self) -> Document:
        """When a lease that begins now ends, and when somebody must look after it."""
        grace = self.lease + self._grace
        return {
            "lease_until": {"$add": ["$$NOW", _milliseconds(self.lease)]},
            "ring_at": {"$add": ["$$NOW", _milliseconds(grace)]},
        }

    def _settle_all(self, settled: Sequence[tuple[Delivery, Document]]) -> list[bool]:
        """Settle for many callers in one bulk write."""
        updates = [UpdateOne(_fence(claimed), update) for claimed, update in settled]
        result = self._rows.bulk_write(updates, ordered=False)
        if result.matched_count == len(settled):
            return [True] * len(settled)
        # Somebody's claim was lost, or an earlier try had come through: a row that
        # is still as its claim left it, but for the state, was settled by us.
        marks = {"$in": [claimed.id for claimed, _ in settled]}
        rows = self._rows.find({"_id": marks}, {"owner": 1, "claims": 1, "state": 1})
        now = {row["_id"]: row for row in rows}
        return [
            _is_settled(now.get(claimed.id, {}), claimed, update)
            for claimed, update in settled
        ]

    @guarded
    def renew(self, claims: Sequence[Delivery]) -> set[str]:
        """Extend the leases of ``claims``.

        Returns:
            The ids of those that are no longer ours.
        """
        if not claims:
            return set()
        update = [{"$set": self._lease_from_now()}]
        fences = [_fence(claimed) for claimed in claims]
        matched = self._rows.update_many({"$or": fences}, update).matched_count
        if matched == len(claims):
            return set()
        held = self._rows.find({"$or": fences}, {"_id": 1})
        return {claimed.id for claimed in claims} - {row["_id"] for row in held}

    @guarded
    def to_ring(self, zone: str, now: datetime, *, limit: int) -> list[Delivery]:
        """Rows nobody has dealt with in time, the longest waiting first."""
        found = (
            self._rows.find({"zone": zone, "ring_at": {"$lte": now}})
            .sort([("zone", ASCENDING), ("ring_at", ASCENDING)])
            .limit(limit)
        )
        return [to_delivery(row) for row in found]

    @guarded
    def zones_to_ring(self, now: datetime) -> list[str]:
        """Zones with rows to ring, configured or not."""
        # The condition on zone is always true; it lets the index jump from one zone
        # to the next instead of reading every row there ever was.
        query = {"zone": {"$gte": ""}, "ring_at": {"$lte": now}}
        return sorted(self._rows.distinct("zone", query))

    @guarded
    def overdue(self, zone: str, now: datetime, *, limit: int) -> list[Delivery]:
        """Waiting rows to be rung whose time is over."""
        query = {"zone": zone, "ring_at": {"$lte": now}, "give_up_at": {"$lte": now}}
        query["state"] = {"$in": _WAITING}
        return [to_delivery(row) for row in self._rows.find(query).limit(limit)]

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
                "then": _milliseconds(min(step, RING_AT_MOST)),
            }
            for n, step in enumerate(steps)
        ]
        wait = {
            "$switch": {"branches": branches, "default": _milliseconds(RING_AT_MOST)}
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
        self._rows.bulk_write(
            [
                UpdateOne(
                    {"_id": row.id, "claims": row.claims, "state": row.state.value},
                    update,
                )
                for row in rung
            ],
            ordered=False,
        )

    @guarded
    def postpone_ring(
        self, waiting: Sequence[Delivery], now: datetime, until: datetime
    ) -> None:
        """Their doorbells are still in the broker: look again at ``until``.

        Not those that were settled since, and are to be rung at a time of their own.
        """
        ids = [row.id for row in waiting]
        self._rows.update_many(
            {"_id": {"$in": ids}, "state": {"$in": _WAITING}, "ring_at": {"$lte": now}},
            {"$set": {"ring_at": until}},
        )

    @guarded
    def expire(self, row: Delivery, outcome: Outcome, *, keep_until: datetime) -> bool:
        """Give up a waiting row whose time is over."""
        fence = {"_id": row.id, "claims": row.claims, "state": {"$in": _WAITING}}
        update = _settlement(outcome, keep_until=keep_until)
        return self._rows.update_one(fence, update).modified_count == 1

    @guarded
    def of_message(self, message_id: str, *, limit: int) -> list[Delivery]:
        """The rows of a message's first ``limit`` recipients, in their order."""
        ids = [delivery_id(message_id, number) for number in range(1, limit + 1)]
        rows = map(to_delivery, self._rows.find({"_id": {"$in": ids}}))
        # "fff" comes before "1000": shorter ids first.
        return sorted(rows, key=lambda row: (len(row.id), row.id))

    @guarded
    def count_by_domain(
        self, states: Iterable[DeliveryState], *, zone: str | None
    ) -> list[tuple[str, int]]:
        """Live rows per recipient domain, most first."""
        match: Document = {"state": {"$in": [state.value for state in states]}}
        if zone is not None:
            match["zone"] = zone
        groups = self._rows.aggregate(
            [
                {"$match": match},
                {"$group": {"_id": "$domain", "count": {"$sum": 1}}},
                {"$sort": {"count": -1, "_id": 1}},
            ]
        )
        return [(group["_id"], group["count"]) for group in groups]

    @guarded
    def count_live(self) -> dict[DeliveryState, int]:
        """Rows by state, the finished ones left out; reads an index only."""
        return {
            state: self._rows.count_documents({"state": state.value}) for state in LIVE
        }

    @guarded
    def listing(  # the six things a page of a list is made of
        self,
        states: Iterable[DeliveryState],
        *,
        zone: str,
        sort: str,
        descending: bool,
        start: int,
        limit: int,
    ) -> list[Delivery]:
        """One page of a zone's live rows, sorted by one field."""
        states_in = {"$in": [state.value for state in states]}
        found = (
            self._rows.find({"state": states_in, "zone": zone})
            .sort([(sort, DESCENDING if descending else ASCENDING)])
            .skip(start)
            .limit(limit)
            .allow_disk_use(True)
        )
        return [to_delivery(row) for row in found]


def _fence(claimed: Delivery) -> Document:
    return {
        "_id": claimed.id,
        "state": DeliveryState.SENDING.value,
        "owner": claimed.owner,
        "claims": claimed.claims,
    }


def _is_settled(row: Document, claimed: Delivery, update: Document) -> bool:
    mark = (claimed.owner, claimed.claims, update["$set"]["state"])
    return (row.get("owner"), row.get("claims"), row.get("state")) == mark


def _settlement(outcome: Outcome, *, keep_until: datetime) -> Document:
    changes: Document = {"state": outcome.state.value}
    update: Document = {
        "$set": changes,
        "$push": {"log": {"$each": [outcome_document(outcome)], "$slice": -LOG_KEPT}},
        "$unset": {"lease_until": 1},
    }
    if outcome.attempt:
        changes["attempts"] = outcome.attempt
    if outcome.state.is_terminal:
        changes |= {"finished_at": outcome.at, "expires_at": keep_until}
        update["$unset"]["ring_at"] = 1
    elif outcome.due_at is not None:
        changes |= {
            "due_at": outcome.due_at,
            "ring_at": outcome.due_at - ETA_LEAD,
            "rung_at": None,
            "rings": 0,
        }
    return update
