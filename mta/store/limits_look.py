"""How much of each limit is in use now; changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from redis.exceptions import RedisError

from mta.policy.limits import (
    Clock,
    Demand,
    Pace,
    Trouble,
    beat_of,
    find_opening,
    heal,
)
from mta.store.limits_redis import clock_name, connect, slots_name, trouble_name

_CONNECTIONS = 4
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_UNSAID = (0, 0, 0, 0)  # a clock that nobody has set yet, or set in part


@dataclass(frozen=True, slots=True)
class InUse:
    """How much is in use.

    Attributes:
        open: Connections, by the key of their limit.
        waits: How long one who comes now for the first time would wait for its turn,
            by the key of the rate.
        trouble: Why the destination is left alone, if it is.
    """

    open: Mapping[str, int]
    waits: Mapping[str, timedelta]
    trouble: Trouble | None


class LimitsLook:
    """Reads the limits in Redis.

    Args:
        url: None: there is no Redis, and each worker knows its own part alone.
    """

    def __init__(self, url: str | None) -> None:
        self._redis = connect(url, connections=_CONNECTIONS) if url else None

    def in_use(self, demand: Demand, trouble: str = "") -> InUse | None:
        """Say how much of everything in ``demand`` is in use; None: nobody knows.

        Args:
            trouble: A destination's key.
        """
        if self._redis is None:
            return None
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                seconds, microseconds = self._redis.time()
                now = seconds * 1_000_000 + microseconds
                for slot in demand.slots:
                    pipe.zcount(slots_name(slot.key), f"({now}", "+inf")
                for pace in demand.paces:
                    pipe.get(clock_name(pace.key))
                pipe.get(trouble_name(trouble))
                pipe.pttl(trouble_name(trouble))
                *found, text, left_ms = pipe.execute()
        except RedisError:
            return None
        counts, clocks = found[: len(demand.slots)], found[len(demand.slots) :]
        return InUse(
            open={slot.key: n for slot, n in zip(demand.slots, counts, strict=True)},
            waits={
                pace.key: _wait(pace, clock, now)
                for pace, clock in zip(demand.paces, clocks, strict=True)
            },
            trouble=_trouble(text, left_ms) if trouble else None,
        )


def _wait(pace: Pace, found: bytes | None, now: int) -> timedelta:
    """As the script that grants turns reckons it; see ``mta.store.limits_scripts``."""
    beat = beat_of(pace)
    granted, turn, again, interval, *_ = [*map(int, (found or b"").split()), *_UNSAID]
    if interval not in (0, beat.interval):
        turn = again = 0  # another rate than it was
    clock = heal(Clock(granted, turn, again), beat, now=now)
    opening, _ = find_opening(now, [beat], lambda _: clock, has_turn=False)
    return (opening - now) * _MICROSECOND


def _trouble(text: Any, left_ms: int) -> Trouble | None:
    if text is None:
        return None
    return Trouble(text.decode("utf-8", "replace"), max(left_ms, 0) * _MILLISECOND)
