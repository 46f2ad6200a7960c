"""Holds what the clients were told against what arrived and what the system says.

The system is asked two ways: MongoDB for the states of the rows, and the API for
the deliveries it lists as having been in doubt.
"""

import json
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.proof.ledger import Ledger, Told
from tests.support.fast_sink import Arrival

FINISHED = ["delivered", "bounced", "expired", "cancelled"]
PAGE = 1000
_POLL_S = 0.25
_SHOWN = {
    "recipient": 1,
    "zone": 1,
    "state": 1,
    "attempts": 1,
    "claims": 1,
    "doubts": 1,
    "due_at": 1,
    "ring_at": 1,
    "rung_at": 1,
    "lease_until": 1,
    "dot_at": 1,
    "waits_for": 1,
    "has_turn": 1,
}


@dataclass(slots=True)
class Verdict:
    """Counts are of recipients, not of messages.

    Attributes:
        accepted: Promised.
        delivered: Promised and at the sink.
        bounced: Promised, refused by the sink, and known to be.
        lost: Promised, and neither of both.
        duplicates: At the sink more than once.
        unlisted: Of these, those the system does not list as in doubt.
        listed: How many the system lists in all.
        refused_but_delivered: At the sink, though the client was refused.
        corrupt: At the sink, and not as sent.
        contradicted: At the sink, and bounced or expired all the same.
        strangers: At the sink, and nobody sent them.
        unfinished: Rows that did not come to an end in time; ``leftovers``: some.
    """

    accepted: int = 0
    delivered: int = 0
    bounced: int = 0
    unknown: int = 0
    unknown_but_delivered: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    listed: int = 0
    refused_but_delivered: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    unfinished: int = 0
    leftovers: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept, in words."""
        counts = {
            "lost": self.lost,
            "unlisted duplicates": self.unlisted,
            "refused but delivered": self.refused_but_delivered,
            "corrupt": self.corrupt,
            "delivered and bounced": self.contradicted,
            "never sent": self.strangers,
        }
        found = [
            f"{what}: {len(which)}, such as {', '.join(which[:5])}"
            for what, which in counts.items()
            if which
        ]
        if self.unfinished:
            found.append(f"not finished in time: {self.unfinished}")
            found += self.leftovers
        return found

    def lines(self) -> list[str]:
        """The report."""
        return [
            f"accepted              {self.accepted}",
            f"delivered             {self.delivered}",
            f"bounced, as they were {self.bounced}",
            f"LOST                  {len(self.lost)}",
            f"duplicates            {len(self.duplicates)}",
            f"  of these unlisted   {len(self.unlisted)}",
            f"listed as in doubt    {self.listed}",
            f"refused               {self.refused}",
            f"refused, delivered    {len(self.refused_but_delivered)}",
            f"unknown to the client {self.unknown}",
            f"  of these delivered  {self.unknown_but_delivered}",
            f"corrupt               {len(self.corrupt)}",
            f"delivered and bounced {len(self.contradicted)}",
            f"never sent            {len(self.strangers)}",
            f"not finished          {self.unfinished}",
        ]


def judge(
    ledger: Ledger,
    arrivals: Iterable[Arrival],
    states: dict[str, str],
    doubted: Iterable[str],
    *,
    run: str,
) -> Verdict:
    """Judge one run.

    Args:
        states: Of the rows, by recipient.
        doubted: Recipients that are listed as in doubt.
        run: What the tokens of this run begin with; other arrivals are not its.
    """
    verdict = Verdict()
    times: Counter[str] = Counter()
    for arrival in arrivals:
        if arrival.token.startswith(f"{run}-"):
            times[arrival.recipient] += 1
            if arrival.health != "ok":
                verdict.corrupt.append(arrival.recipient)
    listed = set(doubted)
    told: defaultdict[str, set[Told]] = defaultdict(set)
    for entry in ledger.entries:
        for recipient in entry.letter.recipients:
            told[recipient].add(entry.told)
    for recipient, (answer, *_) in told.items():
        _judge_one(verdict, recipient, answer, times[recipient], states)
    verdict.duplicates = sorted(who for who, count in times.items() if count > 1)
    verdict.unlisted = [who for who in verdict.duplicates if who not in listed]
    verdict.listed = len(listed & told.keys())
    verdict.strangers = sorted(set(times) - set(told))
    return verdict


def _judge_one(
    verdict: Verdict, recipient: str, told: Told, times: int, states: dict[str, str]
) -> None:
    state = states.get(recipient, "")
    if times and state in ("bounced", "expired"):
        verdict.contradicted.append(recipient)
    if told is Told.REFUSED:
        verdict.refused += 1
        if times:
            verdict.refused_but_delivered.append(recipient)
    elif told is Told.UNKNOWN:
        verdict.unknown += 1
        verdict.unknown_but_delivered += bool(times)
    else:
        verdict.accepted += 1
        is_refused_there = recipient.startswith("no-")
        if times:
            verdict.delivered += 1
        elif is_refused_there and state == "bounced":
            verdict.bounced += 1
        elif state in FINISHED or not state:
            verdict.lost.append(recipient)


class Record:
    """What the system's database and API say; patient while they are away."""

    def __init__(self, mongo_uri: str, api: str) -> None:
        self._uri = mongo_uri
        self._api = api

    def unfinished(self, run: str) -> int:
        """Rows that are not finished, and messages whose rows are not all there."""
        tokens = {"$regex": f"{run}-"}
        live = {"state": {"$nin": FINISHED}, "recipient": tokens}
        unexpanded = {"expand_at": {"$exists": True}, "recipients": tokens}
        with MongoClient(self._uri, serverSelectionTimeoutMS=20_000) as client:
            db = client.get_default_database()
            rows = db.deliveries.count_documents(live)
            return rows + db.messages.count_documents(unexpanded)

    def wait_until_finished(self, timeout_s: float, run: str) -> int:
        """Wait until nothing of a run is left; returns how much is, in the end."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                left = self.unfinished(run)
            except PyMongoError:
                left = -1
            if left == 0 or time.monotonic() > deadline:
                return left
            # A queue tells nobody that it is empty: it is asked now and then.
            time.sleep(_POLL_S)

    def states(self, run: str) -> dict[str, str]:
        """State by recipient, of the rows whose recipient has the run's tokens."""
        tokens = {"$regex": f"{run}-"}
        with MongoClient(self._uri, serverSelectionTimeoutMS=20_000) as client:
            db = client.get_default_database()
            # Promised, but their rows are still to be written.
            found = {
                recipient: "unexpanded"
                for message in db.messages.find(
                    {"expand_at": {"$exists": True}, "recipients": tokens},
                    {"recipients": 1},
                )
                for recipient in message["recipients"]
            }
            rows = db.deliveries.find({"recipient": tokens}, _SHOWN)
            found |= {row["recipient"]: row["state"] for row in rows}
            return found

    def leftovers(self, run: str, limit: int = 5) -> list[str]:
        """What some of the unfinished rows look like."""
        live = {"state": {"$nin": FINISHED}, "recipient": {"$regex": f"{run}-"}}
        with MongoClient(self._uri, serverSelectionTimeoutMS=20_000) as client:
            rows = client.get_default_database().deliveries.find(live, _SHOWN)
            return [str(row) for row in rows.limit(limit)]

    def doubted(self) -> list[str]:
        """Recipients of all deliveries that are listed as having been in doubt."""
        found: list[str] = []
        query = f"limit={PAGE}"
        while True:
            url = f"{self._api}/v1/in-doubt?{query}"
            try:
                with urllib.request.urlopen(url, timeout=30) as response:
                    page = json.load(response)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == 404:
                        return []
                    raise
            found += [delivery["recipient"] for delivery in page["deliveries"]]
            if page["next"] is None:
                return found
            query = f"limit={PAGE}&cursor={quote(page['next'])}"


def settle(
    record: Record, ledger: Ledger, arrivals: Callable[[], Sequence[Arrival]], **options
) -> Verdict:
    """Wait until the queue is empty, then judge.

    Args:
        options: ``timeout_s``, ``run``.
    """
    run = options["run"]
    left = record.wait_until_finished(options["timeout_s"], run)
    verdict = judge(ledger, arrivals(), record.states(run), record.doubted(), run=run)
    verdict.unfinished = left
    verdict.leftovers = record.leftovers(run) if left else []
    return verdict
