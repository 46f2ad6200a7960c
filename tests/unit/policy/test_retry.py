"""Which pauses hold, how long each one really is, and when it is over."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.zones import QueueConfig
from mta.policy.retry import SHORTEST, choose_schedule, next_attempt_at

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FAR = NOW + timedelta(days=30)
MINUTE = timedelta(minutes=1)
WAITS = choose_schedule([QueueConfig().defer_times], "recipient")


def after(waits=WAITS, *, attempts=1, give_up_at=FAR, jitter=0.0, **rest):
    """The pause until the next attempt; None if there is none."""
    due_at = next_attempt_at(
        waits,
        attempts=attempts,
        now=NOW,
        give_up_at=give_up_at,
        jitter=jitter,
        **{"key": "m.001", **rest},
    )
    return due_at and due_at - NOW


@pytest.mark.parametrize(
    ("attempts", "minutes"), [(1, 5), (2, 7), (3, 8), (6, 120), (7, 240), (17, 240)]
)
def test_pauses_follow_the_schedule(attempts, minutes):
    """The n-th failure is followed by the n-th pause, counted from the failure."""
    assert after(attempts=attempts) == minutes * MINUTE


def test_failure_after_the_last_pause_is_final():
    """Seventeen deferrals make two days; the eighteenth failure is the end."""
    assert after(attempts=18) is None


def test_no_attempt_is_planned_beyond_the_end_of_the_message():
    """What would be due too late is given up at once."""
    assert after(give_up_at=NOW + 5 * MINUTE) is None


def test_empty_schedule_means_one_attempt():
    """A zone may want no retries at all."""
    assert after(()) is None


@given(
    key=st.text(max_size=20),
    attempts=st.integers(1, 17),
    jitter=st.floats(0, 1),
)
def test_jitter_only_lengthens_and_never_beyond_its_part(key, attempts, jitter):
    """Never earlier than the schedule says."""
    planned = WAITS[attempts - 1]

    pause = after(attempts=attempts, jitter=jitter, key=key)

    assert planned <= pause <= planned * (1 + jitter)
    assert pause.microseconds % 1000 == 0


def test_the_same_failure_has_the_same_pause():
    """So that "when" can be answered before it happens."""
    assert after(jitter=0.1) == after(jitter=0.1)


def test_deliveries_that_failed_together_are_spread_evenly():
    """A thousand that met the same dead host do not come back at once."""
    pauses = sorted(after(jitter=0.1, key=f"m.{n:03x}") for n in range(1000))

    fifth = [pauses[n * 200] - 5 * MINUTE for n in range(5)]
    for n, extra in enumerate(fifth):
        assert extra.total_seconds() == pytest.approx(30 * n / 5, abs=2)


def test_each_attempt_of_a_delivery_has_jitter_of_its_own():
    """Two that were close by chance are not close for ever."""
    once = after((MINUTE, MINUTE), jitter=1.0, attempts=1)
    twice = after((MINUTE, MINUTE), jitter=1.0, attempts=2)

    assert once != twice


def test_jitter_never_costs_the_last_attempt():
    """What is late only for being spread is not spread."""
    pause = after(give_up_at=NOW + 5 * MINUTE + timedelta(milliseconds=1), jitter=1.0)

    assert pause == 5 * MINUTE


def test_a_longer_pause_that_the_server_asks_for_is_taken():
    """Coming earlier would only be refused again, or punished."""
    assert after(asked=60 * MINUTE) == 60 * MINUTE


def test_what_was_asked_for_is_spread_as_well():
    """Everybody was told the same."""
    pause = after(asked=60 * MINUTE, jitter=0.5)

    assert 60 * MINUTE < pause <= 90 * MINUTE


def test_a_pause_beyond_the_end_does_not_end_the_message_early():
    """There is time for a try by the schedule, if not for one by the server's word."""
    assert after(asked=60 * MINUTE, give_up_at=NOW + 30 * MINUTE) == 5 * MINUTE


def test_a_shorter_pause_is_taken_when_the_reply_was_about_pace():
    """Greylisting that ends in two minutes need not cost five."""
    assert after(asked=2 * MINUTE, may_shorten=True) == 2 * MINUTE


def test_a_shorter_pause_is_not_taken_for_other_troubles():
    """Nobody knows when a full mailbox will be empty."""
    assert after(asked=2 * MINUTE) == 5 * MINUTE


def test_a_pause_is_shortened_to_a_fifth_at_most():
    """The sixth failure in a row is not cured in a minute."""
    assert after(attempts=6, asked=MINUTE, may_shorten=True) == 24 * MINUTE


def test_a_pause_is_never_shortened_below_half_a_minute():
    """A server's clock and ours differ."""
    pause = after((MINUTE,), asked=timedelta(seconds=1), may_shorten=True)

    assert pause == SHORTEST


def test_a_schedule_of_seconds_stays_one():
    """The bound is for what servers ask, not for what the operator wants."""
    waits = (timedelta(seconds=10),)

    assert after(waits, asked=timedelta(seconds=2), may_shorten=True) == waits[0]


def test_asking_for_a_pause_does_not_lengthen_the_schedule():
    """After the last pause comes the last try, whatever the server hopes for."""
    assert after(attempts=18, asked=MINUTE, may_shorten=True) is None


LIST, OTHER = (MINUTE,), (2 * MINUTE,)


@pytest.mark.parametrize(
    ("scopes", "chosen"),
    [
        ([{"default": LIST}], LIST),
        ([{"spam": LIST, "default": OTHER}], LIST),
        ([{"block": LIST, "default": OTHER}], OTHER),
        ([{"default": LIST}, {"spam": OTHER}], LIST),
        ([{"block": LIST}, {"spam": OTHER}], OTHER),
        ([{}, {"default": LIST}], LIST),
        ([], ()),
    ],
)
def test_the_closest_scope_that_says_something_is_chosen(scopes, chosen):
    """Domain over zone over queue; inside one, the category over the default."""
    assert choose_schedule(scopes, "spam") == chosen
