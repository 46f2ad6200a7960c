"""Transactions as they should go, and refusals at each of their stages."""

import pytest

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.relay.failures import StaleSession
from mta.relay.fuse import Fuse
from mta.smtp.client import Transaction

MAIL = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test")


def content(*chunks):
    return lambda hop: iter(chunks)


def test_pipelined_transaction(against):
    """MAIL, RCPT and DATA go out together; the content arrives stuffed."""
    received = []

    def act(peer):
        peer.greet("PIPELINING", "SIZE 1000")
        peer.hear("MAIL FROM:<ada@a.test> SIZE=12", "RCPT TO:<bob@b.test>", "DATA")
        peer.say("250 ok", "250 ok", "354 go")
        received.append(peer.hear_content())
        peer.say("250 2.0.0 taken as 1234")
        peer.hear("QUIT")

    session = against(act)
    session.open(None)
    mail = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test", size=12)

    reply = session.transact(mail, content(b"A: b\r\n", b"\r\n.dot\r\n"), Fuse())

    assert str(reply) == "250 2.0.0 taken as 1234"
    assert received == [b"A: b\r\n\r\n..dot\r\n.\r\n"]
    assert session.is_usable


def test_transaction_without_pipelining(against):
    """Each command waits for the reply to the one before."""

    def act(peer):
        peer.greet()
        for command, reply in [
            ("MAIL FROM:<ada@a.test>", "250 ok"),
            ("RCPT TO:<bob@b.test>", "250 ok"),
            ("DATA", "354 go"),
        ]:
            peer.hear(command)
            assert not peer._buffer
            peer.say(reply)
        peer.hear_content()
        peer.say("250 taken")

    session = against(act)
    session.open(None)

    assert session.transact(MAIL, content(b"x\r\n"), Fuse()).code == 250


def test_second_message_begins_with_rset(against):
    """What the first one may have left behind is cleared."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()
        peer.take(reset=True)
        peer.hear("QUIT")

    session = against(act)
    session.open(None)

    session.transact(MAIL, content(b"x\r\n"), Fuse())
    session.transact(MAIL, content(b"y\r\n"), Fuse())

    assert session.uses == 2


def test_helo_is_the_fallback(against):
    """A server from before extensions still takes mail (RFC 5321 §3.2)."""

    def act(peer):
        peer.say("220 mx.test")
        peer.hear("EHLO client.test")
        peer.say("502 what?")
        peer.hear("HELO client.test")
        peer.say("250 mx.test")
        peer.hear("MAIL FROM:<ada@a.test>")
        peer.say("250 ok")
        peer.hear("RCPT TO:<bob@b.test>")
        peer.say("250 ok")
        peer.hear("DATA")
        peer.say("354 go")
        peer.hear_content()
        peer.say("250 taken")

    session = against(act)
    session.open(None)

    assert session.transact(MAIL, content(b"x\r\n"), Fuse()).code == 250


def test_large_content_goes_out_in_full(against):
    """Many blocks, cut anywhere, arrive as one."""
    line = b"0123456789" * 7 + b"\r\n"
    received = []

    def act(peer):
        peer.greet("PIPELINING")
        peer.take(into=received)

    session = against(act)
    session.open(None)
    body = line * 20_000

    session.transact(MAIL, content(body[:999_999], body[999_999:]), Fuse())

    assert received[0] == body + b".\r\n"


REFUSALS = [
    pytest.param(
        ["450 4.2.0 a", "503 b", "503 c"], 450, TransientFailure, id="MAIL 4yz"
    ),
    pytest.param(
        ["550 5.7.1 a", "503 b", "503 c"], 550, PermanentFailure, id="MAIL 5yz"
    ),
    pytest.param(
        ["250 a", "451 4.7.1 b", "503 c"], 451, TransientFailure, id="RCPT 4yz"
    ),
    pytest.param(
        ["250 a", "550 5.1.1 b", "503 c"], 550, PermanentFailure, id="RCPT 5yz"
    ),
    pytest.param(["250 a", "250 b", "451 c"], 451, TransientFailure, id="DATA 4yz"),
    pytest.param(["250 a", "250 b", "554 c"], 554, PermanentFailure, id="DATA 5yz"),
]


@pytest.mark.parametrize(("replies", "code", "kind"), REFUSALS)
def test_refusal_in_a_group_is_the_failure(against, replies, code, kind):
    """The first refusal counts, not what follows from it; the session stays good."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say(*replies)
        peer.take(reset=True)

    session = against(act)
    session.open(None)

    with pytest.raises(kind) as failure:
        session.transact(MAIL, content(b"x\r\n"), Fuse())

    assert (failure.value.reply.code, failure.value.category) == (code, "smtp")
    assert (failure.value.host, failure.value.address) == ("mx.test", "192.0.2.25")
    assert not failure.value.is_next_host_worth_trying
    assert session.transact(MAIL, content(b"x\r\n"), Fuse()).code == 250


@pytest.mark.parametrize(("replies", "code", "kind"), REFUSALS)
def test_refusal_step_by_step_is_the_failure(against, replies, code, kind):
    """Without pipelining nothing is said after a refusal."""

    def act(peer):
        peer.greet()
        for reply in replies:
            peer.read_line()
            peer.say(reply)
            if not reply.startswith("250"):
                break
        peer.hear("QUIT")

    session = against(act)
    session.open(None)

    with pytest.raises(kind) as failure:
        session.transact(MAIL, content(b"x\r\n"), Fuse())

    assert failure.value.reply.code == code
    assert session.is_usable


def test_data_agreed_to_without_recipients_ends_with_a_lone_dot(against):
    """The peer waits for content nobody may get: an empty one (RFC 2920 §3.1)."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "550 5.1.1 no", "354 go")
        assert peer.hear_content() == b".\r\n"
        peer.say("554 no valid recipients")
        peer.hear("QUIT")

    session = against(act)
    session.open(None)

    with pytest.raises(PermanentFailure, match=r"5\.1\.1"):
        session.transact(MAIL, content(b"secret\r\n"), Fuse())

    assert session.is_usable


def test_data_agreed_to_against_all_sense_is_hung_up_on(against):
    """MAIL refused, RCPT and DATA accepted: a lone dot might deliver nothing."""
    rest = []

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("450 later", "250 ok", "354 go")
        rest.append(peer.hear_end())

    session = against(act)
    session.open(None)

    with pytest.raises(TransientFailure):
        session.transact(MAIL, content(b"x\r\n"), Fuse())
    assert not session.is_usable
    session.close()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("452 4.3.1 full", TransientFailure),
        ("554 5.6.0 no", PermanentFailure),
    ],
)
def test_refusal_of_the_content_is_the_failure(against, reply, kind):
    """The reply to the dot decides, and leaves the session good."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "250 ok", "354 go")
        peer.hear_content()
        peer.say(reply)
        peer.hear("QUIT")

    session = against(act)
    session.open(None)

    with pytest.raises(kind, match=reply[:3]):
        session.transact(MAIL, content(b"x\r\n"), Fuse())

    assert session.is_usable


@pytest.mark.parametrize(
    ("needs", "status"),
    [
        pytest.param({"is_utf8": True}, "5.6.7", id="UTF-8 header"),
        pytest.param({"forward_path": "jõgeva@b.test"}, "5.6.7", id="UTF-8 address"),
        pytest.param({"is_8bit": True}, "5.6.3", id="8-bit content"),
        pytest.param({"size": 1001}, "5.3.4", id="size"),
        pytest.param({"forward_path": "a>\r\nDATA"}, "5.1.3", id="bad address"),
    ],
)
def test_message_the_server_cannot_take_is_not_begun(against, needs, status):
    """What an extension is missing for is known before MAIL, and is for good."""

    def act(peer):
        peer.greet("PIPELINING", "SIZE 1000")
        peer.hear("QUIT")

    session = against(act)
    session.open(None)
    fields = {"reverse_path": "", "forward_path": "bob@b.test", **needs}

    with pytest.raises(PermanentFailure) as failure:
        session.transact(Transaction(**fields), content(b"x\r\n"), Fuse())

    assert str(failure.value.reply.status) == status
    assert failure.value.category == "message"


def test_content_that_fails_is_never_ended_with_a_dot(against):
    """Half a message must not be taken for a whole one."""
    rest = []

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "250 ok", "354 go")
        rest.append(peer.hear_end())

    def open_content(hop):
        yield b"x" * 100_000
        raise RuntimeError("the store is gone")

    session = against(act)
    session.open(None)

    with pytest.raises(RuntimeError):
        session.transact(MAIL, open_content, Fuse())
    assert not session.is_usable
    session.close()


def test_content_is_told_its_way(against):
    """The Received field names us as EHLO did."""
    hops = []

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()

    session = against(act)
    session.open(None)
    session.transact(MAIL, lambda hop: hops.append(hop) or [b"x\r\n"], Fuse())

    (hop,) = hops
    assert (hop.ehlo_name, hop.source) == ("client.test", "192.0.2.10")
    assert (hop.host, hop.address) == ("mx.test", "192.0.2.25")


@pytest.mark.parametrize("stage", ["silence", "QUIT of the server", "RSET refused"])
def test_session_that_died_waiting_is_stale(against, stage):
    """Ended before MAIL is accepted: says nothing about the next message."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()
        if stage == "QUIT of the server":
            peer.say("421 idle too long")
        elif stage == "RSET refused":
            peer.hear_group(reset=True)
            peer.say("500 what?", "503 a", "503 b", "503 c")
            peer.hear_end()

    session = against(act)
    session.open(None)
    session.transact(MAIL, content(b"x\r\n"), Fuse())

    with pytest.raises(StaleSession):
        session.transact(MAIL, content(b"x\r\n"), Fuse())

    assert not session.is_usable


def test_421_to_mail_on_a_used_session_is_stale(against):
    """Some servers take so many messages per session and then say 421."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()
        peer.hear_group(reset=True)
        peer.say("250 ok", "421 4.7.0 too many messages")

    session = against(act)
    session.open(None)
    session.transact(MAIL, content(b"x\r\n"), Fuse())

    with pytest.raises(StaleSession):
        session.transact(MAIL, content(b"x\r\n"), Fuse())


def test_cut_after_mail_on_a_used_session_is_a_failure(against):
    """Once MAIL is accepted the session was not stale."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()
        peer.hear_group(reset=True)
        peer.say("250 ok", "250 ok")

    session = against(act)
    session.open(None)
    session.transact(MAIL, content(b"x\r\n"), Fuse())

    with pytest.raises(AttemptFailed) as failure:
        session.transact(MAIL, content(b"x\r\n"), Fuse())

    assert type(failure.value) is TransientFailure


def test_quiet_session_is_told_from_a_dead_one(against):
    """Before a session is used again, a look at the socket tells most dead ones."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()
        peer.hear("NOOP")
        peer.say("421 idle too long")
        peer.hear("NOOP")

    session = against(act)
    session.open(None)
    session.transact(MAIL, content(b"x\r\n"), Fuse())
    assert session.is_quiet()

    session._wire.sock.settimeout(20)
    session._wire.sock.sendall(b"NOOP\r\n")
    session._wire.sock.recv(1)

    assert not session.is_quiet()
    session._wire.sock.sendall(b"NOOP\r\n")
