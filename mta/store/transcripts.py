"""What was said in attempts that did not go as usual; forgotten after some days."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pymongo import DESCENDING

from mta.store.mongo import TRANSCRIPTS, Document, Mongo, guarded

MAX_TEXT: Final = 32_768  # characters
MAX_LISTED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTranscript:
    """One attempt's transcript.

    Attributes:
        attempt: Which one it was, from 1.
        at: When the attempt ended; aware UTC.
        why: It was kept.
    """

    delivery: str
    attempt: int
    at: datetime
    host: str
    why: str
    text: str


class Transcripts:
    """The collection; at worst, a transcript is missing."""

    def __init__(self, db: Mongo) -> None:
        self._rows = db[TRANSCRIPTS]

    @guarded
    def keep(self, kept: KeptTranscript, *, until: datetime) -> None:
        """Keep one, in the place of an earlier one of the same attempt."""
        row: Document = {
            "delivery": kept.delivery,
            "attempt": kept.attempt,
            "at": kept.at,
            "host": kept.host,
            "why": kept.why,
            "text": kept.text[:MAX_TEXT],
            "expires_at": until,
        }
        name = f"{kept.delivery}/{kept.attempt}"
        self._rows.replace_one({"_id": name}, row, upsert=True)

    @guarded
    def of_delivery(self, delivery_id: str) -> list[KeptTranscript]:
        """The latest transcripts of a delivery, in the order of its attempts."""
        # All its ids begin so; "0" comes right after "/".
        window = {"$gte": f"{delivery_id}/", "$lt": f"{delivery_id}0"}
        found = self._rows.find({"_id": window}).sort("attempt", DESCENDING)
        rows = [_to_transcript(row) for row in found.limit(MAX_LISTED)]
        return rows[::-1]


def _to_transcript(row: Document) -> KeptTranscript:
    return KeptTranscript(
        delivery=row["delivery"],
        attempt=row["attempt"],
        at=row["at"],
        host=row["host"],
        why=row["why"],
        text=row["text"],
    )
