"""Messages and small bodies, read once per process and shared by deliveries.

A message to ten thousand recipients is one document and one body; its workers
fetch both once. What is large is shared only by those who wait for it right now,
so memory stays bounded whatever the mail.
"""

from collections.abc import Iterator

from mta.errors import MessageGone
from mta.store.cache import SharedCache
from mta.store.documents import StoredMessage
from mta.store.messages import Messages
from mta.store.spool import Spool

KEPT_S = 300.0
RECORDS_KEPT = 200
LARGEST_HEADER_KEPT = 32 * 1024
BODIES_KEPT = 64
LARGEST_BODY_KEPT = 128 * 1024


class Library:
    """Read access to messages and bodies for the deliveries of one process."""

    def __init__(self, messages: Messages, spool: Spool) -> None:
        self._messages = messages
        self._spool = spool
        self._records: SharedCache[str, StoredMessage] = SharedCache(
            max_entries=RECORDS_KEPT
        )
        self._bodies: SharedCache[str, bytes] = SharedCache(max_entries=BODIES_KEPT)

    def message(self, message_id: str) -> StoredMessage:
        """The message of a delivery.

        Raises:
            MessageGone: There is no such message.
            ContentMissing: It cannot be read.
            StoreUnavailable: MongoDB is away.
        """
        return self._records.get(message_id, lambda: self._find(message_id))

    def body(self, message: StoredMessage) -> Iterator[bytes]:
        """The body of a message, in pieces.

        Raises:
            StoreUnavailable: MongoDB is away.
            ContentMissing: The body is not whole.
        """
        if message.body.size > LARGEST_BODY_KEPT:
            yield from self._spool.read(message.body.file_id, message.body.size)
        elif message.body.size:
            yield self._bodies.get(message.id, lambda: self._read(message))

    def _find(self, message_id: str) -> tuple[StoredMessage, float]:
        message = self._messages.find(message_id)
        if message is None:
            raise MessageGone(message_id)
        is_small = len(message.header) <= LARGEST_HEADER_KEPT
        return message, KEPT_S if is_small else 0.0

    def _read(self, message: StoredMessage) -> tuple[bytes, float]:
        pieces = self._spool.read(message.body.file_id, message.body.size)
        return b"".join(pieces), KEPT_S
