"""Content by BDAT (RFC 3030), and deliveries by LMTP (RFC 2033)."""

import socket
import threading

import pytest

from mta.errors import PermanentFailure, TransientFailure
from mta.relay.carry import BDAT_BYTES, BDAT_FROM
from mta.relay.fuse import Fuse
from mta.relay.guard import Guard, make_context
from mta.relay.request import Hop
from mta.relay.session import Session
from mta.relay.wire import Timeouts
from mta.smtp.client import Transaction
from tests.dialogue.client.conftest import Peer

LARGE = Transaction(
    reverse_path="ada@a.test", forward_path="bob@b.test", size=BDAT_FROM
)
SMALL = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test", size=9)
LINES = b".dots stay as they are\r\n" * 50_000


def content(*chunks):
    return lambda hop: iter(chunks)


def read(peer, count):
    data = peer._buffer
    while len(data) < count:
        data += peer.sock.recv(65536)
    peer._buffer = data[count:]
    return data[:count]


def take_pieces(peer):
    """Read BDAT after BDAT, each answered; returns the content."""
    whole = b""
    while True:
        verb, size, *last = peer.read_line().split()
        assert verb == "BDAT"
        whole += read(peer, int(size))
        peer.say("250 2.0.0 so far")
        if last:
            return whole


def test_large_content_goes_in_pieces_as_it_is(against):
    """No dot is doubled and none is added; only MAIL and RCPT go before."""
    received = []

    def act(peer):
        peer.greet("PIPELINING", "CHUNKING")
        peer.hear("MAIL FROM:*", "RCPT TO:*")
        peer.say("250 ok", "250 ok")
        received.append(take_pieces(peer))
        peer.hear("QUIT")

    session = against(act)
    session.open(None)

    reply = session.transact(LARGE, content(LINES[:999], LINES[999:]), Fuse())
    session.end()

    assert reply.code == 250
    assert received == [LINES]
    assert len(LINES) > BDAT_BYTES


def test_small_content_goes_by_data_all_the_same(against):
    """One round trip either way, and DATA is what servers do best."""

    def act(peer):
        peer.greet("PIPELINING", "CHUNKING")
        peer.take()

    session = against(act)
    session.open(None)

    assert session.transact(SMALL, content(b"x\r\n"), Fuse()).code == 250


def test_a_piece_that_is_refused_ends_the_message_and_not_the_session(against):
    """RFC 3030 §2: RSET, and it is as if it had never been."""

    def act(peer):
        peer.greet("PIPELINING", "CHUNKING")
        peer.hear("MAIL FROM:*", "RCPT TO:*")
        peer.say("250 ok", "250 ok")
        _, size, *_ = peer.read_line().split()
        read(peer, int(size))
        peer.say("552 5.3.4 enough")
        peer.take(reset=True)

    session = against(act)
    session.open(None)

    with pytest.raises(PermanentFailure, match="enough"):
        session.transact(LARGE, content(*[LINES] * 3), Fuse())

    assert session.transact(SMALL, content(b"x\r\n"), Fuse()).code == 250


@pytest.mark.parametrize(("pieces", "is_in_doubt"), [(3, False), (1, True)])
def test_only_the_last_piece_leaves_a_doubt(against, pieces, is_in_doubt):
    def act(peer):
        peer.greet("CHUNKING")
        for _ in range(2):
            peer.read_line()
            peer.say("250 ok")
        _, size, *_ = peer.read_line().split()
        read(peer, int(size))

    session = against(act)
    session.open(None)

    with pytest.raises(TransientFailure) as raised:
        session.transact(LARGE, content(*[LINES] * pieces), Fuse())

    assert raised.value.is_in_doubt is is_in_doubt


@pytest.fixture
def in_a_manner():
    """Build a session that talks in a manner of its own."""
    ends = []

    def build(act, **manner):
        ours, theirs = socket.socketpair()
        theirs.settimeout(20)
        peer = Peer(theirs)
        thread = threading.Thread(target=act, args=(peer,), daemon=True)
        thread.start()
        hop = Hop(
            host="mx.test", address="192.0.2.1", source="", ehlo_name="client.test"
        )
        ends.append((thread, peer))
        return Session(ours, hop, timeouts=Timeouts(), **manner)

    yield build
    for thread, peer in ends:
        thread.join(20)
        peer.sock.close()


def test_lmtp_says_lhlo_and_hears_of_its_recipient(in_a_manner):
    def act(peer):
        peer.say("220 lmtp.test")
        peer.hear("LHLO client.test")
        peer.say("250-lmtp.test", "250 PIPELINING")
        peer.take()

    session = in_a_manner(act, is_lmtp=True)
    session.open(None)

    assert session.transact(SMALL, content(b"x\r\n"), Fuse()).code == 250
    session.close()


def test_lmtp_has_no_helo_to_go_back_to(in_a_manner):
    def act(peer):
        peer.say("220 lmtp.test")
        peer.hear("LHLO client.test")
        peer.say("500 5.5.1 this is SMTP")
        assert peer.hear_end() == b"QUIT\r\n"

    session = in_a_manner(act, is_lmtp=True)

    with pytest.raises(PermanentFailure, match="this is SMTP"):
        session.open(None)
    session.close()


def test_tls_from_the_first_octet_comes_before_the_greeting(in_a_manner, server_tls):
    """And there is no STARTTLS after it, also if it is offered."""

    def act(peer):
        peer.start_tls(server_tls)
        peer.greet("STARTTLS", "PIPELINING")
        peer.take()

    session = in_a_manner(act, is_tls_first=True)
    session.open(Guard(context=make_context("1.2", False), is_required=True))

    assert session.transact(SMALL, content(b"x\r\n"), Fuse()).code == 250
    assert session.tls
    session.close()


def test_a_server_that_greets_in_clear_where_tls_comes_first_is_left(in_a_manner):
    def act(peer):
        peer.say("220 mx.test")
        peer.hear_end()

    session = in_a_manner(act, is_tls_first=True)

    with pytest.raises(TransientFailure, match="TLS handshake failed"):
        session.open(Guard(context=make_context("1.2", False), is_required=True))
    session.close()
