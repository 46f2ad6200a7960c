"""The workers that live: one document each, by the database's clock.

For the shares that they keep while Redis is away, and for whoever wants to know
which zones have a worker that gets something done.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from mta.policy.limits import zone_of
from mta.store.mongo import WORKERS, Document, Mongo, guarded

# A worker that was silent for so long is given up. It beats every 10 s or so.
ALIVE = timedelta(seconds=45)


class Presence(NamedTuple):
    """Which of ``count`` workers this one is; ``rank`` is from 0."""

    rank: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs


ALONE = Presence(0, 1)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one worker stands among the others; all see the same orders.

    Attributes:
        everyone: Among all workers: for limits that know no zones.
        zones: Among those of each of its zones: for the limits of the zone.
    """

    everyone: Presence = ALONE
    zones: Mapping[str, Presence] = field(default_factory=dict)

    @property
    def is_alone(self) -> bool:
        """There is nobody to share with."""
        return self.everyone.count == 1

    def is_smaller_than(self, other: "Standing") -> bool:
        """Some share would be larger than by ``other``."""
        pairs = [(self.everyone, other.everyone)]
        pairs += [(place, other.zones.get(z, place)) for z, place in self.zones.items()]
        return any(mine.count < its.count for mine, its in pairs)

    def among_users_of(self, key: str) -> Presence:
        """Its place among those who may need the limit ``key``.

        A limit's key says its zone, unless it is of several or was too odd to say
        anything.
        """
        return self.zones.get(zone_of(key), self.everyone)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """A live worker.

    Attributes:
        zones: Sorted.
        started: Deliveries begun since the worker's own start.
        busy: Deliveries being worked on.
        since: When it was first seen.
        seen_at: When it was last seen.
        changed_at: When ``started`` was last seen to change.
    """

    owner: str
    zones: tuple[str, ...]
    host: str
    pid: int
    started: int
    busy: int
    since: datetime
    seen_at: datetime
    changed_at: datetime


class Workers:
    """The registry."""

    def __init__(self, db: Mongo) -> None:
        # Not written with ``durable``: what a crash takes, the next beat brings.
        self._workers = db[WORKERS]

    @guarded
    def beat(
        self,
        owner: str,
        *,
        zones: Sequence[str],
        host: str,
        pid: int,
        started: int,
        busy: int,
    ) -> Standing:
        """Say that ``owner`` lives; returns where it stands."""
        served = sorted(set(zones))
        says = {
            "zones": served,
            "host": host,
            "pid": pid,
            "started": started,
            "busy": busy,
        }
        is_unchanged = {"$eq": ["$started", started]}
        self._workers.update_one(
            {"_id": owner},
            [
                {
                    "$set": {
                        **{name: {"$literal": value} for name, value in says.items()},
                        "seen_at": "$$NOW",
                        "since": {"$ifNull": ["$since", "$$NOW"]},
                        "changed_at": {"$cond": [is_unchanged, "$changed_at", "$$NOW"]},
                    }
                }
            ],
            upsert=True,
        )
        found = self._workers.find(_is_alive(), {"zones": 1})
        # Ours is among them, unless the operator has just taken it out.
        live: dict[str, list[str]] = {str(row["_id"]): row["zones"] for row in found}
        live[owner] = served
        return Standing(
            _place(owner, live),
            {
                zone: _place(owner, [name for name in live if zone in live[name]])
                for zone in served
            },
        )

    @guarded
    def leave(self, owner: str) -> None:
        """``owner`` ends in good order."""
        self._workers.delete_one({"_id": owner})

    @guarded
    def live(self) -> list[WorkerSeen]:
        """All live workers, sorted by owner."""
        return [_seen(row) for row in self._workers.find(_is_alive()).sort("_id", 1)]


def _place(owner: str, owners: Iterable[str]) -> Presence:
    ordered = sorted(owners)
    return Presence(ordered.index(owner), len(ordered))


def _is_alive() -> Document:
    oldest = {"$subtract": ["$$NOW", int(ALIVE.total_seconds() * 1000)]}
    return {"$expr": {"$gt": ["$seen_at", oldest]}}


def _seen(row: dict[str, Any]) -> WorkerSeen:
    return WorkerSeen(
        owner=row["_id"],
        zones=tuple(row["zones"]),
        host=row["host"],
        pid=row["pid"],
        started=row["started"],
        busy=row["busy"],
        since=row["since"],
        seen_at=row["seen_at"],
        changed_at=row["changed_at"],
    )
