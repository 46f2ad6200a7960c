"""Mail servers that do what a script says, on real sockets, and count what they took.

A script is a function of one ``Peer``, a connection; it ends when it returns, and then
the connection is closed. What it makes of the client's octets is its own affair, but
the count of messages that came whole is not: see ``Peer.hear_content``.
"""

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

PATIENCE_S = 20.0  # of a server whose client neither talks nor leaves
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Peer:
    """The server's end of one connection.

    Attributes:
        number: 1 for the first connection to this host, and so on.
        heard: The commands that were read.
    """

    def __init__(self, mx: "Mx", sock: socket.socket, number: int) -> None:
        self.mx = mx
        self.sock = sock
        self.number = number
        self.heard: list[str] = []
        self._buffer = b""

    def say(self, *lines: str) -> None:
        """Send lines, in one write."""
        self.send("".join(f"{line}\r\n" for line in lines).encode("latin-1"))

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.sock.sendall(octets)

    def flood(self, octets: bytes) -> None:
        """Send the same again and again until the client has had enough."""
        while True:
            self.send(octets)

    def drip(self, octets: bytes = b"2") -> None:
        """Likewise, but slowly."""
        while not self.mx.is_over.wait(0.02):
            self.send(octets)

    def hear(self, *words: str) -> str:
        """Read a command that begins with one of ``words``."""
        while b"\r\n" not in self._buffer:
            self._read()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        command = line.decode("utf-8")
        self.heard.append(command)
        if words and not command.startswith(words):
            raise AssertionError(f"{command!r}, and not {words}")
        return command

    def hear_content(self) -> None:
        """Read to the final dot: the whole message is here."""
        while not (self._buffer.endswith(b"\r\n.\r\n") or self._buffer == b".\r\n"):
            self._buffer = self._buffer[-4:]  # of the rest nobody asks
            self._read()
        self._buffer = b""
        self.mx.whole += 1

    def hear_piece(self, *, but: int = 0) -> bool:
        """Read a BDAT command and its piece; returns whether it was the last one.

        Args:
            but: So many octets of it are left unread.
        """
        command = self.hear("BDAT ")
        (count,) = map(int, re.findall(r"\d+", command))
        left = count - but - len(self._buffer)
        self._buffer = self._buffer[count - but :]
        while left > 0:
            left -= len(self.sock.recv(min(left, 65536)) or self._end())
        is_last = command.endswith(" LAST")
        self.mx.whole += is_last and not but
        return is_last

    def hear_some(self) -> None:
        """Read some content, though by no means all of it."""
        if not self._buffer:
            self._read()
        self._buffer = b""

    def hear_end(self) -> None:
        """Read until the client leaves, or says that it does."""
        with contextlib.suppress(Left):
            while not self._buffer.endswith(b"QUIT\r\n"):
                self._buffer = self._buffer[-8:]
                self._read()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the handshake, as server."""
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def reset(self) -> None:
        """Close with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.sock.close()

    def _read(self) -> None:
        self._buffer += self.sock.recv(65536) or self._end()

    def _end(self) -> bytes:
        raise Left


class Left(Exception):
    """The client has closed its end."""


Script = Callable[[Peer], None]


class Mx:
    """A host.

    Attributes:
        script: What connections from now on are talked to by.
        context: What it does TLS with where it is good; None: it does not.
        connections: How many there were.
        whole: How many messages came to their end, whatever was said to that.
        is_over: Set when scripts should come to an end.
        mistakes: Of the client, or of a script.
    """

    def __init__(self, host: str, port: int, script: Script) -> None:
        self.script = script
        self.context: ssl.SSLContext | None = None
        self.connections = 0
        self.whole = 0
        self.is_over = threading.Event()
        self.mistakes: list[BaseException] = []
        self.peers: list[Peer] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((host, port), backlog=64)
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up who accepts
        self._listener.close()
        self._accepting.join(PATIENCE_S)
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                sock.settimeout(PATIENCE_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = Peer(self, sock, self.connections)
                self.peers.append(peer)
                thread = threading.Thread(
                    target=self._run, args=(self.script, peer), daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _run(self, script: Script, peer: Peer) -> None:
        try:
            script(peer)
        except (OSError, Left):
            pass  # the client has left; if it should not have, its test says so
        except BaseException as mistake:
            self.mistakes.append(mistake)
        finally:
            with contextlib.suppress(OSError):
                peer.sock.close()


def in_turn(*scripts: Script) -> Script:
    """One script for each connection; the last one for all that come later."""

    def script(peer: Peer) -> None:
        scripts[min(peer.number, len(scripts)) - 1](peer)

    return script
