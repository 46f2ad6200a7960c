"""How sessions end: by QUIT and the peer's close, or cut by ourselves."""

import socket
import threading
import time
from datetime import timedelta
from ipaddress import ip_address

import pytest

from mta.errors import AttemptFailed, Stopping
from mta.policy.tls import HostPolicy
from mta.relay.dial import dial
from mta.relay.failures import NoConnection
from mta.relay.fuse import Fuse
from mta.relay.guard import guard_for
from mta.smtp.client import Transaction

MAIL = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test")
POLICY = HostPolicy(by="default")
GUARD = guard_for(POLICY, POLICY.ladder[0], "mx.test")
SHORT = timedelta(seconds=0.3)


def content(hop):
    return [b"x\r\n"]


@pytest.mark.parametrize("with_tls", [False, True], ids=["clear", "TLS"])
def test_end_is_when_the_peer_has_closed(against, server_tls, with_tls):
    """Until then the peer counts the connection (RFC 5321 §4.1.1.10)."""
    has_said_goodbye = threading.Event()
    may_close = threading.Event()

    def act(peer):
        peer.greet(*(["STARTTLS"] if with_tls else ["PIPELINING"]))
        if with_tls:
            peer.hear("STARTTLS")
            peer.say("220 go")
            peer.start_tls(server_tls)
            peer.hear("EHLO client.test")
            peer.say("250 mx.test")
        peer.hear("QUIT")
        peer.say("221 bye")
        has_said_goodbye.set()
        may_close.wait(20)

    session = against(act)
    session.open(GUARD if with_tls else None)
    ending = threading.Thread(target=session.end)
    ending.start()
    assert has_said_goodbye.wait(20)
    ending.join(0.1)
    is_waiting = ending.is_alive()
    may_close.set()
    ending.join(20)

    assert is_waiting
    assert not ending.is_alive()


def test_end_does_not_depend_on_the_peer(against):
    """One that never closes, or talks without end, is left."""
    over = threading.Event()

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear("QUIT")
        while not over.wait(0.02):
            peer.say("221 bye")

    session = against(act, quit=SHORT)
    session.open(None)
    started = time.monotonic()

    session.end()

    over.set()
    assert 0.25 < time.monotonic() - started < 5


def test_end_of_a_broken_session_is_at_once(against):
    """A peer that owes us a reply does not get another command."""
    heard = []
    is_over = threading.Event()

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        heard.append(peer.hear_end())
        is_over.set()

    session = against(act, mail=SHORT)
    session.open(None)
    with pytest.raises(AttemptFailed):
        session.transact(MAIL, content, Fuse())

    session.end()

    assert is_over.wait(20)
    assert heard == [b""]


def test_end_of_a_session_that_died_is_at_once(against):
    """There is nobody to say QUIT to."""
    session = against(lambda peer: peer.greet("PIPELINING"))
    session.open(None)

    session.end()

    assert not session.is_usable


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "MAIL", "DATA", "content"])
def test_blown_fuse_cuts_a_session_at_once(against, stage):
    """However long the peer would have kept us waiting, and without a dot."""
    fuse = Fuse()
    is_armed = threading.Event()

    def act(peer):
        stages = ["greeting", "EHLO", "MAIL", "DATA", "content"]
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
            assert peer.sock.recv(1000)
        is_armed.wait(20)
        fuse.blow()
        peer.hear_end()

    def open_content(hop):
        while True:
            yield b"x" * 78 + b"\r\n"

    def run():
        session.open(None)
        session.transact(MAIL, open_content, fuse)

    session = against(act)
    fuse.arm(session._wire.sock)
    is_armed.set()
    with pytest.raises((AttemptFailed, Stopping)):
        run()

    assert fuse.is_blown
    assert not session.is_usable
    session.end()


def test_fuse_that_blows_before_the_dot_holds_it_back(against):
    """All content has been read, and the peer waits for its end."""
    fuse = Fuse()
    heard = []

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "250 ok", "354 go")
        heard.append(peer.hear_end())
        is_over.set()

    def open_content(hop):
        yield b"x\r\n"
        fuse.blow()

    is_over = threading.Event()

    session = against(act)
    session.open(None)
    with pytest.raises(Stopping):
        session.transact(MAIL, open_content, fuse)
    session.end()

    assert is_over.wait(20)
    assert heard == [b""]


def test_reply_to_the_dot_is_waited_for(against):
    """To cut here would leave the message in doubt."""
    fuse = Fuse()

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "250 ok", "354 go")
        peer.hear_content()
        fuse.blow()
        peer.say("250 2.0.0 taken")

    session = against(act)
    session.open(None)

    assert session.transact(MAIL, content, fuse).code == 250
    assert not fuse.is_blown


def test_session_that_is_done_cannot_be_cut(against):
    """It may serve somebody else by now."""
    fuse = Fuse()

    def act(peer):
        peer.greet("PIPELINING")
        peer.hear_group()
        peer.say("250 ok", "550 5.1.1 no", "503 no")
        peer.take(reset=True)

    session = against(act)
    session.open(None)
    with pytest.raises(AttemptFailed):
        session.transact(MAIL, content, fuse)

    fuse.blow()

    assert session.transact(MAIL, content, Fuse()).code == 250


def test_blown_fuse_ends_a_dial():
    """A host that does not answer would take half a minute."""
    is_armed = threading.Event()

    class Watched(Fuse):
        def arm(self, sock):
            super().arm(sock)
            is_armed.set()

    fuse = Watched()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:  # the queue is full: no further SYN is answered
            sock.setblocking(False)
            sock.connect_ex(address)

        def cut():
            is_armed.wait(20)
            while not fuse_has_cut.wait(0.05):
                fuse.blow()

        fuse_has_cut = threading.Event()
        cutter = threading.Thread(target=cut)
        cutter.start()
        started = time.monotonic()

        with pytest.raises((NoConnection, Stopping)):
            dial(
                ip_address("127.0.0.1"),
                address[1],
                source=None,
                timeout=timedelta(seconds=20),
                fuse=fuse,
            )

        fuse_has_cut.set()
        cutter.join()
        for sock in waiting:
            sock.close()
    assert fuse.is_blown
    assert time.monotonic() - started < 10


def test_blown_fuse_lets_no_dial_begin():
    """The socket is closed, too."""
    fuse = Fuse()
    fuse.blow()

    with pytest.raises(Stopping):
        dial(
            ip_address("127.0.0.1"),
            1,
            source=None,
            timeout=timedelta(seconds=1),
            fuse=fuse,
        )
