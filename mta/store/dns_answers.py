"""Answers of nameservers, shared by all processes as long as they live.

Only a help: while Redis is away, each process asks for itself.
"""

import logging
from typing import Final

from redis.exceptions import RedisError

from mta.store.limits_redis import connect

log = logging.getLogger(__name__)

PREFIX: Final = "mta:dns:"
MAX_BYTES: Final = 16_384  # of an answer; a real one has some hundred
_CONNECTIONS: Final = 8


class DnsAnswers:
    """Octets by the name of their question, each with its own end."""

    def __init__(self, url: str) -> None:
        self._redis = connect(url, connections=_CONNECTIONS)

    def get(self, name: str) -> tuple[bytes, float] | None:
        """An answer, and for how many seconds it still holds."""
        key = f"{PREFIX}{name}"
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.get(key)
                pipe.pttl(key)
                answer, left_ms = pipe.execute()
        except (RedisError, OSError):
            return None
        return (answer, left_ms / 1000) if answer is not None and left_ms > 0 else None

    def put(self, name: str, answer: bytes, ttl_s: float) -> None:
        """Share an answer for ``ttl_s`` seconds."""
        lifetime = int(ttl_s * 1000)
        if lifetime <= 0 or len(answer) > MAX_BYTES:
            return
        try:
            self._redis.set(f"{PREFIX}{name}", answer, px=lifetime)
        except (RedisError, OSError) as error:
            log.debug("answer not shared error=%s", error)
