"""The sandbox's inbox: what its catch-all MX took, for a person to read.

One GridFS file per message, header and all; its metadata is the envelope.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import DESCENDING

from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection
from mta.store.mongo import INBOX_BUCKET, Document, Mongo, guarded
from mta.store.spool import Spool, SpoolWriter

KEPT = timedelta(days=7)
_PEEK_BYTES = 1024 * 1024  # the longest header section that intake lets through


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxMessage:
    """One message in the inbox; ``size`` in bytes, header included."""

    id: str
    received_at: datetime
    reverse_path: str
    recipients: tuple[str, ...]
    subject: str
    size: int


class InboxSubmission:
    """A message on its way into the inbox."""

    def __init__(self, writer: SpoolWriter, envelope: Envelope) -> None:
        self.id = writer.file_id
        self._writer = writer
        self._envelope = envelope
        self._peeked = b""

    def write(self, chunk: bytes) -> None:
        """Store ``chunk`` as it came."""
        if len(self._peeked) < _PEEK_BYTES:
            self._peeked += chunk[: _PEEK_BYTES - len(self._peeked)]
        self._writer.write(chunk)

    def commit(self) -> "InboxSubmission":
        """Make the message visible."""
        envelope = self._envelope
        self._writer.close(
            uploaded_at=envelope.received_at,
            filename=f"{self.id}.eml",
            metadata={
                "reverse_path": envelope.reverse_path,
                "recipients": list(envelope.recipients),
                "subject": _subject(self._peeked),
            },
        )
        return self

    def abort(self) -> None:
        """Forget the message."""
        self._writer.abort()


class Inbox:
    """What the sandbox's MX took, newest first."""

    def __init__(self, db: Mongo) -> None:
        self._spool = Spool(db, INBOX_BUCKET)
        self._files = db[f"{INBOX_BUCKET}.files"]

    def begin(self, envelope: Envelope) -> InboxSubmission:
        """Take a message in; it keeps for ``KEPT``."""
        writer = self._spool.open(expires_at=envelope.received_at + KEPT)
        return InboxSubmission(writer, envelope)

    @guarded
    def list(self, limit: int, recipient: str | None = None) -> list[InboxMessage]:
        """The newest ``limit`` messages, perhaps only those for ``recipient``."""
        query: Document = {"metadata.recipients": recipient} if recipient else {}
        found = self._files.find(query).sort("uploadDate", DESCENDING).limit(limit)
        return [_to_message(document) for document in found]

    @guarded
    def count(self) -> int:
        """How many messages there are."""
        return self._files.count_documents({})

    @guarded
    def find(self, message_id: str) -> InboxMessage | None:
        """One message, if it is there."""
        document = self._files.find_one({"_id": message_id})
        return _to_message(document) if document else None

    def content(self, message_id: str) -> Iterator[bytes]:
        """The message as it came over the wire; nothing if there is none."""
        message = self.find(message_id)
        if message is not None:
            yield from self._spool.read(message_id, message.size)


def _to_message(document: Document) -> InboxMessage:
    metadata = document["metadata"]
    return InboxMessage(
        id=document["_id"],
        received_at=document["uploadDate"],
        reverse_path=metadata["reverse_path"],
        recipients=tuple(metadata["recipients"]),
        subject=metadata["subject"],
        size=document["length"],
    )


def _subject(beginning: bytes) -> str:
    header = beginning.partition(b"\r\n\r\n")[0] + b"\r\n"
    return (HeaderSection.parse(header).get("subject") or "")[:200]
