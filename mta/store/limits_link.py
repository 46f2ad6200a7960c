"""Whether this process relies on Redis, and what it tells it to earn that.

A beat every two seconds says that a process lives. From it Redis knows for how long
nobody was there, and all processes hear of the same *epoch*. A new one begins if
Redis is empty (fresh, or flushed), has been restarted (it may lack its last second,
or more), or was silent for ``SILENCE_US`` (others may have gone on without it).
Then for ``SETTLING_US``, by its own clock, it answers every question with
"unsettled", and everybody decides alone. Meanwhile each process tells what it
holds and what it was granted; at one and the same instant the scripts then begin
to answer all of them, and know what is taken.

A process that has no answer within a second, or an error, decides alone from then
on, and asks no more until a beat gets through and it has told what it holds. Its
connections are bound to one run of the server: a new one that leads to another run
is refused, so that no script is run in a Redis that forgot something before this
process's beat has said so.

Cut off alone, from a Redis that others reach, a process adds at most its share to
what they take, for as long as that lasts.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from mta.store.limits_local import LocalLimits, SharedClock
from mta.store.limits_orphans import Orphans
from mta.store.limits_redis import LEASE, RedisLimits, read_run
from mta.store.limits_wanted import Wanted

log = logging.getLogger(__name__)

BEAT_EVERY_S = 2.0
# Of each limit that is waited for, so many are told that Redis is back.
HANDED_ON = 3
RENEW_EVERY_S = LEASE.total_seconds() / 4
# Who comes back sooner than others asks Redis while they still decide alone.
_RETRY_S = 0.2

OnFreed = Callable[[Sequence[str]], None]

_T = TypeVar("_T")


class Link:
    """One process's standing with Redis.

    Args:
        beats: Has a connection of its own, which never waits for others.
    """

    def __init__(
        self,
        beats: RedisLimits,
        local: LocalLimits,
        wanted: Wanted,
        clock: SharedClock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._beats = beats
        self._local = local
        self._wanted = wanted
        self._clock = clock
        self._monotonic = monotonic
        self.is_up = False
        self._run = ""
        self._epoch = ""
        # The last epoch that was relied on: then others were granted something.
        self._known = ""
        self._had_others = False
        self._failures = 0
        self._renewed_at = monotonic()
        self._orphans = Orphans(LEASE.total_seconds(), monotonic=monotonic)
        self._lock = Lock()
        self._on_freed: OnFreed = lambda keys: None
        self._kicked = Event()
        self._stopping = False
        self._thread: Thread | None = None

    def check_run(self, connection: Any) -> None:
        """Refuse a connection that leads to a run of the server we did not greet."""
        if read_run(connection) != self._run:
            raise NoConnection("Redis was restarted")

    def rely(self) -> None:
        """Redis has answered: it decides again."""
        self._known = self._epoch
        self._end_alone()

    def doubt(self, *, is_expected: bool) -> None:
        """Redis is unsettled: decide alone."""
        self._local.begin(after_others=self._had_others or bool(self._known))
        if not is_expected:
            self._kicked.set()

    def fail(self, error: Exception) -> None:
        """Redis did not answer: decide alone, and do not ask until a beat did."""
        with self._lock:
            self._failures += 1
            was_up, self.is_up = self.is_up, False
        self._local.begin(after_others=True)
        if was_up:
            log.warning("redis away, deciding alone error=%s", error)
            self._kicked.set()

    def decide_alone(self, decide: Callable[[], _T]) -> _T | None:
        """Run ``decide``, which must not wait, unless Redis is to be asked again.

        So what is decided alone is known when this process comes back, and told.
        """
        with self._lock:
            return None if self.is_up else decide()

    def orphan(self, member: str, keys: Iterable[str]) -> None:
        """Redis may think wrongly that ``member`` holds slots of ``keys``."""
        self._orphans.add(member, keys)

    def adopt(self, member: str) -> None:
        """``member`` asks again: what it is granted now, it holds."""
        self._orphans.adopt(member)

    def start(self, on_freed: OnFreed) -> None:
        """Beat once, then go on in a thread (a greenlet, when patched).

        Args:
            on_freed: Told the key of each slot that its holder's death has freed,
                of those that somebody waits for.
        """
        self._on_freed = on_freed
        self._try_beat()
        self._thread = Thread(target=self._go_on, name="limits", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the beat."""
        self._stopping = True
        self._kicked.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def beat(self) -> None:
        """Say that we live, and what has to be told.

        Raises:
            RedisError: Redis did not answer.
        """
        failures = self._failures
        run = self._beats.find_run()
        asked_at = self._monotonic()
        pulse = self._beats.beat(run, self._known)
        heard_at = self._monotonic()
        self._clock.set(pulse.now_us, asked_at=asked_at, heard_at=heard_at)
        self._had_others = pulse.had_others
        if pulse.left_us:
            self._local.begin(after_others=self._had_others or bool(self._known))
        else:
            self._known = pulse.epoch
        if not self.is_up or (run, pulse.epoch) != (self._run, self._epoch):
            self._come_back(run, pulse.epoch, failures)
            log.info("redis answers epoch=%s settled_in_us=%d", *pulse[:2])
        elif asked_at - self._renewed_at >= RENEW_EVERY_S:
            self._renew()
        if not pulse.left_us:
            # Also of a process that asks nothing: it may have to begin anew.
            self._end_alone()
        self._hand_on(self._orphans.release(self._local.is_held, self._beats.release))
        if freed := self._beats.bury(self._wanted.keys()):
            log.info("slots of the dead are free keys=%s", " ".join(freed))
            self._hand_on(freed)

    def _end_alone(self) -> None:
        with self._lock:
            was_alone = self.is_up and self._local.end()
        if was_alone:
            # Who was denied a share may now have what others leave, and was not told.
            self._hand_on(self._wanted.keys() * HANDED_ON)

    def _hand_on(self, freed: Sequence[str]) -> None:
        """Tell of free slots; that may take a while, and a beat must not wait."""
        if freed:
            Thread(target=self._on_freed, args=(freed,), daemon=True).start()

    def _come_back(self, run: str, epoch: str, failures: int) -> None:
        """Tell what we hold, were granted, and know to be waited for; then rely."""
        self._register(self._local.list_held())
        self._beats.restore_wanted(self._wanted.keys())
        self._run, self._epoch = run, epoch
        self._renewed_at = self._monotonic()
        with self._lock:
            # Not if somebody failed since: that may have been another Redis.
            self.is_up = failures == self._failures
        # What was taken since the first time; from now on every grant is told.
        self._register(self._local.list_held())

    def _renew(self) -> None:
        self._renewed_at = self._monotonic()
        lost: dict[str, list[str]] = {}
        for key, member in self._beats.renew(self._local.list_held()):
            if self._local.is_held(member, key):
                lost.setdefault(key, []).append(member)
        if lost:
            self._register(lost)

    def _register(self, held: Mapping[str, Sequence[str]]) -> None:
        self._beats.register(held, self._local.list_grants())
        # Released while we spoke: then we spoke too late.
        for key, members in held.items():
            for member in members:
                if not self._local.is_held(member, key):
                    self.orphan(member, [key])

    def _try_beat(self) -> None:
        try:
            self.beat()
        except RedisError as error:
            self.fail(error)
        except Exception as error:
            # Without a beat all workers would lose their trust in Redis.
            log.exception("beat broke")
            self.fail(error)
        self._orphans.prune()

    def _go_on(self) -> None:
        while not self._stopping:
            self._kicked.wait(BEAT_EVERY_S if self.is_up else _RETRY_S)
            self._kicked.clear()
            if not self._stopping:
                self._try_beat()
