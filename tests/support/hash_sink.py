"""A mail server that hashes what it gets and keeps nothing, for messages of any size.

``python -m tests.support.hash_sink HOST [RATE [CHUNKING]]`` prints its port, and then,
for each message, a line of JSON: ``{"recipient": ..., "octets": ..., "sha256": ...}``.
Both are of the body alone: the header gets fields on its way. What it holds is a read
and a line. It reads no more than RATE octets of content per second, where that is said
and is not 0.
"""

import hashlib
import json
import select
import socket
import socketserver
import subprocess
import sys
import time
from typing import NamedTuple, Self

BLOCK_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 1024 * 1024
STOP_S = 20.0
# What a system buffers for who reads slowly must not hide how slowly he does.
SLOW_BUFFER_BYTES = 64 * 1024
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
    """The process, started and asked.

    Args:
        rate: Octets per second; 0: as fast as it can.
        chunking: It takes content in pieces, too.
    """

    def __init__(self, host: str, *, rate: int = 0, chunking: bool = False) -> None:
        self._arguments = [host, str(rate), *(["CHUNKING"] if chunking else [])]
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.hash_sink"]
        command += self._arguments
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

    server: "_Server"

    def handle(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sendall(b"220 sink.test ESMTP\r\n")
        recipient, verb, body = "", b"", Body()
        while verb != b"QUIT" and (line := self.rfile.readline(BLOCK_BYTES)):
            verb = line[:4].upper()
            if verb == b"RCPT":
                recipient = line[line.find(b"<") + 1 : line.rfind(b">")].decode()
                body = Body()
            if verb == b"BDAT":
                self._take_piece(int(line.split()[1]), body)
                if line.upper().endswith(b" LAST\r\n"):
                    _tell(recipient, body)
            self.connection.sendall(self._reply(verb))
            if verb == b"DATA":
                self._take(recipient)

    def _reply(self, verb: bytes) -> bytes:
        if verb == b"EHLO" and self.server.has_chunking:
            return b"250-sink.test\r\n250-CHUNKING\r\n" + _EHLO.partition(b"\r\n")[2]
        return _REPLIES.get(verb, b"250 2.0.0 OK\r\n")

    def _read(self, most: int) -> bytes:
        """Some octets, and no more of them than there is time for."""
        rate = self.server.rate
        if rate:
            most = min(most, SLOW_BUFFER_BYTES)
        block: bytes = self.rfile.read1(most)  # type: ignore[attr-defined]
        if rate:
            time.sleep(len(block) / rate)
        return block

    def _take_piece(self, left: int, body: Body) -> None:
        while left > 0:
            block = self._read(min(left, BLOCK_BYTES))
            if not block:
                return
            body.feed(block)
            left -= len(block)

    def _take(self, recipient: str) -> None:
        unstuffer, body = Unstuffer(), Body()
        while not unstuffer.is_complete:
            block = self._read(BLOCK_BYTES)
            if not block:
                return
            body.feed(unstuffer.feed(block))
        _tell(recipient, body)
        self.connection.sendall(b"250 2.0.0 taken\r\n")


def _tell(recipient: str, body: Body) -> None:
    hashed = Hashed(recipient, body.octets, body.sha256)
    print(json.dumps(hashed._asdict()), flush=True)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    rate = 0
    has_chunking = False

    def server_bind(self) -> None:
        if self.rate:  # those that are accepted have what the listening one has
            size = SLOW_BUFFER_BYTES
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        super().server_bind()


def main() -> None:
    host, rate, *more = (*sys.argv[1:], "0")[: max(2, len(sys.argv) - 1)]
    _Server.rate, _Server.has_chunking = int(rate), more == ["CHUNKING"]
    with _Server((host, 0), _Session) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
