"""Rows on their way from one zone to another.

Only rows that wait are moved, each by one conditional update: one that a worker has
claimed stays with its claim, and moves when it has come back. A doorbell that is on
its way for a row that was moved finds it in its new zone.
"""

from typing import Final

from mta.delivery import CLAIMABLE, WAITING, DeliveryState, Outcome
from mta.store.deliveries import ETA_LEAD, milliseconds
from mta.store.documents import LOG_KEPT, outcome_document
from mta.store.mongo import DELIVERIES, LIVE_ROW, Document, Mongo, durable, guarded

MOVED_AT_ONCE: Final = 1_000
_WAITING, _CLAIMABLE = sorted(WAITING), sorted(CLAIMABLE)
_PASSING = ("waits_for", "woken_by", "has_turn", "put_off_by")


class Moving:
    """The rows of one zone, as they become another's."""

    def __init__(self, db: Mongo) -> None:
        self._rows = durable(db, DELIVERIES)

    @guarded
    def count(self, zone: str) -> tuple[int, int]:
        """How many rows of a zone wait, and how many are being sent now."""
        sending = {"zone": zone, "state": DeliveryState.SENDING.value}
        return self._rows.count_documents(
            self._waiting(zone)
        ), self._rows.count_documents(sending)

    @guarded
    def move_some(self, source: str, target: str, note: Outcome) -> tuple[int, bool]:
        """Move some rows that wait; returns how many, and whether there may be more.

        Args:
            note: Goes into each row's log, with the state that the row has.
        """
        query = self._waiting(source)
        found = self._rows.find(query, {"_id": 1}).limit(MOVED_AT_ONCE)
        ids = [row["_id"] for row in found]
        update = [{"$set": _moved(target, note)}]
        done = self._rows.update_many({"_id": {"$in": ids}, **query}, update)
        return done.modified_count, len(ids) == MOVED_AT_ONCE

    def _waiting(self, zone: str) -> Document:
        return {"zone": zone, "state": {"$in": _WAITING}, **LIVE_ROW}


def _moved(target: str, note: Outcome) -> Document:
    """What becomes of a row: where it waited for the old zone, it is due now."""
    now = {"$literal": note.at}
    # Queued for a later time after a claim: a rate has put it off.
    put_off = {
        "$and": [
            {"$eq": ["$state", DeliveryState.QUEUED.value]},
            {"$gt": ["$claims", 0]},
        ]
    }
    due_at = {"$cond": [put_off, {"$min": ["$due_at", now]}, "$due_at"]}
    ring_at = {"$max": [now, {"$subtract": [due_at, milliseconds(ETA_LEAD)]}]}
    said = {"$literal": outcome_document(note)}
    entry = {"$mergeObjects": [said, {"state": "$state"}]}
    return {
        "zone": {"$literal": target},
        "rule": "moved by an operator",
        "due_at": due_at,
        "ring_at": {"$cond": [{"$in": ["$state", _CLAIMABLE]}, ring_at, "$ring_at"]},
        "rung_at": None,
        "rings": 0,
        "log": {"$slice": [{"$concatArrays": ["$log", [entry]]}, -LOG_KEPT]},
        **dict.fromkeys(_PASSING, "$$REMOVE"),
    }
