"""The ``messages`` collection: what was promised, and which bodies may go."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, ReplaceOne, UpdateOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from mta.errors import ContentMissing, StoreUnavailable
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

log = logging.getLogger(__name__)

# Re-expansion waits this long: the acceptor itself is usually just doing it.
EXPAND_AFTER = timedelta(seconds=30)
EXPAND_AGAIN = timedelta(minutes=1)
# First look at whether a body is still needed; each further one waits longer.
SWEEP_EVERY = timedelta(minutes=1)
SWEEP_AT_MOST = timedelta(hours=4)


class Messages:
    """Accepted messages. Inserting one is the promise that a 250 tells."""

    def __init__(self, db: Mongo) -> None:
        self._messages = durable(db, MESSAGES)
        # Should a mark be lost, the rows are written again, which changes nothing: the
        # answer to a client need not wait for the journal once more.
        self._marked = db.get_collection(MESSAGES, write_concern=WriteConcern(w=1))
        self._insert = Grouped(self._insert_all, most=20)
        self._find = Grouped(self._find_all)
        self._mark = Grouped(self._mark_all)
        self._deliveries = db[DELIVERIES]

    def encode(
        self, message: StoredMessage, recipients: list[Recipient], *, now: datetime
    ) -> RawBSONDocument:
        """What ``insert`` wants, made apart: a bad one must not spoil its group.

        Args:
            now: From then on its acceptor has ``EXPAND_AFTER`` to write the rows.

        Raises:
            ValueError: It holds what MongoDB cannot, such as half a character.
        """
        document = message_document(message, recipients, expand_at=now + EXPAND_AFTER)
        document["sweep_at"] = message.created_at + SWEEP_EVERY
        try:
            return RawBSONDocument(bson.encode(document))
        except BSONError as error:
            raise ValueError(str(error)) from error

    @guarded
    def insert(self, encoded: RawBSONDocument) -> None:
        """Commit a message: when this returns, it is ours to deliver.

        Raises:
            StoreUnavailable: It may be stored all the same.
        """
        refusal = self._insert(encoded)
        if refusal is not None:
            raise StoreUnavailable(refusal)

    @guarded
    def find(self, message_id: str) -> StoredMessage | None:
        """The message without its recipients.

        Raises:
            ContentMissing: What is stored is no message.
        """
        found = self._find(message_id)
        if isinstance(found, ContentMissing):
            raise found
        return found

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
                self._put_all(documents)
                return refusals
            for failure in details.get("writeErrors", []):
                refusals[failure["index"]] = f"not inserted: code {failure['code']}"
        except ServerSelectionTimeoutError:
            raise  # it has taken long enough, and nothing was sent
        except (ConnectionFailure, OperationFailure):
            self._put_all(documents)
        return refusals

    def _put_all(self, documents: Sequence[RawBSONDocument]) -> None:
        """Insert what may be inserted already: nobody knows, as after a failover.

        A refusal would be a lie if it was: the message would go out all the same.
        One of others that has the same id is left alone, and makes this fail.
        """
        puts: list[ReplaceOne[Document]] = [
            ReplaceOne(
                {"_id": document["_id"], "body.file_id": document["body"]["file_id"]},
                cast("Document", document),
                upsert=True,
            )
            for document in documents
        ]
        self._messages.bulk_write(puts, ordered=False)

    def _find_all(
        self, ids: Sequence[str]
    ) -> list[StoredMessage | ContentMissing | None]:
        query = {"_id": {"$in": list(set(ids))}}
        found = self._messages.find(query, {"recipients": 0, "zones": 0})
        messages = {document["_id"]: _read(document) for document in found}
        return [messages.get(message_id) for message_id in ids]

    def _mark_all(self, ids: Sequence[str]) -> list[None]:
        query = {"_id": {"$in": list(ids)}}
        self._marked.update_many(query, {"$unset": {"expand_at": 1}})
        return [None] * len(ids)

    @guarded
    def unexpanded(
        self, now: datetime, *, limit: int
    ) -> list[tuple[StoredMessage, list[Recipient]]]:
        """Messages whose rows were not all written by the process that took them.

        They are looked at again later, should they not be expanded now: one that
        cannot be must not keep others from it.
        """
        found = list(
            self._messages.find({"expand_at": {"$lte": now}})
            .sort("expand_at", ASCENDING)
            .limit(limit)
        )
        if found:
            self._messages.update_many(
                {
                    "_id": {"$in": [document["_id"] for document in found]},
                    "expand_at": {"$exists": True},
                },
                {"$set": {"expand_at": now + EXPAND_AGAIN}},
            )
        return [whole for whole in map(_read_whole, found) if whole is not None]

    @guarded
    def sweep(self, now: datetime, *, keep_content: timedelta, limit: int) -> "Swept":
        """Look at up to ``limit`` messages whose time to be looked at has come.

        Those with live deliveries are looked at again later, and later each time;
        those without are noted, kept for ``keep_content``, and done with after
        that. A message is only ever judged once all its rows exist.
        """
        query: Document = {"sweep_at": {"$lte": now}, "expand_at": {"$exists": False}}
        fields = {"_id": 1, "sweeps": 1, "is_idle": 1, "body.file_id": 1}
        found = list(
            self._messages.find(query, fields).sort("sweep_at", 1).limit(limit)
        )
        ids = [document["_id"] for document in found]
        rows = {"message": {"$in": ids}, **LIVE_ROW}
        live = set(self._deliveries.distinct("message", rows)) if ids else set()
        again = [
            UpdateOne({"_id": document["_id"]}, _look_again(document, now))
            if document["_id"] in live
            else UpdateOne({"_id": document["_id"]}, _note_idle(now, keep_content))
            for document in found
            if document["_id"] in live or not document.get("is_idle")
        ]
        if again:
            self._messages.bulk_write(again, ordered=False)
        done = [
            (document["_id"], document["body"]["file_id"])
            for document in found
            if document["_id"] not in live and document.get("is_idle")
        ]
        return Swept(looked_at=len(found), done=done)

    @guarded
    def mark_swept(
        self, message_ids: Sequence[str], now: datetime, *, expires_at: datetime
    ) -> None:
        """The bodies are gone; the records follow at ``expires_at``."""
        self._messages.update_many(
            {"_id": {"$in": list(message_ids)}},
            {
                "$set": {"swept_at": now, "expires_at": expires_at},
                "$unset": {"sweep_at": 1},
            },
        )


def _read(document: Document) -> StoredMessage | ContentMissing:
    """One that cannot be read must not spoil its group."""
    try:
        return to_message(document)
    except (KeyError, TypeError, ValueError) as error:
        log.exception("message cannot be read id=%s", document["_id"])
        return ContentMissing(f"{document['_id']}: {type(error).__name__}: {error}")


def _read_whole(document: Document) -> tuple[StoredMessage, list[Recipient]] | None:
    message = _read(document)
    if isinstance(message, ContentMissing):
        return None
    try:
        return message, to_recipients(document)
    except (KeyError, TypeError, ValueError):
        log.exception("recipients cannot be read id=%s", document["_id"])
        return None


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep came to: ``done`` holds ids of messages and of their bodies."""

    looked_at: int
    done: Sequence[tuple[str, str]]


def _look_again(document: Document, now: datetime) -> Document:
    factor: int = 2 ** min(int(document["sweeps"]), 10)
    again = now + min(SWEEP_EVERY * factor, SWEEP_AT_MOST)
    return {"$set": {"sweep_at": again}, "$inc": {"sweeps": 1}}


def _note_idle(now: datetime, keep_content: timedelta) -> Document:
    return {"$set": {"sweep_at": now + keep_content, "is_idle": True}}
