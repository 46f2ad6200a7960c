"""Rows to look at: of a message, by domain, by state, page by page. Changes nothing."""

from collections.abc import Collection, Iterable
from datetime import datetime

from pymongo import ASCENDING, DESCENDING

from mta.delivery import LIVE, Delivery, DeliveryState, delivery_id
from mta.store.documents import to_delivery
from mta.store.mongo import DELIVERIES, Document, Mongo, guarded


class Census:
    """Read access to the rows."""

    def __init__(self, db: Mongo) -> None:
        self._rows = db[DELIVERIES]

    @guarded
    def find(self, delivery_id: str) -> Delivery | None:
        """One row."""
        row = self._rows.find_one({"_id": delivery_id})
        return to_delivery(row) if row else None

    @guarded
    def of_message(self, message_id: str, *, limit: int) -> list[Delivery]:
        """The rows of a message's first ``limit`` recipients, in their order."""
        ids = [delivery_id(message_id, number) for number in range(1, limit + 1)]
        rows = map(to_delivery, self._rows.find({"_id": {"$in": ids}}))
        # "fff" comes before "1000": shorter ids first.
        return sorted(rows, key=lambda row: (len(row.id), row.id))

    @guarded
    def count_of_message(self, message_id: str) -> dict[DeliveryState, int]:
        """A message's rows by state, the finished ones included."""
        groups = self._rows.aggregate(
            [
                # All its ids begin so; "/" comes right after ".".
                {"$match": {"_id": {"$gt": f"{message_id}.", "$lt": f"{message_id}/"}}},
                {"$group": {"_id": "$state", "count": {"$sum": 1}}},
                {"$sort": {"_id": ASCENDING}},
            ]
        )
        return {DeliveryState(group["_id"]): group["count"] for group in groups}

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
    def count_live_in(self, zones: Collection[str]) -> dict[str, int]:
        """Rows that are not finished in each of ``zones`` that has any."""
        states = {"$in": sorted(LIVE)}
        counts = {
            zone: self._rows.count_documents({"state": states, "zone": zone})
            for zone in zones
        }
        return {zone: count for zone, count in counts.items() if count}

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

    @guarded
    def walk(
        self,
        states: Collection[DeliveryState],
        *,
        zone: str | None,
        after: str | None,
        limit: int,
    ) -> list[Delivery]:
        """Live rows in the order of their ids: those of older messages first.

        Args:
            after: Id of the last row of the page before.
        """
        query: Document = {"state": {"$in": sorted(states)}}
        if zone is not None:
            query["zone"] = zone
        if after is not None:
            query["_id"] = {"$gt": after}
        found = self._rows.find(query).sort("_id", ASCENDING).limit(limit)
        return [to_delivery(row) for row in found]

    @guarded
    def has_doubts(self) -> bool:
        """Whether any delivery is or was in doubt; reads one key of an index."""
        query = {"doubted_at": {"$exists": True}}
        return self._rows.find_one(query, {"_id": 1}) is not None

    @guarded
    def doubted(
        self, *, before: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[Delivery, datetime]]:
        """Deliveries that are or were in doubt, the latest first, each with its time.

        Args:
            before: Time and id of the last one of the page before.
        """
        query: Document = {"doubted_at": {"$exists": True}}
        if before is not None:
            at, last = before
            query = {
                "$or": [
                    {"doubted_at": {"$lt": at}},
                    {"doubted_at": at, "_id": {"$gt": last}},
                ]
            }
        found = (
            self._rows.find(query)
            .sort([("doubted_at", DESCENDING), ("_id", ASCENDING)])
            .limit(limit)
        )
        return [(to_delivery(row), row["doubted_at"]) for row in found]
