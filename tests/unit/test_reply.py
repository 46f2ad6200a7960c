"""Replies: what a server says, and what we say."""

import pytest

from mta.reply import EnhancedStatus, Reply, format_reply, make_reply, parse_reply


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([b"250 OK"], "250 OK", id="plain"),
        pytest.param([b"250"], "250", id="code alone"),
        pytest.param(
            [b"550 5.1.1 no such user"], "550 5.1.1 no such user", id="status"
        ),
        pytest.param([b"250-a", b"250 b"], "250 a b", id="two lines"),
        pytest.param(
            [b"550-5.7.1 go", b"550 5.7.1 away"],
            "550 5.7.1 go away",
            id="repeated status",
        ),
        pytest.param([b"550 4.7.1 odd"], "550 4.7.1 odd", id="contradicting status"),
        pytest.param(
            [b"250 \xff\x00\x1b[0m"], "250 \ufffd??[0m", id="control characters"
        ),
    ],
)
def test_a_reply_reads_as_one_line(lines, expected):
    """Whatever a server sends, the log gets one safe line."""
    assert str(parse_reply(lines)) == expected


def test_a_status_that_contradicts_its_code_is_dropped():
    """The code decides (RFC 2034 §4), so no reader ever has to choose."""
    assert parse_reply([b"550 4.7.1 odd"]).status is None


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"hello"], id="no code"),
        pytest.param([b"250-a", b"251 b"], id="two codes"),
        pytest.param([b"250-a"], id="no last line"),
        pytest.param([b"250 a", b"250 b"], id="two last lines"),
        pytest.param([b"199 a"], id="code out of range"),
        pytest.param([b"250~a"], id="odd separator"),
    ],
)
def test_what_is_no_reply_is_an_error(lines):
    """A server that breaks the grammar is not understood by guessing."""
    with pytest.raises(ValueError, match=r"."):
        parse_reply(lines)


def test_a_reply_cannot_contradict_itself():
    """Code and status are one fact."""
    with pytest.raises(ValueError, match="contradicts"):
        Reply(550, EnhancedStatus(4, 7, 1))


def test_each_line_of_a_reply_carries_the_status():
    """RFC 2034 §4."""
    reply = make_reply(550, "5.1.1", "No such", "user")

    assert format_reply(reply) == b"550-5.1.1 No such\r\n550 5.1.1 user\r\n"


def test_a_reply_cannot_hold_a_second_line():
    """Text from elsewhere must not become a reply of its own."""
    assert format_reply(make_reply(550, None, "a\r\n250 b")) == b"550 a??250 b\r\n"
