"""A mail server that hashes what it gets and keeps nothing, for messages of any size.

``python -m tests.support.hash_sink HOST`` prints its port, and then, for each message,
a line of JSON: ``{"recipient": ..., "octets": ..., "sha256": ...}``. Both are of the
body alone: the header gets fields on its way. What it holds is a read and a line.
"""

import hashlib
import json
import select
import socket
import socketserver
import subprocess
import sys
from typing import NamedTuple, Self

BLOCK_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 1024 * 1024
STOP_S = 20.0
_EHLO = b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n"
_REPLIES = {
    b"EHLO": _EHLO,
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


class Hashed(NamedTuple):
    """What of one message arrived; both of its body."""

    recipient: str
    octets: int
    sha256: str


class HashSink:
    """The process, started and asked."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.hash_sink", self._host]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
        assert process.stdout is not None
        self._process = process
        self.port = int(process.stdout.readline())  # its end is a ValueError
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def next(self, timeout_s: float) -> Hashed | None:
        """The next message that arrives, whole; None if none does in time."""
        assert self._process is not None
        assert self._process.stdout is not None
        is_told, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        if not is_told:
            return None
        return Hashed(**json.loads(self._process.stdout.readline()))


class Unstuffer:
    """Finds the end of content after DATA, and takes the dots out (RFC 5321 §4.5.2)."""

    def __init__(self) -> None:
        self._rest = b""  # of a line that is not complete
        self.is_complete = False

    def feed(self, block: bytes) -> bytes:
        """Take octets; returns the content that they complete, in whole lines."""
        held = b"\r\n" + self._rest + block
        end = held.find(b"\r\n.\r\n")
        self.is_complete = end >= 0
        cut = (end if self.is_complete else held.rfind(b"\r\n")) + 2
        self._rest = held[cut:]
        return held[:cut].replace(b"\r\n.", b"\r\n")[2:]


class Body:
    """The hash of what follows the header."""

    def __init__(self) -> None:
        self._header: bytes | None = b""  # None once it is over
        self._hash = hashlib.sha256()
        self.octets = 0

    def feed(self, content: bytes) -> None:
        if self._header is not None:
            self._header += content
            header, separator, content = self._header.partition(b"\r\n\r\n")
            if not separator:
                if len(header) > MAX_HEADER_BYTES:
                    raise ValueError("the header does not end")
                return
            self._header = None
        self._hash.update(content)
        self.octets += len(content)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class _Session(socketserver.StreamRequestHandler):
    """One client, one command at a time."""

    def handle(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sendall(b"220 sink.test ESMTP\r\n")
        recipient, verb = "", b""
        while verb != b"QUIT" and (line := self.rfile.readline(BLOCK_BYTES)):
            verb = line[:4].upper()
            if verb == b"RCPT":
                recipient = line[line.find(b"<") + 1 : line.rfind(b">")].decode()
            self.connection.sendall(_REPLIES.get(verb, b"250 2.0.0 OK\r\n"))
            if verb == b"DATA":
                self._take(recipient)

    def _take(self, recipient: str) -> None:
        unstuffer, body = Unstuffer(), Body()
        while not unstuffer.is_complete:
            block = self.rfile.read1(BLOCK_BYTES)  # type: ignore[attr-defined]
            if not block:
                return
            body.feed(unstuffer.feed(block))
        hashed = Hashed(recipient, body.octets, body.sha256)
        print(json.dumps(hashed._asdict()), flush=True)
        self.connection.sendall(b"250 2.0.0 taken\r\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    with _Server((sys.argv[1], 0), _Session) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
