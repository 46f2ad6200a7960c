"""Sessions that submit messages of 1 KiB as fast as they are taken.

One thread with many sockets and prepared octets, so that the other side is measured
and not this one. Each transaction is what a pipelining client makes of it: MAIL, RCPT
and DATA in one write, the content in another (RFC 2920).
"""

import contextlib
import itertools
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Self

LETTER_BYTES = 1024
DOMAINS = 20
TIMEOUT_S = 60.0
_BLOCK_BYTES = 4096
_FILLER = b"abcdefghijklmnopqrstuvwxyz0123456789" * 2 + b"\r\n"


class Flood:
    """Sessions with one listener, kept open until the block ends.

    Args:
        address: HOST:PORT.
        run: Part of every recipient and subject, so that runs do not meet.
        per_session: Messages until a session makes place for another; None: no end.

    Attributes:
        accepted: Messages so far. All of them were: a refusal is an error.
    """

    def __init__(
        self, address: str, run: str, *, sessions: int, per_session: int | None = None
    ) -> None:
        host, _, port = address.rpartition(":")
        self._place = (host, int(port))
        self._run = run
        self._count = sessions
        self._per_session = per_session
        self._numbers = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._sessions: set[Session] = set()
        self.accepted = 0

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._open()
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions:
            session.close()
        self._selector.close()

    def send_for(self, seconds: float) -> float:
        """Send for a while and let what was begun end; returns messages per second."""
        before, began = self.accepted, time.monotonic()
        self._send(until=began + seconds)
        return (self.accepted - before) / (time.monotonic() - began)

    def send_many(self, messages: int) -> float:
        """Send so many; returns messages per second."""
        began = time.monotonic()
        self._send(messages=messages)
        return messages / (time.monotonic() - began)

    def _send(
        self, *, messages: int | None = None, until: float = float("inf")
    ) -> None:
        left = itertools.count() if messages is None else iter(range(messages))
        busy = {session for session in self._sessions if self._begin(session, left)}
        while busy:
            found = self._selector.select(TIMEOUT_S)
            if not found:
                raise TimeoutError(f"{len(busy)} sessions wait for the listener")
            for key, _ in found:
                session: Session = key.data
                if not session.read():
                    continue
                self.accepted += 1
                busy.discard(session)
                if session.sent == self._per_session:
                    session = self._replace(session)
                if time.monotonic() < until and self._begin(session, left):
                    busy.add(session)

    def _begin(self, session: "Session", left: Iterator[int]) -> bool:
        if next(left, None) is None:
            return False
        session.begin(*small_letter(self._run, next(self._numbers)))
        return True

    def _open(self) -> "Session":
        session = Session(self._place)
        self._sessions.add(session)
        self._selector.register(session.socket, selectors.EVENT_READ, session)
        return session

    def _replace(self, session: "Session") -> "Session":
        self._selector.unregister(session.socket)
        self._sessions.remove(session)
        session.close()
        return self._open()


class Session:
    """One connection: greeted, EHLO said.

    Raises:
        ConnectionError: A reply is not what was hoped for, here or later.
    """

    def __init__(self, place: tuple[str, int]) -> None:
        self.socket = socket.create_connection(place, TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0
        self._rest = b""
        self._content = b""
        self._expected: deque[bytes] = deque()
        self._wait_for(b"2")
        self.say(b"EHLO client.test\r\n")

    def begin(self, commands: bytes, content: bytes) -> None:
        """Start a transaction; ``read`` goes on with it."""
        self.sent += 1
        self._content = content
        self._expected.extend((b"2", b"2", b"3", b"2"))
        self.socket.sendall(commands)

    def read(self) -> bool:
        """Take what came; returns whether all that was asked is answered."""
        block = self.socket.recv(_BLOCK_BYTES)
        if not block:
            raise ConnectionError("closed by the listener")
        *lines, self._rest = (self._rest + block).split(b"\r\n")
        for line in lines:
            if line[3:4] == b"-":
                continue
            expected = self._expected.popleft() if self._expected else b"?"
            if not line.startswith(expected):
                raise ConnectionError(line.decode("utf-8", "replace"))
            if expected == b"3":
                self.socket.sendall(self._content)
        return not self._expected

    def say(self, command: bytes) -> None:
        """One command and its positive reply."""
        self.socket.sendall(command)
        self._wait_for(b"2")

    def close(self) -> None:
        """With QUIT, if it still can be said."""
        with contextlib.suppress(OSError):
            self.say(b"QUIT\r\n")
        self.socket.close()

    def _wait_for(self, reply: bytes) -> None:
        self._expected.append(reply)
        while not self.read():
            pass


def small_letter(run: str, number: int) -> tuple[bytes, bytes]:
    """Commands up to DATA, and the content with its final dot."""
    recipient = f"{run}-{number}@d{number % DOMAINS}.test"
    commands = f"MAIL FROM:<ada@a.test>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
    header = (
        f"From: ada@a.test\r\nTo: {recipient}\r\nSubject: {run}-{number}\r\n"
        "Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
        f"Message-ID: <{run}-{number}@a.test>\r\n\r\n"
    ).encode()
    lines = _FILLER * (LETTER_BYTES // len(_FILLER))
    body = lines[: LETTER_BYTES - len(header) - 2] + b"\r\n"
    return commands.encode(), header + body + b".\r\n"
