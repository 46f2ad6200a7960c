"""When to try again after a transient failure, and when to give up.

RFC 5321 §4.5.4.1 suggests thirty minutes between tries and four to five days in
all, and welcomes schedules that know more. Ours starts at five minutes, because
greylisting clears in minutes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta


def next_attempt_at(
    waits: Sequence[timedelta], *, attempts: int, now: datetime, give_up_at: datetime
) -> datetime | None:
    """When to try again, or None: the schedule is used up, or time is.

    Args:
        waits: Pause after the 1st, 2nd, ... attempt; none follows the last.
        attempts: Attempts made so far, at least 1.
        now: Time of the failure; pauses count from it.
    """
    if attempts > len(waits):
        return None
    due_at = now + waits[attempts - 1]
    return due_at if due_at < give_up_at else None
