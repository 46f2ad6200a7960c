import pytest

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.policy.classify import classify_reply, decide
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
