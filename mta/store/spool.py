"""Bodies in GridFS, written as they come and read as they are needed.

The documents are those of the GridFS specification, so any driver's reader works;
we write them ourselves because the driver's writer probes indexes for every file.
Whatever a message's size, a writer holds one chunk and a reader holds one.

Chunks are written with w=1: the ``messages`` insert that follows waits for a
majority's journal, and the oplog is ordered, so it vouches for them too.
"""

import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bson.binary import Binary
from bson.objectid import ObjectId

from mta.errors import ContentMissing
from mta.store.mongo import Mongo, guarded, store_errors

CHUNK_BYTES = 255 * 1024  # the GridFS specification's default


class SpoolWriter:
    """One body on its way in; either ``close`` or ``abort`` ends it."""

    def __init__(self, db: Mongo, bucket: str, *, expires_at: datetime) -> None:
        # Its own, not the message's: whatever goes wrong with an id, abort() can
        # never remove the body of another message.
        self.file_id = secrets.token_hex(12)
        self._chunks = db[f"{bucket}.chunks"]
        self._files = db[f"{bucket}.files"]
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
                self._insert(held[start : start + CHUNK_BYTES])
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
        if self._held:
            self._insert(b"".join(self._pieces))
        self._pieces = []
        self._files.insert_one(
            {
                "_id": self.file_id,
                "length": self.size,
                "chunkSize": CHUNK_BYTES,
                "uploadDate": uploaded_at,
                "filename": filename,
                "expires_at": self._expires_at,
                "metadata": dict(metadata or {}),
            }
        )

    def abort(self) -> None:
        """Remove what was written. If MongoDB is away, the TTL does it."""
        self._pieces = []
        with store_errors():
            self._files.delete_one({"_id": self.file_id})
            if self._count:
                self._chunks.delete_many({"files_id": self.file_id})

    def _insert(self, data: bytes) -> None:
        self._chunks.insert_one(
            {
                "_id": ObjectId(),
                "files_id": self.file_id,
                "n": self._count,
                "data": Binary(data),
                "expires_at": self._expires_at,
            }
        )
        self._count += 1


class Spool:
    """The bodies of one bucket."""

    def __init__(self, db: Mongo, bucket: str) -> None:
        self._db = db
        self._bucket = bucket

    def open(self, *, expires_at: datetime) -> SpoolWriter:
        """Begin a body; ``expires_at`` is when MongoDB collects it unasked."""
        return SpoolWriter(self._db, self._bucket, expires_at=expires_at)

    def read(self, file_id: str, size: int) -> Iterator[bytes]:
        """Yield the ``size`` bytes of a body, chunk by chunk.

        One query per chunk: a cursor would time out under a slow next hop.

        Raises:
            StoreUnavailable: MongoDB is away.
            ContentMissing: The body is not whole.
        """
        chunks = self._db[f"{self._bucket}.chunks"]
        for number in range(-(-size // CHUNK_BYTES)):
            with store_errors():
                chunk = chunks.find_one({"files_id": file_id, "n": number}, {"data": 1})
            if chunk is None:
                raise ContentMissing(f"body {file_id} lacks its chunk {number}")
            yield bytes(chunk["data"])

    @guarded
    def delete(self, file_id: str) -> None:
        """Remove a body; ``files`` first, so that no reader sees half of one."""
        self._db[f"{self._bucket}.files"].delete_one({"_id": file_id})
        self._db[f"{self._bucket}.chunks"].delete_many({"files_id": file_id})
