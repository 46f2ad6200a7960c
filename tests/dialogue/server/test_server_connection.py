"""Our server over a socket: plain sockets and threads here, no gevent."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.errors import Rejected, StoreUnavailable
from mta.reply import make_reply

SOON = timedelta(milliseconds=200)


def open_transaction(client):
    assert client.read() == "220 mx.test ESMTP ready"
    assert client.say("EHLO client.test").startswith("250 ")
    assert client.say("MAIL FROM:<ada@example.test>") == "250 2.1.0 OK"
    assert client.say("RCPT TO:<bob@example.test>") == "250 2.1.5 OK"


def send_content(client, content=b"Subject: x\r\n\r\nhello\r\n"):
    assert client.say("DATA").startswith("354 ")
    client.send(content + b".\r\n")
    return client.read()


def test_message_reaches_the_intake(connect, intake):
    """With all that is known of it."""
    client = connect()
    open_transaction(client)

    assert send_content(client) == "250 2.0.0 Message queued as m1"
    assert client.say("QUIT") == "221 2.0.0 Bye"
    assert client.read() == ""
    [message] = intake.messages
    envelope = message.envelope
    assert message.content == b"Subject: x\r\n\r\nhello\r\n"
    assert envelope.reverse_path == "ada@example.test"
    assert envelope.recipients == ("bob@example.test",)
    assert (envelope.interface, envelope.protocol) == ("feeder", "ESMTP")
    assert (envelope.origin, envelope.origin_host) == ("192.0.2.7", None)
    assert envelope.helo == "client.test"
    assert envelope.received_at == datetime(2026, 7, 1, tzinfo=UTC)
    assert len(envelope.session_id) == 16
    assert intake.open == 0


def test_large_content_comes_in_blocks(connect, intake):
    """Nothing is lost or doubled where blocks meet."""
    client = connect()
    open_transaction(client)
    content = b"".join(b".%d\r\n" % n for n in range(200_000))

    stuffed = content.replace(b"\r\n.", b"\r\n..")
    assert send_content(client, b"." + stuffed) == "250 2.0.0 Message queued as m1"
    assert intake.messages[0].content == content


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (Rejected(make_reply(550, "5.7.1", "No"), detail="rule 7"), "550 5.7.1 No"),
        (StoreUnavailable("db7"), "451 4.3.0 Cannot store the message now, try later"),
        (RuntimeError("secret"), "451 4.3.0 Local error, try later"),
    ],
    ids=["rejected", "store unavailable", "bug"],
)
class TestIntakeFails:
    """The client hears a reply, never our words for it, and may go on."""

    def test_at_the_beginning(self, connect, intake, error, reply):
        """In place of 354."""
        intake.raises = {"begin": error}
        client = connect()
        open_transaction(client)

        assert client.say("DATA") == reply
        assert client.say("RSET") == "250 2.0.0 OK"

    def test_while_content_comes(self, connect, intake, error, reply):
        """At the end of the content, which is read and dropped (§4.1.1.4)."""
        intake.raises = {"write": error}
        client = connect()
        open_transaction(client)

        assert send_content(client, b"x\r\n" * 100_000) == reply
        assert intake.aborted == 1
        intake.raises = {}
        assert client.say("MAIL FROM:<>") == "250 2.1.0 OK"
        assert client.say("RCPT TO:<bob@example.test>") == "250 2.1.5 OK"
        assert send_content(client) == "250 2.0.0 Message queued as m1"

    def test_at_the_commit(self, connect, intake, error, reply):
        """The intake has cleaned up by itself."""
        intake.raises = {"commit": error}
        client = connect()
        open_transaction(client)

        assert send_content(client) == reply
        assert (intake.aborted, intake.open) == (0, 0)


def test_content_over_the_limit_is_aborted(connect, intake):
    """What was written of it is thrown away before its end comes."""
    client = connect(max_size=100_000)
    open_transaction(client)

    assert send_content(client, b"x" * 200_000 + b"\r\n").startswith("552 5.3.4 ")
    assert (intake.messages, intake.aborted, intake.open) == ([], 1, 0)


def test_cut_in_the_middle_of_content(connect, intake):
    """Half a message is no message (T14)."""
    client = connect()
    open_transaction(client)
    assert client.say("DATA").startswith("354 ")
    client.send(b"Subject: x\r\n\r\nhello\r\n.\r")
    client.shut()

    assert client.read() == ""
    client.close()
    assert (intake.messages, intake.aborted, intake.open) == ([], 1, 0)


def test_silence_is_answered_with_421(connect):
    """RFC 5321 §4.5.3.2.7."""
    client = connect(idle=SOON)

    assert client.read() == "220 mx.test ESMTP ready"
    assert client.read() == "421 4.4.2 Timeout, closing connection"
    assert client.read() == ""


def test_silence_within_content_aborts_it(connect, intake):
    """The client hears 421, and nothing is kept."""
    client = connect(idle=SOON)
    open_transaction(client)
    assert client.say("DATA").startswith("354 ")

    assert client.read() == "421 4.4.2 Timeout, closing connection"
    client.close()
    assert (intake.messages, intake.aborted) == ([], 1)


def test_last_reply_arrives_though_the_client_talks_on(connect):
    """Closing at once would reset the connection and lose the reply."""
    client = connect()
    client.send(b"GET / HTTP/1.1\r\n" + b"X-Header: x\r\n" * 10_000)

    assert client.read() == "220 mx.test ESMTP ready"
    assert client.read() == "421 4.7.0 This is SMTP, not HTTP"


def test_screen_is_asked_at_each_recipient(connect):
    """It sees the reverse path too, and None is yes."""
    asked = []

    def screen(reverse_path, recipient):
        asked.append((reverse_path, recipient))
        no = make_reply(450, "4.2.1", "Busy")
        return no if recipient.startswith("busy") else None

    client = connect(screen=screen)
    open_transaction(client)

    assert client.say("RCPT TO:<busy@example.test>") == "450 4.2.1 Busy"
    assert asked == [
        ("ada@example.test", "bob@example.test"),
        ("ada@example.test", "busy@example.test"),
    ]


def test_draining_ends_an_idle_session(connect):
    """The client hears why, at once."""
    client = connect()
    client.read()
    client.say("EHLO client.test")

    client.connection.drain()

    assert client.read() == "421 4.3.2 Service is shutting down"
    assert client.read() == ""


def test_draining_lets_a_transaction_end(connect, intake):
    """The message is taken, and only then the session ends."""
    client = connect()
    open_transaction(client)

    client.connection.drain()

    assert send_content(client) == "250 2.0.0 Message queued as m1"
    assert client.read() == "421 4.3.2 Service is shutting down"
    assert len(intake.messages) == 1


def test_refusals_are_logged_without_content(connect, intake, caplog):
    """One line, with the reason that the client does not hear."""
    intake.raises = {"begin": Rejected(make_reply(550, "5.7.1", "No"), detail="rule 7")}
    client = connect()
    open_transaction(client)
    with caplog.at_level("INFO", "mta.smtpd"):
        client.say("DATA")

    [record] = [r for r in caplog.records if r.name == "mta.smtpd.reception"]
    assert "reply='550 5.7.1 No' detail='rule 7'" in record.getMessage()
    assert "from=<ada@example.test>" in record.getMessage()
