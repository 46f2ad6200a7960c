"""The gap between the final dot and its reply (RFC 1047): who is in doubt, who not."""

import socket
import threading
from datetime import timedelta

import pytest

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.relay.fuse import Fuse
from mta.relay.wire import WRITE_BYTES
from mta.smtp.client import Transaction

MAIL = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test")
SHORT = timedelta(seconds=0.3)


def content(hop):
    return [b"x\r\n"]


def fail(session, open_content=content):
    session.open(None)
    with pytest.raises(AttemptFailed) as raised:
        session.transact(MAIL, open_content, Fuse())
    return raised.value


def after_the_dot(then):
    """A server that takes a message, and then does something else."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "250 ok", "354 go")
        peer.hear_content()
        then(peer)

    return act


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(lambda peer: None, id="cut"),
        pytest.param(lambda peer: peer.sock.sendall(b"250-tak"), id="half a line"),
        pytest.param(lambda peer: peer.say("250-taken"), id="half a reply"),
        pytest.param(lambda peer: peer.hear_end(), id="silence"),
        pytest.param(lambda peer: peer.say("<html>"), id="garbage"),
        pytest.param(lambda peer: peer.say("354 go on"), id="354 again"),
    ],
)
def test_dot_without_an_answer_is_in_doubt(against, then):
    """The recipient may have the message, and the failure says so in two ways."""
    session = against(after_the_dot(then), final=SHORT)

    failed = fail(session)

    assert isinstance(failed, TransientFailure)
    assert failed.is_in_doubt
    assert "The message may have been delivered" in str(failed.reply)
    assert not failed.is_next_host_worth_trying
    session.close()


@pytest.mark.parametrize(
    "reply", ["452 4.3.1 full", "554 5.6.0 no", "421 4.3.2 closing"]
)
def test_refusal_of_the_dot_is_no_doubt(against, reply):
    """The peer has said what became of the message."""
    failed = fail(against(after_the_dot(lambda peer: peer.say(reply))))

    assert str(failed.reply) == reply
    assert not failed.is_in_doubt


def test_positive_reply_with_garbage_behind_it_is_no_doubt(against):
    """What is wrong after the 250 does not undo it."""
    session = against(after_the_dot(lambda peer: peer.say("250 taken", "<html>")))
    session.open(None)

    assert session.transact(MAIL, content, Fuse()).code == 250


@pytest.mark.parametrize("stage", ["MAIL", "DATA", "content"])
def test_cut_before_the_dot_is_no_doubt(against, stage):
    """Without its end there is no message."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        if stage != "MAIL":
            peer.say("250 ok", "250 ok")
        if stage == "content":
            peer.say("354 go")
            peer.sock.recv(100)

    failed = fail(against(act), lambda hop: [b"x" * 78 + b"\r\n"] * 100_000)

    assert not failed.is_in_doubt


def test_dot_that_does_not_get_out_is_no_doubt(against):
    """The last block is sent whole or it has no dot."""
    is_over = threading.Event()

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "250 ok", "354 go")
        is_over.wait(20)

    session = against(act, block=SHORT)
    session._wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    # Less than is written at once: the dot belongs to what does not get out.
    failed = fail(session, lambda hop: [b"x" * (WRITE_BYTES - 1)])

    is_over.set()
    assert not failed.is_in_doubt


def test_lone_dot_for_nobody_is_no_doubt(against):
    """No recipient was accepted: nobody can have got anything."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "550 5.1.1 no", "354 go")
        assert peer.hear_content() == b".\r\n"

    assert not fail(against(act)).is_in_doubt


class Killed(BaseException):
    """As a greenlet is, from outside and at any moment."""


@pytest.mark.parametrize("stage", ["content", "dot"])
def test_killed_transaction_spoils_the_session(against, stage):
    """Whatever the peer says next is the answer to something nobody asked."""
    rest = []
    is_killed = []

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "250 ok", "354 go")
        rest.append(peer.hear_end())

    def open_content(hop):
        yield b"x\r\n"
        if stage == "content":
            raise Killed
        is_killed.append(True)

    session = against(act)
    session.open(None)
    final = session._talk.hear

    def hear(timeout):
        if is_killed:
            raise Killed
        return final(timeout)

    session._talk.hear = hear
    with pytest.raises(Killed):
        session.transact(MAIL, open_content, Fuse())

    assert not session.is_usable
    session.end()


def test_refusal_that_is_none_of_the_peers_does_not_spoil_the_session(against):
    """A message that cannot be said was never begun."""

    def act(peer):
        peer.greet("PIPELINING")
        peer.take()

    session = against(act)
    session.open(None)
    bad = Transaction(reverse_path="", forward_path="a>\r\nDATA")
    with pytest.raises(PermanentFailure):
        session.transact(bad, content, Fuse())

    assert session.transact(MAIL, content, Fuse()).code == 250
