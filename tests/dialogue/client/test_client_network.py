"""Dialing, connecting and resolving over real sockets on loopback."""

import contextlib
import socket
import struct
import threading
from datetime import timedelta
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.rrset
import pytest

from mta.config.zones import HostPort, PoolAddress
from mta.errors import TransientFailure
from mta.policy.targets import MX
from mta.policy.tls import HostPolicy
from mta.policy.tls_results import TlsResult
from mta.relay.connect import Connector
from mta.relay.dial import dial
from mta.relay.failures import NoConnection
from mta.relay.fuse import Fuse
from mta.relay.hosts import Target
from mta.relay.resolver import Resolver
from mta.relay.security import Security
from mta.smtp.client import Transaction

LOOPBACK = ip_address("127.0.0.1")
SECONDS = timedelta(seconds=10)
POLICY = HostPolicy(by="default")
MAIL = Transaction(reverse_path="", forward_path="bob@b.test")


@pytest.fixture
def listener():
    """A socket that listens on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(10)
        yield sock


def a_connector(name_of):
    return Connector(security=Security(targets=None), name_of=name_of)


def port_of(sock):
    return sock.getsockname()[1]


def test_dial_connects_from_the_source(listener):
    """The chosen address is the one the peer sees."""
    source = PoolAddress(address=ip_address("127.0.0.2"))

    with dial(LOOPBACK, port_of(listener), source=source, timeout=SECONDS, fuse=Fuse()):
        theirs, peer = listener.accept()
        theirs.close()

    assert peer[0] == "127.0.0.2"


def test_refused_connection_is_for_another_host(listener):
    """Nobody listens there; somebody else may."""
    port = port_of(listener)
    listener.close()

    with pytest.raises(NoConnection, match=r"450 4\.4\.1") as failure:
        dial(LOOPBACK, port, source=None, timeout=SECONDS, fuse=Fuse())

    assert failure.value.is_next_host_worth_trying
    assert failure.value.category == "network"
    assert failure.value.address == "127.0.0.1"


def test_source_that_is_not_ours_is_nobodys_fault(listener):
    """No host can help with an address that this machine does not have."""
    source = PoolAddress(address=ip_address("192.0.2.10"))

    with pytest.raises(
        TransientFailure, match=r"cannot send from 192\.0\.2\.10"
    ) as failure:
        dial(LOOPBACK, port_of(listener), source=source, timeout=SECONDS, fuse=Fuse())

    assert not failure.value.is_next_host_worth_trying


def test_connector_comes_back_in_clear_after_broken_tls(listener):
    """One that offers TLS it cannot do still gets its mail."""
    sessions = []

    def serve():
        for number in range(2):
            sock, _ = listener.accept()
            sessions.append(number)
            with sock, sock.makefile("rwb") as file:
                for line in (b"220 mx.test\r\n", b"250-mx.test\r\n250 STARTTLS\r\n"):
                    file.write(line)
                    file.flush()
                    heard = file.readline()
                assert heard == (b"STARTTLS\r\n" if number == 0 else b"QUIT\r\n")
                if number == 0:
                    file.write(b"220 go\r\n")
                    file.flush()
                    sock.recv(1000)
                    sock.sendall(b"no such thing\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    noted = []
    connector = a_connector(lambda source: "client.test")
    target = Target("mx.test", LOOPBACK, port_of(listener))

    session = connector.connect(
        target, None, Fuse(), policy=POLICY, note=lambda *said: noted.append(said[0])
    )

    assert (session.tls, session.hop.source) == ("", "127.0.0.1")
    session.close()
    thread.join(10)
    assert sessions == [0, 1]
    assert noted == [TlsResult.VALIDATION_FAILURE]


def test_connector_says_hello_by_the_name_of_the_source(listener):
    """Each address of a pool has its own name, which its PTR record should match."""
    heard = []

    def serve():
        sock, _ = listener.accept()
        with sock, sock.makefile("rwb") as file:
            file.write(b"220 mx.test\r\n")
            file.flush()
            heard.append(file.readline())
            file.write(b"250 mx.test\r\n")
            file.flush()
            file.readline()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    source = PoolAddress(address=LOOPBACK, name="mta1.example")
    target = Target("mx.test", LOOPBACK, port_of(listener))

    session = a_connector(lambda source: source.name).connect(
        target, source, Fuse(), policy=POLICY, note=lambda *said: None
    )
    session.close()

    thread.join(10)
    assert heard == [b"EHLO mta1.example\r\n"]


def test_long_answer_is_fetched_by_tcp():
    """UDP says "truncated", TCP says it all (RFC 7766)."""
    texts = [f"{n} mx{n}.d.test." for n in range(90)]

    def answer(wire, *, is_udp):
        response = dns.message.make_response(dns.message.from_wire(wire))
        if is_udp:
            response.flags |= dns.flags.TC
        else:
            response.answer.append(
                dns.rrset.from_text("d.test.", 60, "IN", "MX", *texts)
            )
        return response.to_wire(max_size=65535)

    def serve_udp():
        wire, peer = udp.recvfrom(4096)
        # Noise from elsewhere, and under another id, is not an answer (RFC 5452).
        udp.sendto(b"\x00\x00" + answer(wire, is_udp=True)[2:], peer)
        udp.sendto(answer(wire, is_udp=True), peer)

    def serve_tcp():
        sock, _ = tcp.accept()
        with sock:
            (length,) = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))
            wire = answer(sock.recv(length, socket.MSG_WAITALL), is_udp=False)
            sock.sendall(struct.pack("!H", len(wire)) + wire)

    with contextlib.ExitStack() as stack:
        udp, tcp = pair_of_sockets(stack)
        for serve in (serve_udp, serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        resolver = Resolver(
            [HostPort("127.0.0.1", port_of(udp))],
            timeout=SECONDS,
            cache_ttl=SECONDS,
        )

        found = resolver.find_mx("d.test")

    assert sorted(record.preference for record in found) == list(range(90))
    assert MX(7, "mx7.d.test") in found


def pair_of_sockets(stack):
    """UDP and TCP on one port."""
    for _ in range(20):
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        with contextlib.suppress(OSError):
            return udp, stack.enter_context(socket.create_server(udp.getsockname()))
    raise AssertionError("no port is free for both")
