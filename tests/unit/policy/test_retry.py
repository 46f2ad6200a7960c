from datetime import UTC, datetime, timedelta

import pytest

from mta.config.zones import QueueConfig
from mta.policy.retry import next_attempt_at

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FAR = NOW + timedelta(days=30)
WAITS = QueueConfig().defer_times


@pytest.mark.parametrize(
    ("attempts", "minutes"), [(1, 5), (2, 7), (3, 8), (6, 120), (7, 240), (17, 240)]
)
def test_pauses_follow_the_schedule(attempts, minutes):
    """The n-th failure is followed by the n-th pause, counted from the failure."""
    due_at = next_attempt_at(WAITS, attempts=attempts, now=NOW, give_up_at=FAR)

    assert due_at == NOW + timedelta(minutes=minutes)


def test_failure_after_the_last_pause_is_final():
    """Seventeen deferrals make two days; the eighteenth failure is the end."""
    assert next_attempt_at(WAITS, attempts=18, now=NOW, give_up_at=FAR) is None


def test_no_attempt_is_planned_beyond_the_end_of_the_message():
    """What would be due too late is given up at once."""
    give_up_at = NOW + timedelta(minutes=5)

    assert next_attempt_at(WAITS, attempts=1, now=NOW, give_up_at=give_up_at) is None


def test_empty_schedule_means_one_attempt():
    """A zone may want no retries at all."""
    assert next_attempt_at((), attempts=1, now=NOW, give_up_at=FAR) is None
