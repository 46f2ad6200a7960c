"""Bodies in GridFS, written as they come and read as they are needed.

The documents are those of the GridFS specification, so any driver's reader works;
we write them ourselves because the driver's writer probes indexes for every file.
Whatever a message's size, a writer holds one chunk and a reader holds one.

All of it waits for a majority's journal, chunk by chunk: a restart of MongoDB between
body and message must not leave a promise without its body.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson.binary import Binary
from bson.objectid import ObjectId

from mta.errors import ContentMissing
from mta.store.grouped import Grouped
from mta.store.mongo import (
    Document,
    Documents,
    Mongo,
    durable,
    guarded,
    store_errors,
)

CHUNK_BYTES = 255 * 1024  # the GridFS specification's default


class SpoolWriter:
    """One body on its way in; either ``close`` or ``abort`` ends it."""

    def __init__(
        self,
        chunks: Documents,
        files: Documents,
        insert_small: Callable[[tuple[Document, Document]], None],
        *,
        expires_at: datetime,
    ) -> None:
        # Its own, not the message's: whatever goes wrong with an id, abort() can
        # never remove the body of another message.
        self.file_id = secrets.token_hex(12)
        self._chunks = chunks
        self._files = files
        self._insert_small = insert_small
        self._expires_at = expires_at
        self._pieces: list[bytes] = []
        self._held = 0
        self._count = 0
        self.size = 0

    @guarded
    def write(self, data: bytes) -> None:
        """Append ``data``; every full chunk goes to MongoDB at once."""
        self._pieces.append(data)
        self._held += len(data)
        self.size += len(data)
        if self._held >= CHUNK_BYTES:
            held = b"".join(self._pieces)
            whole = len(held) - len(held) % CHUNK_BYTES
            for start in range(0, whole, CHUNK_BYTES):
                chunk = self._next_chunk(held[start : start + CHUNK_BYTES])
                self._chunks.insert_one(chunk)
            self._pieces = [held[whole:]]
            self._held = len(held) - whole

    @guarded
    def close(
        self,
        *,
        uploaded_at: datetime,
        filename: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Write what is held, then the ``files`` document, last."""
        file = {
            "_id": self.file_id,
            "length": self.size,
            "chunkSize": CHUNK_BYTES,
            "uploadDate": uploaded_at,
            "filename": filename,
            "expires_at": self._expires_at,
            "metadata": dict(metadata or {}),
        }
        held, self._pieces = b"".join(self._pieces), []
        if held and not self._count:
            self._insert_small((self._next_chunk(held), file))
            return
        if held:
            self._chunks.insert_one(self._next_chunk(held))
        self._files.insert_one(file)

    def abort(self) -> None:
        """Remove what was written. If MongoDB is away, the TTL does it."""
        self._pieces = []
        if self._count:
            with store_errors():
                self._files.delete_one({"_id": self.file_id})
                self._chunks.delete_many({"files_id": self.file_id})

    def _next_chunk(self, data: bytes) -> Document:
        number, self._count = self._count, self._count + 1
        return {
            "_id": ObjectId(),
            "files_id": self.file_id,
            "n": number,
            "data": Binary(data),
            "expires_at": self._expires_at,
        }


class Spool:
    """The bodies of one bucket."""

    def __init__(self, db: Mongo, bucket: str) -> None:
        self._chunks = durable(db, f"{bucket}.chunks")
        self._files = durable(db, f"{bucket}.files")
        self._insert_small = Grouped(self._insert_all, most=20)

    def open(self, *, expires_at: datetime) -> SpoolWriter:
        """Begin a body; ``expires_at`` is when MongoDB collects it unasked."""
        return SpoolWriter(
            self._chunks, self._files, self._insert_small, expires_at=expires_at
        )

    def read(self, file_id: str, size: int) -> Iterator[bytes]:
        """Yield the ``size`` bytes of a body, chunk by chunk.

        One query per chunk: a cursor would time out under a slow next hop.

        Raises:
            StoreUnavailable: MongoDB is away.
            ContentMissing: The body is not whole.
        """
        for number in range(-(-size // CHUNK_BYTES)):
            with store_errors():
                chunk = self._chunks.find_one(
                    {"files_id": file_id, "n": number}, {"data": 1}
                )
            if chunk is None:
                raise ContentMissing(f"body {file_id} lacks its chunk {number}")
            yield bytes(chunk["data"])

    @guarded
    def delete(self, file_ids: Sequence[str]) -> None:
        """Remove bodies; ``files`` first, so that no reader sees half of one."""
        self._files.delete_many({"_id": {"$in": list(file_ids)}})
        self._chunks.delete_many({"files_id": {"$in": list(file_ids)}})

    def _insert_all(self, bodies: Sequence[tuple[Document, Document]]) -> list[None]:
        """Store many bodies of one chunk each; ``files`` last, as for all bodies."""
        self._chunks.insert_many([chunk for chunk, _ in bodies])
        self._files.insert_many([file for _, file in bodies])
        return [None] * len(bodies)
