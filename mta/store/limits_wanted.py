"""Which limits somebody waits for, as one process knows it without asking.

Every word on the channel is noted before ``on_wanted`` is called: a session that
goes idle and looks here afterwards, and one that was idle before and is closed by
``on_wanted``, leave no gap between them. While the channel is not heard, everything
counts as wanted: sessions are closed rather than kept idle, which costs a little
and keeps nobody waiting.
"""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from threading import Event, Lock, Thread

from redis import Redis
from redis.client import PubSub
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from mta.store.limits_redis import CHANNEL, WANTED_FOR, RedisLimits

log = logging.getLogger(__name__)

PING_EVERY_S = 2.0
SILENCE_S = 5.0
_RETRY_S = 0.5


class Wanted:
    """The keys that somebody waits for.

    Args:
        ears: A Redis with a connection to spare for listening, and the scripts;
            None: only what this process says counts.
    """

    def __init__(
        self,
        ears: tuple[Redis, RedisLimits] | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ears = ears
        self._monotonic = monotonic
        self._lock = Lock()
        self._until: dict[str, float] = {}
        self._is_heard = ears is None
        self._on_wanted: Callable[[str], None] = lambda key: None
        self._stopping = Event()
        self._thread: Thread | None = None

    def __contains__(self, key: str) -> bool:
        if not self._is_heard:
            return True
        until = self._until.get(key)
        return until is not None and until > self._monotonic()

    def add(self, key: str) -> None:
        """Somebody waits for ``key``."""
        with self._lock:
            self._until[key] = self._monotonic() + WANTED_FOR.total_seconds()

    def discard(self, key: str) -> None:
        """Nobody does."""
        with self._lock:
            self._until.pop(key, None)

    def keys(self) -> list[str]:
        """All of them."""
        now = self._monotonic()
        with self._lock:
            self._until = {key: at for key, at in self._until.items() if at > now}
            return list(self._until)

    def start(self, on_wanted: Callable[[str], None]) -> None:
        """Begin to listen, in a thread (a greenlet, when patched)."""
        self._on_wanted = on_wanted
        if self._ears is not None:
            self._thread = Thread(
                target=self._listen, args=self._ears, name="wanted", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End listening, within a second."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=3.0)

    def _listen(self, redis: Redis, shared: RedisLimits) -> None:
        is_said = False
        while not self._stopping.is_set():
            try:
                self._subscribe(redis, shared)
            except RedisError as error:
                # Once: while Redis is away, others say so, too.
                level = logging.DEBUG if is_said else logging.WARNING
                log.log(level, "who waits for what is not heard error=%s", error)
                is_said = True
            except Exception:
                log.exception("subscription broke")
            finally:
                self._is_heard = False
            self._stopping.wait(_RETRY_S)

    def _subscribe(self, redis: Redis, shared: RedisLimits) -> None:
        with closing(redis.pubsub()) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(CHANNEL)
            confirmed = channel.get_message(timeout=PING_EVERY_S)
            if confirmed is None or confirmed["type"] != "subscribe":
                raise NoConnection("the channel is silent")
            # What was said before, we missed.
            missed = shared.list_wanted()
            for key in missed:
                self.add(key)
            self._is_heard = True
            for key in missed:
                self._tell(key)
            self._follow(channel)

    def _follow(self, channel: PubSub) -> None:
        heard_at = pinged_at = self._monotonic()
        while not self._stopping.is_set():
            message = channel.get_message(timeout=_RETRY_S)
            now = self._monotonic()
            if message is not None:
                heard_at = now
                if message["type"] == "message":
                    self._note(message["data"].decode("ascii", "replace"))
            if now - heard_at > SILENCE_S:
                raise NoConnection("the channel is silent")
            if now - pinged_at >= PING_EVERY_S:
                pinged_at = now
                channel.ping()

    def _note(self, word: str) -> None:
        if word.startswith("-"):
            self.discard(word[1:])
        else:
            self.add(word[1:])
            self._tell(word[1:])

    def _tell(self, key: str) -> None:
        try:
            self._on_wanted(key)
        except Exception:
            log.exception("on_wanted broke key=%s", key)
