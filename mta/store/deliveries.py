"""The ``deliveries`` collection as its workers see it: insert, claim, settle.

Every change is one conditional update of one row, fenced by owner and ``claims``.
Claims and leases use the database's clock (``$$NOW``), so that a host whose clock
is wrong can neither steal a lease nor keep one. Whoever waits for the same kind of
round trip shares the next one.
"""

import secrets
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from mta.delivery import CLAIMABLE, Delivery, DeliveryState, Outcome
from mta.store.documents import LOG_KEPT, outcome_document, to_deliveries
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
# A deferral's Celery message is published this long before it is due: kombu's
# Redis transport is no place to hold an ETA for longer.
ETA_LEAD = timedelta(seconds=5)

_DUPLICATE_KEY = 11000
_CLAIMABLE = sorted(CLAIMABLE)
_SENDING = DeliveryState.SENDING.value
_SETTLED_FROM = [_SENDING, DeliveryState.IN_DOUBT.value]


def milliseconds(length: timedelta) -> int:
    """A length as MongoDB's date arithmetic takes it."""
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
        self._insert = Grouped(self._insert_all, most=20)
        self._claim = Grouped(self._claim_all)
        self._settle = Grouped(self._settle_all)
        self._mark = Grouped(self._mark_all)

    @property
    def grace(self) -> timedelta:
        """A late owner may settle for so long before anyone else may claim."""
        return self.lease / 3

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
        ``settle`` it is free again, so a crashed worker loses nothing; unless it
        had announced the final dot, which is for the scheduler to judge.
        """
        return self._claim((delivery_id, owner))

    @guarded
    def mark_dot(self, claimed: Delivery) -> bool:
        """Announce that the final dot is about to be sent.

        From here on, a death of ours leaves the delivery in doubt.

        Returns:
            False if the claim is lost: the dot must not be sent.
        """
        return self._mark(claimed)

    @guarded
    def settle(
        self, claimed: Delivery, outcome: Outcome, *, keep_until: datetime
    ) -> bool:
        """Record what an attempt came to, unless the claim was lost meanwhile.

        Repeating a settlement whose answer was lost is harmless. An owner that was
        cut off after the final dot may still say how a doubt ends.

        Args:
            keep_until: When the row may be forgotten, if this finishes it.

        Returns:
            False if another owner claimed the row: nothing was changed.
        """
        return self._settle((claimed, settlement(outcome, keep_until=keep_until)))

    @guarded
    def postpone(
        self, claimed: Delivery, *, ring_at: datetime, waits_for: str = ""
    ) -> bool:
        """Give a claim back: nothing was tried.

        ``due_at``, ``has_turn`` and ``put_off_by`` become what ``claimed`` says.

        Args:
            claimed: With another ``due_at``: nobody may claim it before.
            ring_at: When the scheduler looks after it.
            waits_for: Park it for a slot of this limit.

        Returns:
            False if another owner claimed the row: nothing was changed.
        """
        update = _leave(DeliveryState.QUEUED)
        changes: Document = {"due_at": claimed.due_at, "ring_at": ring_at}
        changes |= {"rung_at": None, "rings": 0}
        if waits_for:
            changes["waits_for"] = waits_for
        if claimed.has_turn:
            changes["has_turn"] = True
        if claimed.put_off_by:
            changes["put_off_by"] = claimed.put_off_by
        for key in changes:
            update["$unset"].pop(key, None)
        update["$set"] |= changes
        return self._settle((claimed, update))

    @guarded
    def renew(self, claims: Sequence[Delivery]) -> set[str]:
        """Extend the leases of ``claims``.

        Returns:
            The ids of those that are no longer ours.
        """
        return self._update_held(claims, self._lease_from_now())

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
        late = {"$subtract": ["$$NOW", milliseconds(self.grace)]}
        soon = {"$add": ["$$NOW", milliseconds(SKEW)]}
        claimable = [
            {"state": {"$in": _CLAIMABLE}, "$expr": {"$lte": ["$due_at", soon]}},
            {
                "state": _SENDING,
                "dot_at": {"$exists": False},
                "$expr": {"$lt": ["$lease_until", late]},
            },
        ]
        changes = [
            {
                "$set": {
                    "state": _SENDING,
                    "owner": {"$literal": owner},
                    "claims": {"$add": ["$claims", 1]},
                    "claimed_by": token,
                    "waits_for": "$$REMOVE",
                    "put_off_by": "$$REMOVE",
                    **self._lease_from_now(),
                }
            }
        ]
        query = {"_id": {"$in": list(ids)}, "$or": claimable}
        try:
            if len(ids) == 1:
                row = self._rows.find_one_and_update(
                    query, changes, return_document=ReturnDocument.AFTER
                )
                return to_deliveries([row] if row else [])
            if not self._rows.update_many(query, changes).matched_count:
                return []
        except PyMongoError:
            # It may have been done all the same. What was taken does not match again.
            self._rows.update_many(query, changes)
        mine = {"_id": {"$in": list(ids)}, "claimed_by": token}
        return to_deliveries(self._rows.find(mine))

    def _lease_from_now(self) -> Document:
        """When a lease that begins now ends, and when somebody must look after it."""
        watched = self.lease + self.grace
        return {
            "lease_until": {"$add": ["$$NOW", milliseconds(self.lease)]},
            "ring_at": {"$add": ["$$NOW", milliseconds(watched)]},
        }

    def _mark_all(self, claims: Sequence[Delivery]) -> list[bool]:
        lost = self._update_held(claims, {"dot_at": "$$NOW"})
        return [claimed.id not in lost for claimed in claims]

    def _update_held(self, claims: Sequence[Delivery], changes: Document) -> set[str]:
        """Change rows that are still ours, in one update; returns the other ids."""
        if not claims:
            return set()
        query = _fence(claims)
        matched = self._rows.update_many(query, [{"$set": changes}]).matched_count
        if matched == len(claims):
            return set()
        held = self._rows.find(query, {"_id": 1})
        return {claimed.id for claimed in claims} - {row["_id"] for row in held}

    def _settle_all(self, settled: Sequence[tuple[Delivery, Document]]) -> list[bool]:
        """Settle for many callers in one bulk write."""
        updates = [
            UpdateOne(_settled_fence(claimed, update), update)
            for claimed, update in settled
        ]
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


def _fence(claims: Sequence[Delivery]) -> Document:
    """Rows still as their claims left them; most claims share owner and number."""
    alike: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for claimed in claims:
        alike[claimed.owner, claimed.claims].append(claimed.id)
    fences: list[Document] = [
        {"_id": {"$in": ids}, "state": _SENDING, "owner": owner, "claims": count}
        for (owner, count), ids in alike.items()
    ]
    return fences[0] if len(fences) == 1 else {"$or": fences}


def _settled_fence(claimed: Delivery, update: Document) -> Document:
    """A doubt is recorded once; any other word of its owner may still end one."""
    is_doubt = update["$set"]["state"] == DeliveryState.IN_DOUBT.value
    states = [_SENDING] if is_doubt else _SETTLED_FROM
    return {**_fence([claimed]), "state": {"$in": states}}


def _is_settled(row: Document, claimed: Delivery, update: Document) -> bool:
    mark = (claimed.owner, claimed.claims, update["$set"]["state"])
    return (row.get("owner"), row.get("claims"), row.get("state")) == mark


def _leave(state: DeliveryState) -> Document:
    """Leave ``sending``, and all that has a meaning only there."""
    passing = (
        *("lease_until", "dot_at"),
        *("waits_for", "woken_by", "has_turn", "put_off_by"),
    )
    return {"$set": {"state": state.value}, "$unset": dict.fromkeys(passing, 1)}


def settlement(outcome: Outcome, *, keep_until: datetime) -> Document:
    """What an outcome does to its row.

    Args:
        keep_until: When the row may be forgotten, if this finishes it.
    """
    update = _leave(outcome.state)
    changes: Document = update["$set"]
    update["$push"] = {
        "log": {"$each": [outcome_document(outcome)], "$slice": -LOG_KEPT}
    }
    if outcome.attempt:
        changes["attempts"] = outcome.attempt
    if outcome.is_doubtful:
        changes["doubted_at"] = outcome.at
        update["$inc"] = {"doubts": 1}
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
