import pytest

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.policy.classify import classify_reply, decide
from mta.reasons import Reasons
from mta.reply import make_reply


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (PermanentFailure, "bounce"),
        (TransientFailure, "defer"),
        (AttemptFailed, "defer"),
    ],
)
def test_permanent_failures_bounce_and_all_others_wait(kind, action):
    """What nobody understands is for later: a message that waits is not lost."""
    failure = kind(make_reply(550, "5.1.1"), category="smtp")

    assert decide(failure).action == action


BLACKLISTED = make_reply(554, "5.7.1", "Client host [192.0.2.1] blocked using zen.test")


@pytest.mark.parametrize(
    ("address", "may_move", "action"),
    [
        ("192.0.2.1", True, "defer"),
        ("192.0.2.1", False, "bounce"),
        ("", False, "bounce"),
    ],
)
def test_a_blacklisted_address_is_not_the_end_if_another_may_do_better(
    address, may_move, action
):
    failure = PermanentFailure(BLACKLISTED, category="smtp")
    failure.reasons, failure.may_move = Reasons(pool_address=address), may_move

    assert decide(failure).action == action


def test_the_last_resort_that_is_blacklisted_again_is_the_end_whatever_the_code():
    failure = TransientFailure(
        make_reply(421, "4.7.1", "Your IP is listed by bl.test"), category="smtp"
    )
    failure.reasons = Reasons(pool_address="192.0.2.1")

    assert decide(failure).action == "bounce"


@pytest.mark.parametrize(
    "text",
    [
        "554 5.7.1 You are not allowed to connect.",
        "\r\n554 5.7.1 You are not allowed to connect.",
        "554 5.7.1 x; Client host [192.0.2.1] blocked using zen.spamhaus.org; see y",
        "550 5.7.1 Service unavailable; host [192.0.2.1] is listed in the XBL",
        "554 Rejected - your address is on our blocklist",
        "421 4.7.0 IP 192.0.2.1 blacklisted",
        "550 Denied by RBL",
    ],
)
def test_what_is_said_of_our_address_is_about_a_blacklist(text):
    classified = classify_reply(text)

    assert (classified.category, classified.action) == ("blacklist", "defer")


@pytest.mark.parametrize(
    "text",
    [
        "550 5.7.1 Message rejected as spam",
        "550 5.1.1 no such user at this address",
        "550 5.7.1 Your message links to a host that spamhaus.org knows",
        "450 4.2.1 The user is on vacation and reads no lists",
    ],
)
def test_what_is_said_of_the_message_is_not_about_a_blacklist(text):
    assert classify_reply(text).category != "blacklist"


@pytest.mark.parametrize(
    ("text", "action", "category", "code", "status"),
    [
        ("550 5.1.1 no such user", "bounce", "recipient", 550, "5.1.1"),
        ("450 4.3.2 Service currently unavailable", "defer", "recipient", 450, "4.3.2"),
        ("452 4.2.2 over quota", "defer", "capacity", 452, "4.2.2"),
        ("552 5.3.4 too big", "bounce", "message", 552, "5.3.4"),
        ("451 4.4.0 Temporary DNS failure", "defer", "network", 451, "4.4.0"),
        ("550-5.7.14 spam\r\n550 5.7.14 spam", "bounce", "spam", 550, "5.7.14"),
        ("535 5.7.8 Authentication failed", "bounce", "auth", 535, "5.7.8"),
        ("450 mailbox busy", "defer", "other", 450, ""),
        ("599 zzqq unknown", "bounce", "other", 599, ""),
        ("499 zzqq unknown", "defer", "other", 499, ""),
        ("503 bad sequence", "bounce", "protocol", 503, ""),
        ("550 4.7.1 contradiction", "bounce", "other", 550, ""),
        ("Connection timed out", "defer", "other", 0, ""),
        ("", "defer", "other", 0, ""),
        ("5501 apples", "defer", "other", 0, ""),
    ],
)
def test_reply_text_is_classified(text, action, category, code, status):
    """The code says how long, the enhanced status what about."""
    result = classify_reply(text)

    assert (result.action, result.category, result.code, result.status) == (
        action,
        category,
        code,
        status,
    )


def test_lines_are_joined_with_one_code():
    """Code and status stand once, in front of the text."""
    result = classify_reply(
        "  552-5.7.0 Blocked:\r\n552-5.7.0 a potential\r\n552 5.7.0 issue"
    )

    assert result.message == "552 5.7.0 Blocked: a potential issue"
