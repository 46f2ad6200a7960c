"""What a session's transcript tells of it, over real sockets."""

import re

import pytest

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.relay.fuse import Fuse
from mta.relay.transcript import MAX_CHARS, MAX_LINES
from mta.smtp.client import Transaction

ADA_TO_BOB = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test")
DOT = b".\r\n"
CONTENT = [b"Subject: secret plans\r\n\r\n", b"x" * 100_000, b"\r\n"]


def send(session, transaction=ADA_TO_BOB, content=CONTENT):
    return session.transact(transaction, lambda hop: content, Fuse())


def lines_of(talk) -> list[str]:
    """A transcript without its times."""
    return re.sub(r"(?m)^ *[0-9]+\.[0-9]{3} ", "", str(talk)).splitlines()


def test_a_whole_session_is_told_and_its_content_is_counted(against):
    """From the connection to the reply that settles it."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()
        peer.hear_end()

    session = against(act)
    session.open(None)
    send(session)

    told = lines_of(session.talk)
    assert told == [
        "- connected to mx.test[192.0.2.25] from 192.0.2.10",
        "S 220 mx.test ESMTP",
        "C EHLO client.test",
        "S 250 mx.test",
        "S 250 PIPELINING",
        "C MAIL FROM:<ada@a.test>",
        "C RCPT TO:<bob@b.test>",
        "C DATA",
        "S 250 ok",
        "S 250 ok",
        "S 354 go",
        f"C [{len(b''.join(CONTENT)) + len(DOT)} octets of content]",
        "S 250 2.0.0 taken",
    ]


def test_content_in_pieces_is_counted_by_the_piece(against):
    """What announces a piece is a command, and none of its octets."""
    big = Transaction(reverse_path="ada@a.test", forward_path="b@b.test", size=2 << 20)

    def act(peer):
        peer.greet("CHUNKING")
        for _ in range(2):
            peer.read_line()
            peer.say("250 ok")
        assert peer.read_line() == "BDAT 10 LAST"
        peer.say("250 2.0.0 taken")
        peer.hear_end()

    session = against(act)
    session.open(None)
    send(session, big, [b"0123456789"])

    assert lines_of(session.talk)[-3:] == [
        "C BDAT 10 LAST",
        "C [10 octets of content]",
        "S 250 2.0.0 taken",
    ]


def test_the_next_message_has_a_transcript_of_its_own(against):
    """It says that the session was used, and nothing of the one before."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()
        peer.take(reset=True)
        peer.hear_end()

    session = against(act)
    session.open(None)
    send(session)
    first = session.talk
    send(session, Transaction(reverse_path="eve@e.test", forward_path="joe@j.test"))

    told = lines_of(session.talk)
    assert told[0] == (
        "- on a session with mx.test[192.0.2.25]: 1 messages before, in clear"
    )
    assert told[1] == "C RSET"
    assert "ada@a.test" not in str(session.talk)
    assert "eve@e.test" not in str(first)


@pytest.mark.parametrize(
    "transaction",
    [
        Transaction(reverse_path="e@e.test", forward_path="j@j.test", is_8bit=True),
        Transaction(reverse_path="e@e.test", forward_path="j j@j.test"),
    ],
    ids=["the server lacks what it needs", "its address cannot be said"],
)
def test_a_message_that_never_gets_said_has_a_transcript_of_its_own(
    against, transaction
):
    """Whose addresses were said before on the session is nobody's business."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()
        peer.hear_end()

    session = against(act)
    session.open(None)
    send(session)
    first = session.talk
    with pytest.raises(PermanentFailure) as raised:
        send(session, transaction)

    assert "ada@a.test" not in str(raised.value.talk)
    assert lines_of(raised.value.talk)[-1] == f"- {raised.value.reply}"
    assert lines_of(first)[-1] == "S 250 2.0.0 taken"


def test_a_refusal_is_told_with_what_led_to_it(against):
    """Every line of it, and nothing of ours after it."""

    def act(peer):
        peer.greet()
        peer.hear("MAIL FROM:*")
        peer.say("250 ok")
        peer.hear("RCPT TO:*")
        peer.say("550-5.1.1 nobody", "550 5.1.1 of that name")
        peer.hear_end()

    session = against(act)
    session.open(None)
    with pytest.raises(PermanentFailure) as raised:
        send(session)

    assert lines_of(raised.value.talk)[-3:] == [
        "C RCPT TO:<bob@b.test>",
        "S 550 5.1.1 nobody",
        "S 550 5.1.1 of that name",
    ]


def test_a_session_that_is_cut_says_so_itself(against):
    """The last line is ours, as nobody said anything."""

    def act(peer):
        peer.greet()
        peer.hear("MAIL FROM:*")

    session = against(act)
    session.open(None)
    with pytest.raises(TransientFailure) as raised:
        send(session)

    assert lines_of(raised.value.talk)[-1] == f"- {raised.value.reply}"


def test_the_words_of_a_hostile_server_are_bounded(against):
    """The longest greeting and the longest replies that are read at all."""
    long = "x" * 600

    def act(peer):
        peer.say(*[f"220-{long}"] * 99, f"220 {long}")
        peer.read_line()
        peer.say(*[f"250-{long}"] * 99, f"250 {long}")
        peer.read_line()
        peer.say(*[f"550-{long}"] * 99, f"550 {long}")
        peer.hear_end()

    session = against(act)
    session.open(None)
    with pytest.raises(AttemptFailed) as raised:
        send(session)

    told = lines_of(raised.value.talk)
    assert len(told) < MAX_LINES
    assert max(map(len, told)) <= MAX_CHARS + len("S ")


def test_a_rehearsal_says_mail_and_rcpt_and_takes_them_back(against):
    """No DATA, no content; the reply to RCPT is the answer."""

    def act(peer):
        peer.greet("PIPELINING", "CHUNKING")
        peer.hear("MAIL FROM:<ada@a.test>", "RCPT TO:<bob@b.test>")
        peer.say("250 ok", "250 2.1.5 fine")
        peer.hear("RSET")
        peer.say("250 forgotten")
        assert peer.hear_end() == b"QUIT\r\n"

    session = against(act)
    session.open(None)

    reply = session.rehearse(ADA_TO_BOB)
    session.close()

    assert str(reply) == "250 2.1.5 fine"


def test_a_server_that_hangs_up_on_a_rehearsal_has_answered_it(against):
    """Its word on the recipient stands; nothing more is said to it."""

    def act(peer):
        peer.greet()
        for _ in range(2):
            peer.read_line()
            peer.say("250 ok")
        peer.hear("RSET")

    session = against(act)
    session.open(None)

    assert session.rehearse(ADA_TO_BOB).code == 250
    assert not session.is_usable


def test_a_rehearsal_that_is_refused_takes_nothing_back(against):
    """The session is still good for its QUIT."""

    def act(peer):
        peer.greet()
        peer.hear("MAIL FROM:*")
        peer.say("250 ok")
        peer.hear("RCPT TO:*")
        peer.say("450 4.2.1 later")
        assert peer.hear_end() == b"QUIT\r\n"

    session = against(act)
    session.open(None)

    with pytest.raises(TransientFailure, match="later"):
        session.rehearse(ADA_TO_BOB)
    session.close()


@pytest.mark.parametrize("recipient", ["b b@b.test", "bücher@b.test"])
def test_a_rehearsal_of_what_cannot_be_said_fails(against, recipient):
    """As the message itself would."""

    def act(peer):
        peer.greet()
        assert peer.hear_end() == b"QUIT\r\n"

    session = against(act)
    session.open(None)

    with pytest.raises(PermanentFailure):
        session.rehearse(Transaction(reverse_path="", forward_path=recipient))
    session.close()
