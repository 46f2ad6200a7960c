"""Scripted servers at the other end of a socket pair, each in a thread of its own."""

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mta.relay.request import Hop
from mta.relay.session import Session
from mta.relay.wire import Timeouts

# Short enough for tests, long enough for a busy machine where nothing should fail.
PATIENT = dict.fromkeys(Timeouts.__slots__, timedelta(seconds=20))


class Peer:
    """The server's end: says and hears octets, and fails the test if it mishears."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def say(self, *lines: str) -> None:
        """Send lines, in one write."""
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def read_line(self) -> str:
        """Return the next line, without its end; "" when the client has closed."""
        while b"\r\n" not in self._buffer and self._read():
            pass
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    def hear(self, *lines: str) -> None:
        """Expect lines; one that ends with ``*`` may go on as it likes."""
        for line in lines:
            heard = self.read_line()
            assert heard.startswith(line[:-1]) if line.endswith("*") else heard == line

    def hear_content(self) -> bytes:
        """Read to the final dot; return all of it, still stuffed."""
        while not (self._buffer.endswith(b"\r\n.\r\n") or self._buffer == b".\r\n"):
            assert self._read(), f"no final dot after {self._buffer[-40:]!r}"
        content, self._buffer = self._buffer, b""
        return content

    def hear_end(self) -> bytes:
        """Read until the client closes; return what it still said."""
        while self._read():
            pass
        rest, self._buffer = self._buffer, b""
        return rest

    def greet(self, *extensions: str) -> None:
        """Do greeting and EHLO."""
        self.say("220 mx.test ESMTP")
        self.hear("EHLO client.test")
        lines = ["mx.test", *extensions]
        self.say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")

    def hear_group(self, *, reset: bool = False) -> None:
        """Expect MAIL, RCPT and DATA in one group, after RSET if asked for."""
        self.hear(*(["RSET"] if reset else []), "MAIL FROM:*", "RCPT TO:*", "DATA")

    def take(self, *, reset: bool = False, into: list[bytes] | None = None) -> None:
        """Take one pipelined message; its content goes ``into``, still stuffed."""
        self.hear_group(reset=reset)
        replies = ["250 ok", "250 ok", "250 ok", "354 go"]
        self.say(*replies[0 if reset else 1 :])
        content = self.hear_content()
        if into is not None:
            into.append(content)
        self.say("250 2.0.0 taken")

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the handshake, as server."""
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def _read(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        self._buffer += data
        return bool(data)


Act = Callable[[Peer], None]


@pytest.fixture
def against() -> Iterator[Callable[..., Session]]:
    """Build a session with a server that acts as told; its mistakes fail the test."""
    errors: list[BaseException] = []
    threads: list[threading.Thread] = []
    sessions: list[Session] = []

    def run(act: Act, sock: socket.socket) -> None:
        with contextlib.closing(sock):
            peer = Peer(sock)
            try:
                act(peer)
            except ConnectionError:
                pass  # the client has hung up; if it should not have, its test says so
            except BaseException as error:
                errors.append(error)
            finally:
                with contextlib.suppress(OSError):
                    peer.sock.close()

    def build(act: Act, **timeouts: timedelta) -> Session:
        ours, theirs = socket.socketpair()
        theirs.settimeout(20)
        thread = threading.Thread(target=run, args=(act, theirs), daemon=True)
        thread.start()
        threads.append(thread)
        hop = Hop(
            host="mx.test",
            address="192.0.2.25",
            source="192.0.2.10",
            ehlo_name="client.test",
        )
        session = Session(ours, hop, timeouts=Timeouts(**{**PATIENT, **timeouts}))
        sessions.append(session)
        return session

    yield build
    for session in sessions:
        session.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.fixture(scope="session")
def server_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
