"""One leader among replicas: a lease in MongoDB, by the database's clock."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pymongo.errors import DuplicateKeyError

from mta.store.mongo import LEADERS, Mongo, durable, guarded

LEASE = timedelta(seconds=15)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Leadership:
    """A claim to be the only one who does ``role``; renew it well within LEASE."""

    def __init__(self, db: Mongo, *, role: str, owner: str) -> None:
        self._leaders = durable(db, LEADERS)
        self._role = role
        self._owner = owner

    @guarded
    def acquire(self) -> bool:
        """Become or stay the leader; False while somebody else is."""
        # An upsert may not ask for $$NOW: first there is a vacant place, then a race.
        vacant = {"owner": "", "until": _LONG_AGO}
        with suppress(DuplicateKeyError):
            self._leaders.update_one(
                {"_id": self._role}, {"$setOnInsert": vacant}, upsert=True
            )
        until = {"$add": ["$$NOW", int(LEASE.total_seconds() * 1000)]}
        is_over = {"$expr": {"$lt": ["$until", "$$NOW"]}}
        taken = self._leaders.update_one(
            {"_id": self._role, "$or": [{"owner": self._owner}, is_over]},
            [{"$set": {"owner": {"$literal": self._owner}, "until": until}}],
        )
        return taken.matched_count == 1

    @guarded
    def resign(self) -> None:
        """Let a replica take over at once."""
        self._leaders.delete_one({"_id": self._role, "owner": self._owner})
