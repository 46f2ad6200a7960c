"""Deletes the bodies of messages that are done; a maintenance task.

Nothing here is urgent and everything may be repeated: a TTL index is behind it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mta.config.zones import QueueConfig
from mta.store.messages import Messages
from mta.store.spool import Spool

log = logging.getLogger(__name__)

# Messages looked at in one go; the scheduler asks again soon.
SWEEP_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """Deletes bodies once no delivery of the message is live."""

    messages: Messages
    spool: Spool
    queue: QueueConfig
    now: Callable[[], datetime]

    def sweep(self) -> int:
        """Delete what is due; returns how many bodies went."""
        now = self.now()
        done = self.messages.done_with(
            now, keep_content=self.queue.keep_content, limit=SWEEP_AT_ONCE
        )
        for message_id, file_id in done:
            self.spool.delete(file_id)
            self.messages.mark_swept(
                message_id, now, expires_at=now + self.queue.keep_records
            )
        if done:
            log.info("swept bodies=%d", len(done))
        return len(done)
