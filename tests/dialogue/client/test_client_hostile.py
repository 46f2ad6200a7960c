"""Servers that cut, drip, flood, lie, and talk out of turn."""

import threading
import time
from datetime import timedelta

import pytest

from mta.errors import PermanentFailure, TransientFailure
from mta.relay.fuse import Fuse
from mta.smtp.client import Transaction

MAIL = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test")
SHORT = timedelta(seconds=0.3)


def content(hop):
    return [b"x\r\n"]


def run(session):
    """Go as far as it goes."""
    session.open(None)
    return session.transact(MAIL, content, Fuse())


def act_until(stage, then):
    """A server that behaves up to a stage, and then does something else."""

    def act(peer):
        stages = ["greeting", "EHLO", "group", "DATA", "content", "dot"]
        reached = stages.index(stage)
        if reached >= 1:
            peer.say("220 mx.test")
            peer.hear("EHLO *")
        if reached >= 2:
            peer.say("250-mx.test", "250 PIPELINING")
            peer.hear_group()
        if reached >= 3:
            peer.say("250 ok", "250 ok")
        if reached >= 4:
            peer.say("354 go")
        if reached >= 5:
            peer.hear_content()
        then(peer)

    return act


@pytest.mark.parametrize(
    ("stage", "is_next_host_worth_trying"),
    [
        ("greeting", True),
        ("EHLO", True),
        ("group", True),
        ("DATA", True),
        ("dot", False),
    ],
)
def test_cut_is_for_later(against, stage, is_next_host_worth_trying):
    """Another host is asked as long as this one cannot have the message."""
    session = against(act_until(stage, lambda peer: None))

    with pytest.raises(TransientFailure, match=r"450 4\.4\.2") as failure:
        run(session)

    assert failure.value.category == "network"
    assert failure.value.is_next_host_worth_trying == is_next_host_worth_trying
    assert ("may have been delivered" in str(failure.value.reply)) == (stage == "dot")
    assert not session.is_usable


@pytest.mark.parametrize(
    ("stage", "timeout"),
    [
        ("greeting", "greeting"),
        ("EHLO", "hello"),
        ("group", "mail"),
        ("DATA", "data"),
        ("dot", "final"),
        ("dot", "transaction"),
    ],
)
def test_silence_ends_at_the_deadline(against, stage, timeout):
    """Each stage has its own patience, and the transaction has one for all."""
    session = against(
        act_until(stage, lambda peer: peer.hear_end()), **{timeout: SHORT}
    )

    with pytest.raises(TransientFailure, match="timed out"):
        run(session)
    assert not session.is_usable
    session.close()


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "group", "DATA", "dot"])
def test_dripping_does_not_renew_the_deadline(against, stage):
    """An octet now and then is not an answer (RFC 5321 §4.5.3.2 per command)."""
    over = threading.Event()

    def drip(peer):
        while not over.wait(0.02):
            peer.sock.sendall(b"2")

    timeouts = dict.fromkeys(("greeting", "hello", "mail", "data", "final"), SHORT)
    session = against(act_until(stage, drip), **timeouts)
    started = time.monotonic()

    with pytest.raises(TransientFailure, match="timed out"):
        run(session)

    over.set()
    assert time.monotonic() - started < 5


def test_peer_that_does_not_read_is_left(against):
    """A block that does not get out within its time ends the session."""
    over = threading.Event()
    session = against(
        act_until("content", lambda peer: over.wait(20)),
        block=SHORT,
    )
    session.open(None)

    with pytest.raises(TransientFailure, match="timed out"):
        session.transact(MAIL, lambda hop: [b"x" * 78 + b"\r\n"] * 100_000, Fuse())

    over.set()
    assert not session.is_usable


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "group", "DATA", "dot"])
@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"250-x\r\n" * 1000, id="endless lines"),
        pytest.param(b"2" * 100_000, id="endless line"),
        pytest.param(b"\x00\xff\r\n", id="no reply"),
        pytest.param(b"250-a\r\n550 b\r\n", id="two codes"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", id="another protocol"),
    ],
)
def test_noise_is_a_protocol_error(against, stage, noise):
    """What is no reply within the limits ends the session, for later."""

    def then(peer):
        peer.sock.sendall(noise)
        peer.hear_end()

    session = against(act_until(stage, then))

    with pytest.raises(TransientFailure) as failure:
        run(session)
    assert failure.value.category == "protocol"
    assert not session.is_usable
    session.close()


@pytest.mark.parametrize(
    ("replies", "stage"),
    [
        pytest.param(["250 ok", "250 ok", "250 taken"], "group", id="250 to DATA"),
        pytest.param(["354 go", "250 ok", "354 go"], "group", id="354 to MAIL"),
        pytest.param(["354 again"], "dot", id="354 to the dot"),
        pytest.param(["250 a", "250 b", "354 c", "250 d", "250 e"], "group", id="many"),
    ],
)
def test_wrong_replies_are_no_success(against, replies, stage):
    """Only a 2yz after the dot is delivery."""

    def then(peer):
        peer.say(*replies)
        peer.hear_end()

    session = against(act_until(stage, then))

    with pytest.raises(TransientFailure) as failure:
        run(session)
    assert failure.value.category == "protocol"
    session.close()


def test_reply_too_many_after_success_spoils_only_the_session(against):
    """The message is delivered; nothing else may follow on that session."""

    def then(peer):
        peer.say("250 taken", "250 and again")
        peer.hear_end()

    session = against(act_until("dot", then))

    assert run(session).code == 250
    assert not session.is_quiet() or not session.is_usable
    session.close()


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "group", "DATA", "dot"])
def test_421_ends_the_session(against, stage):
    """The server is closing, at any time it likes (RFC 5321 §3.8)."""
    session = against(act_until(stage, lambda peer: peer.say("421 4.3.2 bye")))

    with pytest.raises(TransientFailure, match=r"421 4\.3\.2"):
        run(session)

    assert not session.is_usable


@pytest.mark.parametrize(
    ("greeting", "kind", "is_next_host_worth_trying"),
    [
        ("450 busy", TransientFailure, True),
        ("421 busy", TransientFailure, True),
        ("554 go away", PermanentFailure, False),
        ("250 hello", TransientFailure, True),
    ],
)
def test_greeting_other_than_220(against, greeting, kind, is_next_host_worth_trying):
    """Busy: ask another host. Unwelcome: that is an answer."""
    session = against(act_until("greeting", lambda peer: peer.say(greeting)))

    with pytest.raises(kind) as failure:
        run(session)

    assert failure.value.is_next_host_worth_trying == is_next_host_worth_trying


def test_last_words_in_mid_content_are_heard(against):
    """Who hangs up in mid-content may have said why."""

    def then(peer):
        peer.sock.recv(1000)
        peer.say("552 5.3.4 too much")
        peer.sock.shutdown(0)

    session = against(act_until("content", then), block=timedelta(seconds=5))
    session.open(None)

    with pytest.raises(PermanentFailure, match=r"552 5\.3\.4"):
        session.transact(MAIL, lambda hop: [b"x" * 78 + b"\r\n"] * 100_000, Fuse())

    assert not session.is_usable
