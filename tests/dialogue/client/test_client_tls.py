"""STARTTLS: used when offered, survived when broken, never confused by clear text."""

import threading
from datetime import timedelta

import pytest

from mta.errors import TransientFailure
from mta.policy.tls import HostPolicy
from mta.relay.failures import TlsFailed
from mta.relay.fuse import Fuse
from mta.relay.guard import guard_for
from mta.smtp.client import Transaction

MAIL = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test")
OPPORTUNISTIC = HostPolicy(by="default")
OURS = guard_for(OPPORTUNISTIC, OPPORTUNISTIC.ladder[0], "mx.test")


def content(hop):
    return [b"x" * 78 + b"\r\n"] * 5_000


def offer(peer):
    peer.greet("PIPELINING", "STARTTLS")
    peer.hear("STARTTLS")


def test_tls_is_used_when_offered(against, server_tls):
    """With a certificate that is expired, of nobody, for nobody: better than clear."""

    def act(peer):
        offer(peer)
        peer.say("220 go")
        peer.start_tls(server_tls)
        peer.hear("EHLO client.test")
        peer.say("250-mx.test", "250 PIPELINING")
        peer.take()
        peer.take(reset=True)
        peer.hear("QUIT")

    session = against(act)
    session.open(OURS)

    assert session.transact(MAIL, content, Fuse()).code == 250
    assert session.is_quiet()
    assert session.transact(MAIL, content, Fuse()).code == 250
    assert session.tls == "TLSv1.3"
    assert session.cipher.startswith("TLS_")


def test_tls_is_left_alone_when_told(against):
    """A zone may ignore TLS."""

    def act(peer):
        peer.greet("PIPELINING", "STARTTLS")
        peer.take()

    session = against(act)
    session.open(None)
    session.transact(MAIL, content, Fuse())

    assert session.tls == ""


def test_refused_starttls_goes_on_in_clear(against):
    """454: not now (RFC 3207 §4)."""

    def act(peer):
        offer(peer)
        peer.say("454 4.7.0 not now")
        peer.take()

    session = against(act)
    session.open(OURS)

    assert session.transact(MAIL, content, Fuse()).code == 250


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(
            lambda peer: peer.sock.sendall(b"what is this?\r\n"), id="garbage"
        ),
        pytest.param(lambda peer: None, id="cut"),
    ],
)
def test_broken_handshake_is_told_apart(against, trouble):
    """The caller may come back in clear; this session is over."""

    def act(peer):
        offer(peer)
        peer.say("220 go")
        peer.sock.recv(65536)
        trouble(peer)

    session = against(act)

    with pytest.raises(TlsFailed, match=r"454 4\.7\.5"):
        session.open(OURS)

    assert not session.is_usable


def test_dripping_handshake_ends_at_the_deadline(against):
    """Octets of a handshake that never ends do not renew the deadline."""
    over = threading.Event()

    def act(peer):
        offer(peer)
        peer.say("220 go")
        peer.sock.recv(65536)
        peer.sock.sendall(b"\x16\x03\x03\x40\x00")
        while not over.wait(0.02):
            peer.sock.sendall(b"\x02")

    session = against(act, tls=timedelta(seconds=0.3))

    with pytest.raises(TlsFailed, match="timed out"):
        session.open(OURS)
    over.set()


def test_clear_text_behind_the_220_is_an_injection(against):
    """Whoever put it there is in the middle (RFC 3207 §4.2; as CVE-2011-0411)."""

    def act(peer):
        offer(peer)
        peer.say("220 go", "250-mx.test", "250 AUTH PLAIN")
        peer.hear_end()

    session = against(act)

    with pytest.raises(TransientFailure) as failure:
        session.open(OURS)
    assert failure.value.category == "protocol"
    session.close()
