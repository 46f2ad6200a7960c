"""How long next hops are waited for, when that is changed while mail flows."""

import contextlib
import socketserver
import threading
import time
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

import pytest

from mta.config.live import Live
from mta.errors import TransientFailure
from mta.policy.tls import HostPolicy
from mta.relay.connect import Connector
from mta.relay.fuse import Fuse
from mta.relay.hosts import Target
from mta.relay.security import Security
from mta.relay.wire import Timeouts
from mta.smtp.client import Transaction

PATIENT = Timeouts()
IMPATIENT = replace(PATIENT, mail=timedelta(milliseconds=50))
PAUSE_S = 0.2
MAIL = Transaction(reverse_path="", forward_path="bob@b.test")


class _Slow(socketserver.StreamRequestHandler):
    """Takes a while to answer MAIL."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._say("220 mx.test")
            while line := self.rfile.readline():
                if line.startswith(b"MAIL"):
                    time.sleep(PAUSE_S)
                self._say("250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def target():
    """Where the slow server is."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Slow) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        host, port = server.server_address
        yield Target("mx.test", ip_address(host), port)
        server.shutdown()


@pytest.fixture
def timeouts():
    return Live(PATIENT)


@pytest.fixture
def connect(target, timeouts):
    """Opens sessions; they end with the test."""
    connector = Connector(
        security=Security(targets=None),
        name_of=lambda source: "client.test",
        timeouts=timeouts,
    )
    sessions = []

    def connect():
        policy = HostPolicy(by="default")
        note = lambda *facts: None  # noqa: E731 - whoever counts TLS
        sessions.append(
            connector.connect(target, None, Fuse(), policy=policy, note=note)
        )
        return sessions[-1]

    yield connect
    for session in sessions:
        session.close()


def test_sessions_opened_after_a_change_go_by_it(connect, timeouts):
    """They lose their patience with MAIL."""
    timeouts.replace(IMPATIENT)

    with pytest.raises(TransientFailure, match="timed out at MAIL"):
        connect().rehearse(MAIL)


def test_sessions_opened_before_a_change_stay_as_they_are(connect, timeouts):
    """Nobody is cut short by a reload."""
    session = connect()
    timeouts.replace(IMPATIENT)

    assert session.rehearse(MAIL).code == 250
