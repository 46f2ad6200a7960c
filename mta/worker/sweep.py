"""Deletes the bodies of messages that are done; a maintenance task.

Nothing here is urgent and everything may be repeated: a TTL index is behind it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mta.config.live import Live
from mta.config.zones import QueueConfig
from mta.store.messages import Messages
from mta.store.spool import Spool

log = logging.getLogger(__name__)

# Messages looked at in one go, and how long one go follows another before the next
# task: sweeping must keep up with sending.
SWEEP_AT_ONCE = 500
SWEEP_FOR_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """Deletes bodies once no delivery of the message is live."""

    messages: Messages
    spool: Spool
    queue: Live[QueueConfig]
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic

    def sweep(self) -> int:
        """Delete what is due, for a while at most; returns how many bodies went."""
        until = self.monotonic() + SWEEP_FOR_S
        deleted = 0
        while True:
            looked_at, gone = self._sweep_some()
            deleted += gone
            if looked_at < SWEEP_AT_ONCE or self.monotonic() >= until:
                break
        if deleted:
            log.info("swept bodies=%d", deleted)
        return deleted

    def _sweep_some(self) -> tuple[int, int]:
        now, queue = self.now(), self.queue.current
        swept = self.messages.sweep(
            now, keep_content=queue.keep_content, limit=SWEEP_AT_ONCE
        )
        if swept.done:
            message_ids, file_ids = zip(*swept.done, strict=True)
            self.spool.delete(file_ids)
            self.messages.mark_swept(
                message_ids, now, expires_at=now + queue.keep_records
            )
        return swept.looked_at, len(swept.done)
