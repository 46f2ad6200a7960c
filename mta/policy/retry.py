"""When to try again after a transient failure, and when to give up.

RFC 5321 §4.5.4.1 suggests thirty minutes between tries and four to five days in
all, and welcomes schedules that know more. Ours starts at five minutes, because
greylisting clears in minutes; and a server that says when to come back is believed,
within bounds, because it knows best.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from mta.config.schedule import DEFAULT

# A server may shorten a pause, but not to less than a part of it, nor below this:
# its clock for greylisting and ours are not the same.
SHORTEST = timedelta(seconds=30)
SHORTEST_PART = 5

_MILLISECOND = timedelta(milliseconds=1)  # BSON keeps no more


def choose_schedule(
    scopes: Sequence[Mapping[str, tuple[timedelta, ...]]], category: str
) -> tuple[timedelta, ...]:
    """Choose the pauses for a failure of one category.

    Args:
        scopes: Schedules, the closest first: the domain's, the zone's, the queue's.
            In the first that has pauses for the category or for all, those for the
            category win.

    Returns:
        Pause after the 1st, 2nd, ... failure; none if no scope says anything.
    """
    for schedule in scopes:
        for key in (category, DEFAULT):
            if key in schedule:
                return schedule[key]
    return ()


def next_attempt_at(
    waits: Sequence[timedelta],
    *,
    attempts: int,
    now: datetime,
    give_up_at: datetime,
    jitter: float,
    key: str,
    asked: timedelta | None = None,
    may_shorten: bool = False,
) -> datetime | None:
    """When to try again, or None: the schedule is used up, or time is.

    Never earlier than the schedule says, but for a server that asked for it. What
    would come too late only for the jitter, or for what was asked, comes without.

    Args:
        waits: Pause after the 1st, 2nd, ... attempt; none follows the last.
        attempts: Attempts made so far, at least 1.
        now: Time of the failure; pauses count from it.
        jitter: A pause is longer by up to this part of itself, so that what failed
            together is not tried together.
        key: The delivery's id; with ``attempts`` it decides how much longer, so
            that the answer to "when" is always the same.
        asked: Pause that the server named, as ``parse_wait`` reads it. A longer one
            than the schedule's is taken.
        may_shorten: A shorter one is taken as well, down to a fifth of the
            schedule's and to ``SHORTEST``: the reply was about greylisting or
            about rates (``is_about_pace``).
    """
    if attempts > len(waits):
        return None
    planned = waits[attempts - 1]
    wait = _heed(planned, asked, may_shorten=may_shorten)
    longer = _stretch(wait, jitter * _fraction(f"{key} {attempts}"))
    for pause in (longer, wait, planned):
        if now + pause < give_up_at:
            return now + pause
    return None


def _heed(
    planned: timedelta, asked: timedelta | None, *, may_shorten: bool
) -> timedelta:
    """The schedule's pause, or the one that was asked for, within bounds."""
    if asked is None:
        return planned
    if asked >= planned:
        return asked
    if not may_shorten:
        return planned
    return min(planned, max(asked, planned / SHORTEST_PART, SHORTEST))


def _stretch(wait: timedelta, part: float) -> timedelta:
    return wait + wait * part // _MILLISECOND * _MILLISECOND


def _fraction(key: str) -> float:
    """A number from 0 to below 1 that is always the same for one key."""
    digest = hashlib.blake2b(key.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48
