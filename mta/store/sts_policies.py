"""Policies that domains have published by MTA-STS, kept for all workers until they end.

One document per domain. What could not be fetched leaves what was known as it is; when
that was tried, and what was wrong, is kept beside it, so that not every process tries.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mta.policy.mta_sts import Mode, StsPolicy, refresh_at
from mta.policy.tls_results import TlsResult
from mta.store.mongo import STS_POLICIES, Document, Mongo, guarded

# A policy that is over is shown for so long.
SHOWN: Final = timedelta(days=7)
# A domain to which nothing was sent for so long: its policy is left to run out.
WANTED_FOR: Final = timedelta(days=30)
_TRIED_KEPT: Final = timedelta(days=1)


class Stored(NamedTuple):
    """What is known of a domain.

    Attributes:
        policy: None: none was ever fetched, or it is long over.
        tried_at: When fetching was tried in vain the last time, if it was since.
        tried_id: The record's id then.
        problem: What was wrong.
        used_at: When somebody last had mail for it, roughly.
    """

    policy: StsPolicy | None = None
    tried_at: datetime | None = None
    tried_id: str = ""
    problem: TlsResult | None = None
    text: str = ""
    used_at: datetime | None = None


class StsStore:
    """The collection; all times are aware UTC."""

    def __init__(self, db: Mongo) -> None:
        # At worst, a policy is fetched once more.
        self._policies = db[STS_POLICIES]

    @guarded
    def find(self, domain: str) -> Stored:
        """What is known of a domain; nothing, if it is new."""
        return _to_stored(self._policies.find_one({"_id": domain}))

    @guarded
    def keep(self, domain: str, policy: StsPolicy, now: datetime) -> None:
        """Keep a policy that was fetched just now."""
        until = policy.until or now
        said = {
            "mode": policy.mode.value,
            "mx": list(policy.mx),
            "max_age_s": policy.max_age // timedelta(seconds=1),
            "id": policy.id,
            "until": until,
            "fetched_at": policy.fetched_at,
            "refresh_at": refresh_at(policy),
            "expires_at": until + SHOWN,
        }
        nothing = {"tried_at": "", "tried_id": "", "problem": "", "text": ""}
        self._policies.update_one(
            {"_id": domain},
            {"$set": said, "$unset": nothing, "$setOnInsert": {"used_at": now}},
            upsert=True,
        )

    @guarded
    def note_failure(
        self, domain: str, record_id: str, problem: TlsResult, text: str, now: datetime
    ) -> None:
        """Remember that a policy could not be fetched."""
        said = {
            "tried_at": now,
            "tried_id": record_id,
            "problem": problem.value,
            "text": text,
        }
        self._policies.update_one(
            {"_id": domain},
            {
                "$set": said,
                "$max": {"expires_at": now + _TRIED_KEPT},
                "$setOnInsert": {"used_at": now},
            },
            upsert=True,
        )

    @guarded
    def note_use(self, domain: str, now: datetime) -> None:
        """Somebody has mail for the domain."""
        self._policies.update_one({"_id": domain}, {"$max": {"used_at": now}})

    @guarded
    def due(self, now: datetime, *, limit: int) -> list[str]:
        """Find domains whose policies are to be asked for before they run out."""
        is_due = {
            "refresh_at": {"$lte": now},
            "until": {"$gt": now},
            "used_at": {"$gt": now - WANTED_FOR},
        }
        found = self._policies.find(is_due, {"_id": True}).sort("refresh_at", 1)
        return [str(document["_id"]) for document in found.limit(limit)]

    @guarded
    def put_off(self, domain: str, until: datetime) -> None:
        """Ask again for a policy no sooner than then."""
        self._policies.update_one({"_id": domain}, {"$set": {"refresh_at": until}})


def _to_stored(document: Document | None) -> Stored:
    if document is None:
        return Stored()
    policy = None
    if "mode" in document:
        policy = StsPolicy(
            Mode(document["mode"]),
            tuple(document["mx"]),
            timedelta(seconds=document["max_age_s"]),
            id=document["id"],
            until=document["until"],
            fetched_at=document["fetched_at"],
        )
    problem = document.get("problem")
    return Stored(
        policy=policy,
        tried_at=document.get("tried_at"),
        tried_id=document.get("tried_id", ""),
        problem=TlsResult(problem) if problem else None,
        text=document.get("text", ""),
        used_at=document.get("used_at"),
    )
