"""The ``messages`` collection: what was promised, and which bodies may go."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import BulkWriteError

from mta.errors import StoreUnavailable
from mta.store.deliveries import rows_of
from mta.store.documents import (
    Recipient,
    StoredMessage,
    message_document,
    to_message,
    to_recipients,
)
from mta.store.grouped import Grouped
from mta.store.mongo import (
    DELIVERIES,
    LIVE_ROW,
    MESSAGES,
    Document,
    Mongo,
    durable,
    guarded,
)

# Re-expansion waits this long: the acceptor itself is usually just doing it.
EXPAND_AFTER = timedelta(seconds=30)
# First look at whether a body is still needed; each further one waits longer.
SWEEP_EVERY = timedelta(minutes=1)
SWEEP_AT_MOST = timedelta(hours=4)


class Messages:
    """Accepted messages. Inserting one is the promise that a 250 tells."""

    def __init__(self, db: Mongo) -> None:
        self._messages = durable(db, MESSAGES)
        self._insert = Grouped(self._insert_all, most=20)
        self._find = Grouped(self._find_all)
        self._mark = Grouped(self._mark_all)
        self._deliveries = db[DELIVERIES]

    @guarded
    def insert(self, message: StoredMessage, recipients: list[Recipient]) -> None:
        """Commit a message: when this returns, it is ours to deliver."""
        document = message_document(
            message, recipients, expand_at=message.created_at + EXPAND_AFTER
        )
        document["sweep_at"] = message.created_at + SWEEP_EVERY
        # Encoded here: what cannot be stored must not spoil its whole group.
        refusal = self._insert(RawBSONDocument(bson.encode(document)))
        if refusal is not None:
            raise StoreUnavailable(refusal)

    @guarded
    def find(self, message_id: str) -> StoredMessage | None:
        """The message without its recipients."""
        return self._find(message_id)

    @guarded
    def mark_expanded(self, message_id: str) -> None:
        """All rows of the message exist; nobody has to write them again."""
        self._mark(message_id)

    def _insert_all(self, documents: Sequence[RawBSONDocument]) -> list[str | None]:
        """Insert for many callers; says for each why it was not done, if so."""
        refusals: list[str | None] = [None] * len(documents)
        try:
            self._messages.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            details: Document = dict(error.details or {})
            if details.get("writeConcernErrors"):
                raise
            for failure in details.get("writeErrors", []):
                refusals[failure["index"]] = f"not inserted: code {failure['code']}"
        return refusals

    def _find_all(self, ids: Sequence[str]) -> list[StoredMessage | None]:
        query = {"_id": {"$in": list(set(ids))}}
        found = self._messages.find(query, {"recipients": 0, "zones": 0})
        messages = {document["_id"]: to_message(document) for document in found}
        return [messages.get(message_id) for message_id in ids]

    def _mark_all(self, ids: Sequence[str]) -> list[None]:
        query = {"_id": {"$in": list(ids)}}
        self._messages.update_many(query, {"$unset": {"expand_at": 1}})
        return [None] * len(ids)

    @guarded
    def unexpanded(
        self, now: datetime, *, limit: int
    ) -> list[tuple[StoredMessage, list[Recipient]]]:
        """Messages whose rows were not all written by the process that took them."""
        cursor = (
            self._messages.find({"expand_at": {"$lte": now}})
            .sort("expand_at", ASCENDING)
            .limit(limit)
        )
        return [(to_message(found), to_recipients(found)) for found in cursor]

    @guarded
    def done_with(
        self, now: datetime, *, keep_content: timedelta, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Ids of messages no live delivery needs, and of their bodies.

        The others are looked at again later.

        A message is only ever judged once all its rows exist.
        """
        query: Document = {"sweep_at": {"$lte": now}, "expand_at": {"$exists": False}}
        fields = {"_id": 1, "sweeps": 1, "created_at": 1, "body.file_id": 1}
        found = list(
            self._messages.find(query, fields).sort("sweep_at", 1).limit(limit)
        )
        finished = []
        for document in found:
            again = self._look_again_at(document, now, keep_content)
            if again is None:
                finished.append((document["_id"], document["body"]["file_id"]))
            else:
                self._messages.update_one(
                    {"_id": document["_id"]},
                    {"$set": {"sweep_at": again}, "$inc": {"sweeps": 1}},
                )
        return finished

    def _look_again_at(
        self, document: Document, now: datetime, keep_content: timedelta
    ) -> datetime | None:
        rows = self._deliveries
        live = {"message": document["_id"], **LIVE_ROW}
        if rows.find_one(live, {"_id": 1}) is not None:
            factor: int = 2 ** min(int(document["sweeps"]), 10)
            return now + min(SWEEP_EVERY * factor, SWEEP_AT_MOST)
        query, newest = rows_of(document["_id"]), [("finished_at", DESCENDING)]
        last = rows.find_one(query, {"finished_at": 1}, sort=newest)
        finished_at: datetime = document["created_at"]
        if last is not None:
            finished_at = last.get("finished_at", finished_at)
        gone_at: datetime = finished_at + keep_content
        return gone_at if gone_at > now else None

    @guarded
    def mark_swept(
        self, message_id: str, now: datetime, *, expires_at: datetime
    ) -> None:
        """The body is gone; the record follows at ``expires_at``."""
        self._messages.update_one(
            {"_id": message_id},
            {
                "$set": {"swept_at": now, "expires_at": expires_at},
                "$unset": {"sweep_at": 1},
            },
        )
