"""Rows that wait for a slot: parked in MongoDB, by the key of the limit they met.

Parking is no attempt and costs no polling: whoever frees a slot takes the next row
on, or rings for it. Rows are taken lane by lane, as ``choose`` says, so that who
parked ten thousand rows does not keep others waiting. ``ring_at`` is the safety
net, for when whoever should have taken them died.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock

from pymongo import ASCENDING, ReturnDocument

from mta.delivery import Delivery, DeliveryState
from mta.store.deliveries import RING_GRACE, Deliveries, milliseconds
from mta.store.documents import to_deliveries
from mta.store.mongo import DELIVERIES, LIVE_ROW, Document, Mongo, durable, guarded

# The scheduler looks after a parked row that nobody took for so long.
SAFETY_NET = timedelta(seconds=60)

# Picks one of the lanes that have rows parked for a limit.
ChooseLane = Callable[[Sequence[str]], str]

# Rows read at once, and for how long they are worth a try: claiming tells which of
# them are still there, and transactional mail must not wait behind a long list.
_READ_AT_ONCE = 8
_READ_WORTH_S = 0.5
_MANY_LANES = 1_000
_READ_AT_MOST = 1_000  # limits
_POSTPONED_AT_ONCE = 5_000
# Said outright: what is chosen by trial may be chosen badly when the park is full.
_BY_ID = [("_id", ASCENDING)]
_BY_LANE = [("waits_for", ASCENDING), ("lane", ASCENDING), ("due_at", ASCENDING)]
_BY_NET = [("waits_for", ASCENDING), ("ring_at", ASCENDING)]
_TRIES = 10


class Parking:
    """The parked rows.

    Args:
        choose: Whose turn it is, of at least one lane.
    """

    def __init__(
        self,
        db: Mongo,
        deliveries: Deliveries,
        choose: ChooseLane,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = durable(db, DELIVERIES)
        self._deliveries = deliveries
        self._choose = choose
        self._monotonic = monotonic
        self._lock = Lock()
        self._read: dict[str, tuple[float, deque[str]]] = {}

    def claim_next(self, key: str, *, zone: str, owner: str) -> Delivery | None:
        """Claim the next row of ``zone`` that is parked for ``key``.

        Raises:
            StoreUnavailable: MongoDB is away.
        """
        for _ in range(_TRIES):  # others may just have taken what was read
            delivery_id = self._next_id(key) or self._read_ids(key, zone)
            if delivery_id is None:
                return None
            claimed = self._deliveries.claim(delivery_id, owner=owner)
            if claimed is not None:
                return claimed
        return None

    @guarded
    def pick_next(self, key: str, now: datetime) -> Delivery | None:
        """Take the next row out of ``key``'s park, to be rung for at once."""
        return self._take_out(key, {"ring_at": now + RING_GRACE, "rung_at": now})

    @guarded
    def unpark(self, key: str, count: int, now: datetime) -> None:
        """Take some rows out of ``key``'s park: the scheduler rings for them now."""
        for _ in range(count):
            if self._take_out(key, {"ring_at": now}) is None:
                break

    @guarded
    def keys_to_ring(self, now: datetime) -> list[str]:
        """Limits with parked rows that nobody took in time."""
        query = {"waits_for": {"$gte": ""}, "ring_at": {"$lte": now}}
        return sorted(self._rows.distinct("waits_for", query))

    @guarded
    def parked_for(self) -> list[str]:
        """Limits for which rows are parked."""
        return sorted(self._rows.distinct("waits_for", {"waits_for": {"$gte": ""}}))

    @guarded
    def end_turns(self, zone: str, now: datetime, at: datetime | None = None) -> int:
        """Let rows that a rate or a measure has put off ask again; returns how many.

        They are those that are queued for a later time and were claimed before.

        Args:
            at: When they are due instead; None: now.
        """
        query = {"zone": zone, "state": DeliveryState.QUEUED.value}
        put_off = {"due_at": {"$gt": now}, "claims": {"$gt": 0}}
        again = {"due_at": at or now, "ring_at": at or now, "rung_at": None, "rings": 0}
        return self._rows.update_many(
            {**query, **put_off, **LIVE_ROW}, {"$set": again}
        ).matched_count

    @guarded
    def postpone(self, key: str, now: datetime) -> None:
        """Look again later at the rows of ``key`` whose safety net is due.

        Not at all of them at once: they are spread over two fifths of its length.
        """
        due = {"waits_for": key, "ring_at": {"$lte": now}}
        ids = self._rows.find(due, {"_id": 1}, hint=_BY_NET).limit(_POSTPONED_AT_ONCE)
        part = {"$add": [0.8, {"$multiply": [0.4, {"$rand": {}}]}]}
        wait = {"$toLong": {"$multiply": [milliseconds(SAFETY_NET), part]}}
        self._rows.update_many(
            {"_id": {"$in": [row["_id"] for row in ids]}, **due},
            [{"$set": {"ring_at": {"$add": [{"$literal": now}, wait]}}}],
            hint=_BY_ID,
        )

    def _next_id(self, key: str) -> str | None:
        with self._lock:
            worth_until, ids = self._read.get(key, (0.0, deque[str]()))
            if ids and worth_until > self._monotonic():
                return ids.popleft()
            self._read.pop(key, None)
            return None

    @guarded
    def _read_ids(self, key: str, zone: str) -> str | None:
        """Read the ids of the next rows; returns the first, and keeps the others."""
        lane = self._choose_lane(key)
        if lane is None:
            return None
        found = (
            self._rows.find({"waits_for": key, "lane": lane, "zone": zone}, {"_id": 1})
            .sort("due_at", ASCENDING)
            .hint(_BY_LANE)
            .limit(_READ_AT_ONCE)
        )
        ids = deque(str(row["_id"]) for row in found)
        if not ids:
            return None
        first = ids.popleft()
        if ids:
            self._keep(key, ids)
        return first

    def _keep(self, key: str, ids: deque[str]) -> None:
        now = self._monotonic()
        with self._lock:
            if len(self._read) >= _READ_AT_MOST:
                self._read = {k: v for k, v in self._read.items() if v[0] > now}
            self._read[key] = (now + _READ_WORTH_S, ids)

    def _take_out(self, key: str, changes: Document) -> Delivery | None:
        for _ in range(_TRIES):  # others take rows out as well
            lane = self._choose_lane(key)
            if lane is None:
                return None
            row = self._rows.find_one_and_update(
                {"waits_for": key, "lane": lane},
                {"$set": {**changes, "woken_by": key}, "$unset": {"waits_for": 1}},
                sort=[("due_at", ASCENDING)],
                hint=_BY_LANE,
                return_document=ReturnDocument.AFTER,
            )
            if taken := to_deliveries([row] if row else []):
                return taken[0]
        return None

    def _choose_lane(self, key: str) -> str | None:
        # The condition on lane is always true; it lets the index jump from one lane
        # to the next.
        found = self._rows.distinct("lane", {"waits_for": key, "lane": {"$gte": ""}})
        lanes = sorted(found)
        if len(lanes) > _MANY_LANES:
            # Others each time: none must be left out for good.
            start = int(self._monotonic() * 1000) % len(lanes)
            lanes = [*lanes[start:], *lanes[:start]][:_MANY_LANES]
        return self._choose(lanes) if lanes else None
