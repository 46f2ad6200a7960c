"""The session's contract with its driver; what it says is in tests/dialogue."""

import pytest

from mta.reply import make_reply
from mta.smtp import content
from mta.smtp.events import (
    ContentChunk,
    ContentEnded,
    MailReceived,
    SessionEnded,
    TransactionReset,
)
from mta.smtp.options import SessionOptions
from mta.smtp.server import ServerSession


def a_session(**limits):
    options = {"max_size": 1000, "max_recipients": 100} | limits
    session = ServerSession(SessionOptions(hostname="mx.test", **options))
    session.receive(b"EHLO client.test\r\n")
    assert session.next_event() is None
    session.data_to_send()
    return session


def in_content(**limits):
    session = a_session(**limits)
    session.receive(b"MAIL FROM:<>\r\nRCPT TO:<ada@example.test>\r\nDATA\r\n")
    while session.next_event() is not None:
        session.answer()
    session.data_to_send()
    return session


def test_question_must_be_answered():
    """Going on without an answer is a mistake of the driver's."""
    session = a_session()
    session.receive(b"MAIL FROM:<>\r\n")
    assert session.next_event() == MailReceived("", None)

    with pytest.raises(RuntimeError):
        session.next_event()


def test_answer_needs_a_question():
    """So is an answer that nobody asked for."""
    with pytest.raises(RuntimeError):
        a_session().answer()


def test_nothing_is_said_before_the_answer():
    """The reply to MAIL is the driver's to decide."""
    session = a_session()
    session.receive(b"MAIL FROM:<> SIZE=7\r\nNOOP\r\n")

    assert session.next_event() == MailReceived("", 7)
    assert session.data_to_send() == b""
    session.answer()
    assert session.data_to_send() == b"250 2.1.0 OK\r\n"


def test_content_streams():
    """Each block is an event as it comes; the end is a question."""
    session = in_content()
    events = []
    for piece in (b"one", b"\r\n", b".\r", b"\n"):
        session.receive(piece)
        events.append(session.next_event())

    assert events == [ContentChunk(b"one"), None, None, ContentChunk(b"\r\n")]
    assert session.next_event() == ContentEnded(5)
    assert not session.is_reading_content
    assert not session.is_idle
    session.answer()
    assert session.is_idle


def test_endless_content_is_cut(monkeypatch):
    """Reading on past the limit is a courtesy, and has a limit too."""
    monkeypatch.setattr(content, "MAX_DROPPED", 500)
    session = in_content(max_size=100)
    session.receive(b"x" * 101)
    assert session.next_event() == TransactionReset()
    session.receive(b"x" * 500)

    assert session.next_event() == SessionEnded()
    assert session.data_to_send().startswith(b"552 5.3.4 ")


def test_hang_up():
    """The driver may end it at any time, with the last word."""
    session = a_session()
    session.receive(b"MAIL FROM:<>\r\nNOOP\r\n")
    session.next_event()

    session.hang_up(make_reply(421, "4.4.2", "Too slow"))
    session.hang_up(make_reply(421, "4.3.2", "Going down"))
    session.receive(b"NOOP\r\n")

    assert session.next_event() == SessionEnded()
    assert session.next_event() is None
    assert session.data_to_send() == b"421 4.4.2 Too slow\r\n"


def test_lines_read_grows_with_whole_lines_only():
    """A driver tells work from dripping by it."""
    session = a_session()
    before = session.lines_read
    for octet in b"NOO":
        session.receive(bytes([octet]))
        session.next_event()

    assert session.lines_read == before
    session.receive(b"P\r\n")
    session.next_event()
    assert session.lines_read == before + 1


def test_banner():
    """The operator's words stand after the name."""
    options = SessionOptions(
        hostname="mx.test", banner="hello", max_size=1, max_recipients=1
    )

    assert ServerSession(options).greeting() == b"220 mx.test hello\r\n"
