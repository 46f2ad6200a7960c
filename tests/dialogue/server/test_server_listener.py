"""The listener over real loopback sockets, under gevent in its own process."""

import json
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HELPER = Path(__file__).with_name("listener_process.py")
MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


class Server:
    def __init__(self, process):
        self._process = process
        self.port = int(process.stdout.readline())

    def client(self):
        return smtplib.SMTP("127.0.0.1", self.port, "client.test", timeout=20)

    def read_greeting(self):
        """Connect and read all there is to read, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as sock:
            return sock.makefile("rb").read()

    def stop(self):
        """Ask for a shutdown, without waiting for it."""
        self._process.stdin.close()

    def result(self):
        """Committed, aborted and octets, once it is down."""
        word, *figures = self._process.stdout.readline().split()
        assert word == "done"
        return [int(figure) for figure in figures]


@pytest.fixture
def serve():
    processes = []

    def start(**options):
        process = subprocess.Popen(
            [sys.executable, str(HELPER), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        processes.append(process)
        return Server(process)

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_clients_are_served(serve):
    """Several at once, each with more than one message."""
    server = serve(max_size=20_000_000)
    with server.client() as first, server.client() as second:
        for _ in range(2):
            first.sendmail("ada@example.test", ["bob@example.test"], MESSAGE)
            second.sendmail("ada@example.test", ["bob@example.test"], MESSAGE)
        large = MESSAGE + b"x" * 70 + b"\r\n"
        large += b".dot\r\n" * 1_000_000
        first.sendmail("ada@example.test", ["bob@example.test"], large)

    server.stop()
    assert server.result() == [5, 0, 4 * len(MESSAGE) + len(large)]


def test_strangers_are_turned_away(serve):
    """Whoever is not in the allowed networks may not even say hello."""
    server = serve(allowed_networks=["192.0.2.0/24", "2001:db8::/32"])

    assert server.read_greeting() == (
        b"554 5.7.1 Your address may not use this server\r\n"
    )


def test_too_many_clients(serve):
    """421, and the place is free again when somebody leaves."""
    server = serve(max_clients=1)
    with server.client():
        assert server.read_greeting() == (
            b"421 4.7.0 Too many connections, try later\r\n"
        )

    with server.client() as client:
        assert client.noop()[0] == 250


def test_stop_ends_idle_sessions_and_spares_transactions(serve):
    """Nobody is accepted any more; what is on its way comes in."""
    server = serve()
    with server.client() as idle, server.client() as busy:
        idle.ehlo()
        busy.ehlo()
        busy.mail("ada@example.test")
        server.stop()

        assert idle.getreply() == (421, b"4.3.2 Service is shutting down")
        assert busy.rcpt("bob@example.test")[0] == 250
        assert busy.data(MESSAGE)[0] == 250
        assert busy.getreply() == (421, b"4.3.2 Service is shutting down")
        idle.close()
        busy.close()
    assert server.result() == [1, 0, len(MESSAGE)]


def test_stop_cuts_what_takes_too_long(serve):
    """Content that has not ended by then was never promised."""
    server = serve(grace=0.2)
    client = server.client()
    client.ehlo()
    client.mail("ada@example.test")
    client.rcpt("bob@example.test")
    client.docmd("DATA")
    client.send(b"half of it\r\n")
    server.stop()

    assert server.result()[:2] == [0, 1]
    client.close()


def test_port_is_shared(serve):
    """Several processes may listen on one port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server = serve()
        other.bind(("127.0.0.1", server.port))

        assert other.getsockname()[1] == server.port
