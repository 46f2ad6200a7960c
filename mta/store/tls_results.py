"""What came of TLS with the hosts of domains, counted by day until it is reported.

One document for each day (of UTC), policy domain and policy, with a bounded number of
details; beside them one for each day and domain that says how far its report has got.

::

    "2026-03-10|d.test|3f2a...": {day, domain, policy: {type, lines, hosts},
        ok: 12, failed: 2, kinds: 1, details: {"9c1e...": {result, ..., n: 2}}}
    "2026-03-10|d.test": {report: true, next_at, tries, done: ["mailto:..."]}
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from pymongo import UpdateOne

from mta.policy.tls_report import Detail, Policy, Tally
from mta.policy.tls_results import TlsResult
from mta.store.mongo import TLS_RESULTS, Document, Mongo, guarded

KEPT: Final = timedelta(days=5)  # reports that cannot be sent are given up by then
MAX_DETAILS: Final = 100  # of one policy in a day; the rest is only counted
MAX_POLICIES: Final = 50  # of a domain in a day that a report tells of

Counts = Mapping[Detail, int]


class Progress(NamedTuple):
    """How far a report has got.

    Attributes:
        done: Places that have it.
    """

    tries: int = 0
    done: tuple[str, ...] = ()


class TlsResults:
    """The collection; days are those of UTC, and times aware."""

    def __init__(self, db: Mongo) -> None:
        # Not written with ``durable``: at worst, a report counts a session less.
        self._results = db[TLS_RESULTS]

    @guarded
    def add(self, day: date, counts: Mapping[Policy, Counts]) -> None:
        """Count sessions, by what they were judged by and what came of them."""
        updates = [
            update
            for policy, seen in counts.items()
            for update in _updates(day, policy, seen)
        ]
        if updates:
            self._results.bulk_write(updates, ordered=True)

    @guarded
    def days(self, domain: str) -> list[date]:
        """The days of which something is known about a domain."""
        found = self._results.distinct("day", {"domain": domain})
        return sorted(date.fromisoformat(day) for day in found)

    @guarded
    def unreported(self, before: date, now: datetime) -> list[tuple[date, str]]:
        """Find days and domains of which reports may be due, the oldest first."""
        waiting = {
            "report": True,
            "next_at": {"$gt": now},
        }
        put_off = {d["_id"] for d in self._results.find(waiting, {"_id": True})}
        groups = self._results.aggregate(
            [
                {"$match": {"day": {"$lt": before.isoformat()}}},
                {"$group": {"_id": {"day": "$day", "domain": "$domain"}}},
                {"$sort": {"_id.day": 1, "_id.domain": 1}},
            ]
        )
        keys = ((str(g["_id"]["day"]), str(g["_id"]["domain"])) for g in groups)
        return [
            (date.fromisoformat(day), domain)
            for day, domain in keys
            if f"{day}|{domain}" not in put_off
        ]

    @guarded
    def tallies(self, day: date, domain: str) -> list[Tally]:
        """What a report of that day tells a domain."""
        query = {"day": day.isoformat(), "domain": domain}
        found = self._results.find(query).sort("_id", 1).limit(MAX_POLICIES)
        return [_to_tally(document) for document in found]

    @guarded
    def progress(self, day: date, domain: str) -> Progress:
        """How far a report has got."""
        found = self._results.find_one({"_id": _report(day, domain)}) or {}
        return Progress(found.get("tries", 0), tuple(found.get("done", ())))

    @guarded
    def note_done(self, day: date, domain: str, place: str) -> None:
        """A place has the report."""
        self._results.update_one(
            {"_id": _report(day, domain)},
            {
                "$addToSet": {"done": place},
                "$set": {"report": True, "expires_at": _end(day)},
            },
            upsert=True,
        )

    @guarded
    def put_off(self, day: date, domain: str, until: datetime) -> None:
        """Try again to send a report then."""
        said = {"report": True, "next_at": until, "expires_at": _end(day)}
        self._results.update_one(
            {"_id": _report(day, domain)},
            {"$set": said, "$inc": {"tries": 1}},
            upsert=True,
        )

    @guarded
    def forget(self, day: date, domain: str) -> None:
        """The report is sent, or nobody wants it."""
        self._results.delete_many({"day": day.isoformat(), "domain": domain})
        self._results.delete_one({"_id": _report(day, domain)})


def _updates(day: date, policy: Policy, seen: Counts) -> Iterable[UpdateOne]:
    key = f"{_report(day, policy.domain)}|{_digest(policy)}"
    failed = sum(n for d, n in seen.items() if d.result is not TlsResult.SUCCESS)
    ok = sum(seen.values()) - failed
    yield UpdateOne(
        {"_id": key},
        {
            "$inc": {"ok": ok, "failed": failed, "kinds": 0},
            "$setOnInsert": {
                "day": day.isoformat(),
                "domain": policy.domain,
                "policy": {
                    "type": policy.type,
                    "lines": list(policy.lines),
                    "hosts": list(policy.hosts),
                },
                "expires_at": _end(day),
            },
        },
        upsert=True,
    )
    for detail, count in seen.items():
        if detail.result is TlsResult.SUCCESS:
            continue
        path = f"details.{_digest(detail)}"
        yield UpdateOne(
            {"_id": key, path: {"$exists": True}}, {"$inc": {f"{path}.n": count}}
        )
        yield UpdateOne(
            {"_id": key, path: {"$exists": False}, "kinds": {"$lt": MAX_DETAILS}},
            {"$set": {path: _detail_document(detail, count)}, "$inc": {"kinds": 1}},
        )


def _detail_document(detail: Detail, count: int) -> Document:
    return {**detail._asdict(), "result": detail.result.value, "n": count}


def _to_tally(document: Document) -> Tally:
    policy, details = document["policy"], document.get("details", {})
    return Tally(
        policy=Policy(
            policy["type"],
            document["domain"],
            tuple(policy["lines"]),
            tuple(policy["hosts"]),
        ),
        successes=document["ok"],
        failures=document["failed"],
        details=dict(map(_to_detail, details.values())),
    )


def _to_detail(document: dict[str, Any]) -> tuple[Detail, int]:
    fields = {name: document[name] for name in Detail._fields if name != "result"}
    return Detail(result=TlsResult(document["result"]), **fields), document["n"]


def _report(day: date, domain: str) -> str:
    return f"{day.isoformat()}|{domain}"


def _digest(value: tuple[object, ...]) -> str:
    return blake2b(repr(value).encode(), digest_size=12).hexdigest()


def _end(day: date) -> datetime:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight + timedelta(days=1) + KEPT
