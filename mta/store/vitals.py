"""How the queue fares: one small document, and one write that tells two things.

The leading scheduler counts what waits, now and then, and says here for how long that
holds. Each door asks often, by a write of the kind that its promises rest on: how long
that takes is how the database fares, and what comes back is the last count. Times are
the database's own, so that no clock of ours plays a part.
"""

from datetime import timedelta
from typing import Final, NamedTuple

import pymongo
from pymongo import ReturnDocument

from mta.store.mongo import VITALS, Mongo, durable, guarded

# A count says something for so long after the next one should have come: another
# scheduler has taken the lead by then, or none is there.
GRACE: Final = timedelta(minutes=2)

_QUEUE = "queue"
_MILLISECOND = timedelta(milliseconds=1)


class Depth(NamedTuple):
    """How many deliveries wait, and for how long yet that says something."""

    waiting: int
    holds: timedelta


class QueueVitals:
    """The document's writers and readers."""

    def __init__(self, db: Mongo) -> None:
        self._vitals = durable(db, VITALS)

    @guarded
    def tell(self, waiting: int, *, again_in: timedelta) -> None:
        """Say how many deliveries wait, and when that is counted again."""
        holds_ms = (again_in + GRACE) // _MILLISECOND
        told = {
            "waiting": waiting,
            "measured_at": "$$NOW",
            "holds_until": {"$add": ["$$NOW", holds_ms]},
        }
        self._vitals.update_one({"_id": _QUEUE}, [{"$set": told}], upsert=True)

    @guarded
    def ask(self, *, patience: timedelta) -> Depth | None:
        """Write, and read how many deliveries wait; None if nobody has told lately.

        Raises:
            StoreUnavailable: It could not be written, or not within ``patience``.
        """
        with pymongo.timeout(patience.total_seconds()):
            found = self._vitals.find_one_and_update(
                {"_id": _QUEUE},
                [{"$set": {"asked_at": "$$NOW"}}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        if found is None or "holds_until" not in found:
            return None
        holds = found["holds_until"] - found["asked_at"]
        return Depth(found["waiting"], holds) if holds > timedelta(0) else None
