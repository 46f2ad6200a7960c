"""The measures in force, and the replies that rules count before they take one.

Few documents, written when a rule or an operator has something to say, and read by
every worker about once a second.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from mta.config.values import Rate, parse_rate
from mta.errors import StoreUnavailable
from mta.policy.measures import Measure
from mta.store.mongo import MEASURES, REFUSALS, Document, Mongo, durable, guarded

# A measure that is over is shown for so long.
SHOWN = timedelta(days=1)
MAX_LISTED = 10_000

_VERSION = "version"


class Measures:
    """The collection of measures; all times are aware UTC."""

    def __init__(self, db: Mongo) -> None:
        self._measures = durable(db, MEASURES)
        # At worst, a rule counts a reply less.
        self._counts = db[REFUSALS]

    @guarded
    def take(self, measure: Measure) -> Measure:
        """Put a measure in force, or prolong it; never shortens one.

        Returns:
            What is in force now.
        """
        is_over = {"$lt": [{"$ifNull": ["$until", measure.since]}, measure.since]}
        is_new = {"$or": [{"$eq": [{"$type": "$since"}, "missing"]}, is_over]}
        until = {"$max": ["$until", measure.until]}
        update = {
            **_document(measure),
            "since": {"$cond": [is_new, measure.since, "$since"]},
            "hits": {"$cond": [is_new, 1, {"$add": ["$hits", 1]}]},
            "until": until,
            "is_pinned": {"$ifNull": ["$is_pinned", False]},
            "expires_at": {"$cond": ["$is_pinned", "$$REMOVE", _shown(until)]},
        }
        found = self._measures.find_one_and_update(
            {"_id": measure.id},
            [{"$set": {k: _literal(v) for k, v in update.items()}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        self._tell()
        return _to_measure(_surely(found))

    @guarded
    def version(self) -> int:
        """A number that grows with every change; 0 if there was none."""
        found = self._counts.find_one({"_id": _VERSION}) or {}
        return int(found.get("changes", 0))

    @guarded
    def in_force(self, now: datetime) -> list[Measure]:
        """List those that hold now, the longest first."""
        query = {"$or": [{"until": {"$gt": now}}, {"is_pinned": True}]}
        found = self._measures.find(query).sort("until", -1).limit(MAX_LISTED)
        return [_to_measure(document) for document in found]

    @guarded
    def get(self, measure_id: str) -> Measure | None:
        """Find one, also if it is over."""
        found = self._measures.find_one({"_id": measure_id})
        return _to_measure(found) if found else None

    @guarded
    def clear(self, measure_id: str) -> Measure | None:
        """End a measure; returns what it was, None if there was none."""
        found = self._measures.find_one_and_delete({"_id": measure_id})
        self._tell()
        return _to_measure(found) if found else None

    @guarded
    def pin(self, measure_id: str, *, is_pinned: bool) -> Measure | None:
        """Let a measure hold until somebody clears it, or let it run out again."""
        expires_at = "$$REMOVE" if is_pinned else _shown("$until")
        found = self._measures.find_one_and_update(
            {"_id": measure_id},
            [{"$set": {"is_pinned": is_pinned, "expires_at": expires_at}}],
            return_document=ReturnDocument.AFTER,
        )
        self._tell()
        return _to_measure(found) if found else None

    @guarded
    def count(self, key: str, rate: Rate, now: datetime) -> bool:
        """Count a reply; whether as many of ``key`` came in the period as it takes."""
        found = self._counts.find_one_and_update(
            {"_id": key},
            {
                "$push": {"at": {"$each": [now], "$slice": -rate.count}},
                "$max": {"expires_at": now + rate.period},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        times: Sequence[datetime] = _surely(found)["at"]
        return len(times) >= rate.count and min(times) > now - rate.period

    def _tell(self) -> None:
        """Let readers know that there is something new, after it is there."""
        self._counts.update_one(
            {"_id": _VERSION}, {"$inc": {"changes": 1}}, upsert=True
        )


def _surely(found: Document | None) -> Document:
    """What an upsert returns is there."""
    if found is None:
        raise StoreUnavailable("an upsert returned nothing")
    return found


def _document(measure: Measure) -> Document:
    return {
        "action": measure.action,
        "site": measure.site,
        "source": measure.source,
        "tenant": measure.tenant,
        "rate": str(measure.rate) if measure.rate else None,
        "max_connections": measure.max_connections,
        "cause": measure.cause,
        "rule": measure.rule,
        "delivery": measure.delivery,
    }


def _literal(value: Any) -> Any:
    """Text from outside is no expression, whatever it begins with."""
    return {"$literal": value} if isinstance(value, str) else value


def _shown(until: Any) -> Document:
    return {"$add": [until, SHOWN // timedelta(milliseconds=1)]}


def _to_measure(document: Mapping[str, Any]) -> Measure:
    return Measure(
        action=document["action"],
        site=document["site"],
        source=document["source"],
        tenant=document["tenant"],
        rate=parse_rate(document["rate"]) if document.get("rate") else None,
        max_connections=document.get("max_connections"),
        since=document["since"],
        until=document["until"],
        cause=document["cause"],
        rule=document["rule"],
        is_pinned=document["is_pinned"],
        hits=document["hits"],
        delivery=document["delivery"],
    )
