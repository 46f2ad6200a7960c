"""Acknowledgements of a gevent worker: many in one round trip, every few ms.

They outlive the connection a message came by. A task that still runs while the
broker is away acknowledges when it is back; what is forgotten with the process is
put back by the sweep, and its second run finds nothing to do.
"""

import logging
from typing import Any

import gevent
from gevent.lock import RLock
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

FLUSH_EVERY_S = 0.005
# The broker is away: nobody waits for an acknowledgement.
RETRY_EVERY_S = 1.0


class Acks:
    """Removes finished messages from what kombu restores.

    Args:
        client: Of Redis; prefixes keys by itself if it has to.
        unacked: Key of the hash of messages.
        index: Key of the sorted set of their times.
    """

    def __init__(self, client: Any, unacked: str, index: str) -> None:
        self._client = client
        self._unacked = unacked
        self._index = index
        self._tags: list[str] = []
        self._is_planned = False
        self._flushing = RLock()

    def __len__(self) -> int:
        return len(self._tags)

    def add(self, tag: str) -> None:
        """Acknowledge soon."""
        self._tags.append(tag)
        self._plan(FLUSH_EVERY_S)

    def flush(self) -> None:
        """Acknowledge now; what Redis does not take is tried again later.

        Waits for a flush that is under way: who ends the process calls this last.
        """
        with self._flushing:
            self._flush()

    def _flush(self) -> None:
        while self._tags:
            tags, self._tags = self._tags, []
            try:
                # A full Redis refuses every transaction. Without one, the index
                # goes last: the sweep drops an entry that has no message.
                with self._client.pipeline(transaction=False) as pipe:
                    pipe.hdel(self._unacked, *tags)
                    pipe.zrem(self._index, *tags)
                    pipe.execute()
            except (RedisError, OSError) as error:
                self._tags += tags
                log.debug("acknowledgements wait count=%d error=%s", len(tags), error)
                self._plan(RETRY_EVERY_S)
                return

    def _plan(self, after_s: float) -> None:
        if not self._is_planned:
            self._is_planned = True
            gevent.spawn_later(after_s, self._flush_as_planned)

    def _flush_as_planned(self) -> None:
        self._is_planned = False
        self.flush()
