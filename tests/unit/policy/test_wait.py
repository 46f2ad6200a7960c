"""Replies that ask for a pause, and replies that only speak of time."""

from datetime import timedelta

import pytest

from mta.policy.wait import LONGEST, is_about_pace, parse_wait
from tests.support.pace import costs_at_most


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Greylisted, please try again in 300 seconds", 300),
        ("greylisting in action, please come back in 00:05:00", 300),
        ("Message deferred by greylist; retry after 5 minutes", 300),
        ("Too many connections, please wait 60s", 60),
        ("Greylisted, try again in 1.5 hours", 5400),
        ("Please try again in 5-10 minutes", 600),
        ("Please come back in 2 to 3 minutes", 180),
        ("Greylisted, try again in 2 weeks", 4 * 3600),
        ("Retry in 10m" + " 1m" * 9, 780),
        ("You are sending too fast. Come back in 1 hour.", 3600),
        ("Recipient address rejected: Greylisted for 5 minutes", 300),
        ("Temporarily deferred for 10 minutes because of unusual volume", 600),
        ("Please retry in 4m30s", 270),
        ("Try again in 1 hour and 30 minutes", 5400),
        ("Retry-After: 120", 120),
        ("Service busy, retry-after=90", 90),
        ("wait another 45 seconds before the next attempt", 45),
        ("You must wait 2 minutes before trying again", 120),
        ("Please allow 15 minutes before retrying", 900),
        ("greylisted: 287 seconds remaining", 287),
        ("Early retry, 3 minutes left", 180),
        ("Your address is blocked for 30 minutes", 1800),
        ("Rate limited for 60 seconds (policy 7)", 60),
        ("Block expires in 20 minutes", 1200),
        ("Mail from you will be accepted in 240 seconds", 240),
        ("come back later (in 10 min)", 600),
        ("try later in one hour", 3600),
        ("please try again in an hour", 3600),
        ("retry time: 300 secs", 300),
        ("Please resend after 7 mins", 420),
        ("This host is throttled for the next 2 hours", 7200),
        ("connection refused for 5 minutes, too many errors", 300),
        ("retry again after 3600 second(s)", 3600),
        (
            "Not yet known, try again in 59 seconds - see https://p.test/a?t=300s",
            59,
        ),
        ("You can reconnect in 90 sec", 90),
        ("temporary block: lifted in 12 hours", 14400),
        ("Try again in 2 days", 14400),
        ("slow down! next attempt in 30s please", 30),
        ("5 minutes, then try again", 300),
        ("in 5 minutes please retry", 300),
        ("Wait five minutes and try again", 300),
        ("greylisted, expected back in 0:04:59", 299),
        ("delay of 600 seconds required before retry", 600),
        ("retry in 1h", 3600),
        ("policy: back off for 120s", 120),
    ],
)
def test_a_pause_is_read_where_a_reply_asks_for_one(text, seconds):
    """Everybody words it differently; four hours stand for all that is longer."""
    assert parse_wait(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "Try again in (180) seconds",
        "Connection timed out after 30 seconds",
        "try again later",
        "Too many messages in the last 60 seconds, try again later",
        "Limit of 100 messages per 1 hour reached, try later",
        "Try again later: more than 20 recipients within 10 minutes",
        "Your message has been queued for 4 hours",
        "The mailbox has been full for 3 days",
        "Message will be retried for 5 days",
        "try again at 12:05:00",
        "Greylisted, see http://grey.test/help/300s.html",
        "try again in a few minutes",
        "try again in 0 seconds",
        "retry limit 5 m",
        "Requested action aborted: took 3000 ms",
        "No answer from 192.0.2.30 s after",
        "You have exceeded 500 mails in 1 hour; please retry later",
        "No connection could be made. (#4.4.1) We try again; 3 hours so far",
        "user quota exceeded for 14 days",
        "Try again later, too many messages in 60 seconds",
        "Please try again later. Accounts are limited to 10 messages per 60 seconds",
        "Session limit: one connection every 30 seconds. Retry later",
        "Deferred: sender domain registered for 3 days only",
    ],
)
def test_other_lengths_of_time_ask_for_nothing(text):
    """What took long, what is counted, and when: none of it is a request."""
    assert parse_wait(text) is None


def test_a_reply_of_several_lines_is_read_as_one():
    """A server folds where it likes."""
    assert parse_wait("Greylisted, try\nagain in\n 90 seconds") == timedelta(seconds=90)


def test_the_first_request_counts():
    """A reply may go on with what happens otherwise."""
    text = "try again in 2 minutes; after 5 errors you are blocked for 1 hour"

    assert parse_wait(text) == timedelta(minutes=2)


def test_nobody_keeps_mail_for_longer_than_four_hours_by_a_word():
    """The schedule goes on, whatever a server says."""
    assert parse_wait("try again in 999999 hours") == LONGEST


@pytest.mark.parametrize(
    "text",
    [
        "Greylisting in action",
        "you are grey-listed",
        "Message rate exceeded",
        "Too many connections from your address",
        "Throttled, slow down please",
        "Hourly quota reached",
    ],
)
def test_greylisting_and_rates_are_about_pace(text):
    """There a server knows when it will take the message."""
    assert is_about_pace(text)


@pytest.mark.parametrize(
    "text",
    [
        "Mailbox full, try again in 5 minutes",
        "Internal error",
        "Separate messages please",
        "User over quota",
    ],
)
def test_other_troubles_are_not(text):
    """There nobody knows, whatever time the reply names."""
    assert not is_about_pace(text)


@pytest.mark.parametrize(
    "piece",
    [
        "try again in ",
        "1 ",
        "a ",
        "1 hour ",
        "1m",
        "9",
        "wait ",
        "greylisted for ",
        "00:00:",
        "retry-after: ",
        "throttled " + "x" * 44 + " ",
        "\t",
        "\u0130",
    ],
)
def test_hostile_text_costs_no_time(piece):
    """The text is the peer's, and 64 KiB of it may come."""
    text = piece * (65_536 // len(piece))

    assert costs_at_most(5, lambda: (parse_wait(text), is_about_pace(text)))
