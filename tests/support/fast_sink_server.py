"""A mail server for load: a process of its own that keeps a journal and counts.

``python -m tests.support.fast_sink_server --journal FILE --control SOCKET HOST...``

What it does with a recipient, the local part says:

=====================  ==========================================================
``grey2-...``          451 to the first two RCPT
``no-...``             550
``slow5-...``          taken, and five seconds pass before the dot is answered
``dropkeep-...``       taken, and the connection closed in place of an answer;
                       the first time only, or N times with ``dropkeepN-``
``droplose-...``       the same, but not taken
=====================  ==========================================================

The journal has a line per event, written before anybody is told of it, so that
whoever reads it after an answer finds the event. Times are those of the machine's
monotonic clock, which all processes share. Fields are separated by blanks::

    O time connection host peer                   accepted
    E time connection name                        EHLO, or HELO
    C time connection                             the peer's end seen, or closed
    A time connection recipient token health begun    a message was taken
    X time connection recipient                   a message was dropped, not taken
    B time connection recipient begun             refused: the peer is blacklisted
    U time connection                             the peer's end seen, and no QUIT

``health`` is ``ok`` or ``bad`` by the body's SHA-256 in X-Sha256 and by bare CR and
LF, or ``-`` if there is nothing to compare with. ``begun`` is when the transaction's
first octet came; for the first one of a connection, when that was accepted.
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_ESTABLISHED = 1  # tcpi_state, netinet/tcp.h
_BACKLOG = 1024
_END = b"\r\n.\r\n"
_ORDER = re.compile(r"(grey|no|slow|dropkeep|droplose)([0-9]+(?:\.[0-9]+)?)?-")
_TOKEN = re.compile(rb"^X-Token:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(rb"^Subject:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_SHA = re.compile(rb"^X-Sha256:[ \t]*([0-9a-f]{64})", re.IGNORECASE | re.MULTILINE)
_EHLO = (
    b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
)


class _Books:
    """The journal, the counts, and who waits for them."""

    def __init__(self, journal: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._journal = os.open(journal, flags, 0o644)
        self.open: dict[int, _Session] = {}
        self.connections = 0
        self.most_open = 0
        self.most_open_at = 0.0
        self.counts: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.blacklisted: Counter[str] = Counter()
        self._waiting: list[tuple[int, asyncio.Event]] = []

    def note(self, *fields: object) -> None:
        """Write one line; one write, so that a reader never sees half of it."""
        os.write(self._journal, (" ".join(map(str, fields)) + "\n").encode())

    def opened(self, session: "_Session", host: str) -> int:
        self.connections += 1
        number = self.connections
        self.open[number] = session
        if len(self.open) > self.most_open:
            # Whose peer has closed is closed, though we have yet to be told.
            for other in [o for o in self.open.values() if o.has_been_left()]:
                self.closed(other.number)
        self.note("O", f"{session.opened_at:.6f}", number, host, session.peer)
        if len(self.open) > self.most_open:
            self.most_open, self.most_open_at = len(self.open), session.opened_at
        return number

    def closed(self, number: int) -> None:
        if self.open.pop(number, None) is not None:
            self.note("C", f"{time.monotonic():.6f}", number)

    def refuses(self, session: "_Session", recipient: str) -> bool:
        """Whether the peer is on the blacklist; counts how often it still is."""
        if self.blacklisted[session.peer] <= 0:
            return False
        self.blacklisted[session.peer] -= 1
        at, begun = f"{time.monotonic():.6f}", f"{session.begun_at:.6f}"
        self.note("B", at, session.number, recipient, begun)
        return True

    def arrived(
        self, session: "_Session", recipients: Iterable[str], what: str
    ) -> None:
        at = time.monotonic()
        for recipient in recipients:
            self.note(
                *("A", f"{at:.6f}", session.number, recipient, what),
                f"{session.begun_at:.6f}",
            )
            self.counts["arrivals"] += 1
        for wanted, event in self._waiting:
            if self.counts["arrivals"] >= wanted:
                event.set()

    async def wait(self, wanted: int, timeout_s: float) -> None:
        """Return once ``wanted`` messages have arrived, or the time is over."""
        if self.counts["arrivals"] >= wanted:
            return
        entry = (wanted, asyncio.Event())
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await entry[1].wait()
        except TimeoutError:
            pass
        finally:
            self._waiting.remove(entry)

    def figures(self) -> dict[str, object]:
        return {
            "open": len(self.open),
            "most_open": self.most_open,
            "most_open_at": self.most_open_at,
            "connections": self.connections,
            "arrivals": self.counts["arrivals"],
            "greylisted": self.counts["greylisted"],
            "refused": self.counts["refused"],
            "dropped": self.counts["dropped"],
        }


class _Session(asyncio.Protocol):
    """One client. Replies of a pipelined group leave together."""

    def __init__(self, books: _Books, host: str) -> None:
        self._books = books
        self._host = host
        self._buffer = bytearray()
        self._looked_at = 0
        self._recipients: list[str] = []
        self._is_content = False
        self._is_paused = False
        self._has_ended = False
        self._replies: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened_at = self.begun_at = time.monotonic()
        self._is_first = True
        self.peer: str = transport.get_extra_info("peername")[0]
        self.number = self._books.opened(self, self._host)
        transport.write(b"220 sink.test ESMTP\r\n")

    def has_been_left(self) -> bool:
        """The kernel has seen the peer's end already."""
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        except OSError:
            return True
        return info[0] != _ESTABLISHED

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._has_ended:
            self._books.note("U", f"{time.monotonic():.6f}", self.number)
        self._books.closed(self.number)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_paused:
            self._work()

    def _work(self) -> None:
        while not self._is_paused:
            is_whole = self._take_content() if self._is_content else self._take_line()
            if not is_whole:
                break
        if self._replies:
            self._transport.write(b"".join(self._replies))
            self._replies.clear()

    def _take_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        verb = line[:4].upper()
        if verb == b"MAIL":
            if not self._is_first:
                self.begun_at = time.monotonic()
            self._is_first = False
            self._recipients = []
            self._replies.append(b"250 2.1.0 OK\r\n")
        elif verb == b"RCPT":
            self._replies.append(self._answer_rcpt(line))
        elif verb == b"DATA":
            self._answer_data()
        elif verb in (b"EHLO", b"HELO"):
            name = line[5:].decode("ascii", "replace").strip() or "-"
            self._books.note("E", f"{time.monotonic():.6f}", self.number, name)
            self._replies.append(_EHLO)
        elif verb == b"QUIT":
            self._quit()
        else:  # RSET, NOOP
            self._recipients = []
            self._replies.append(b"250 2.0.0 OK\r\n")
        return True

    def _answer_rcpt(self, line: bytes) -> bytes:
        recipient = line[line.find(b"<") + 1 : line.rfind(b">")].decode("utf-8")
        if self._books.refuses(self, recipient):
            return b"554 5.7.1 Client host blocked using bl.test\r\n"
        order = _ORDER.match(recipient)
        if order and order[1] == "no":
            self._books.counts["refused"] += 1
            return b"550 5.1.1 nobody of that name\r\n"
        if order and order[1] == "grey":
            self._books.asked[recipient] += 1
            if self._books.asked[recipient] <= int(order[2] or 1):
                self._books.counts["greylisted"] += 1
                return b"451 4.7.1 come back later\r\n"
        self._recipients.append(recipient)
        return b"250 2.1.5 OK\r\n"

    def _answer_data(self) -> None:
        if not self._recipients:
            self._replies.append(b"554 5.5.1 no valid recipients\r\n")
            return
        self._is_content = True
        self._buffer[:0] = b"\r\n"  # so that every line begins after one
        self._looked_at = 0
        self._replies.append(b"354 go on\r\n")

    def _quit(self) -> None:
        self._replies.append(b"221 2.0.0 bye\r\n")
        self._transport.write(b"".join(self._replies))
        self._replies.clear()
        self._hang_up()

    def _hang_up(self) -> None:
        # Counted before the peer can know of it.
        self._books.closed(self.number)
        self._is_paused = self._has_ended = True
        self._transport.close()

    def _take_content(self) -> bool:
        end = self._buffer.find(_END, self._looked_at)
        if end < 0:
            self._looked_at = max(0, len(self._buffer) - len(_END) + 1)
            return False
        content = bytes(self._buffer[: end + 2])
        del self._buffer[: end + len(_END)]
        self._is_content = False
        order = _ORDER.match(self._recipients[0])
        kind, number = (order[1], order[2]) if order else ("", None)
        if kind in ("dropkeep", "droplose") and self._is_to_be_dropped(number):
            self._drop(content, is_kept=kind == "dropkeep")
            return False
        self._books.arrived(self, self._recipients, _judge(content))
        if kind == "slow":
            self._is_paused = True
            later = asyncio.get_running_loop().call_later
            later(float(number or 1), self._answer_late)
        else:
            self._replies.append(b"250 2.0.0 taken\r\n")
        return True

    def _answer_late(self) -> None:
        if self._transport.is_closing():
            return
        self._is_paused = False
        self._replies.append(b"250 2.0.0 taken\r\n")
        self._work()

    def _is_to_be_dropped(self, number: str | None) -> bool:
        recipient = self._recipients[0]
        self._books.dropped[recipient] += 1
        return self._books.dropped[recipient] <= int(number or 1)

    def _drop(self, content: bytes, *, is_kept: bool) -> None:
        self._books.counts["dropped"] += 1
        if is_kept:
            self._books.arrived(self, self._recipients, _judge(content))
        else:
            for recipient in self._recipients:
                self._books.note("X", time.monotonic(), self.number, recipient)
        self._hang_up()


def _judge(content: bytes) -> str:
    """Token and health of a message; ``content`` begins with a CRLF of ours."""
    content = content.replace(b"\r\n.", b"\r\n")  # RFC 5321 §4.5.2
    header, _, body = content.partition(b"\r\n\r\n")
    found = _TOKEN.search(header) or _SUBJECT.search(header)
    token = found[1].decode("ascii", "replace") if found else "-"
    sha = _SHA.search(header)
    if sha is None:
        return f"{token} -"
    ends = content.count(b"\r\n")
    is_clean = content.count(b"\n") == content.count(b"\r") == ends
    is_whole = hashlib.sha256(body).hexdigest().encode() == sha[1].lower()
    return f"{token} {'ok' if is_clean and is_whole else 'bad'}"


async def _control(
    books: _Books, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Obey one order; the answer is the figures.

    ``figures``, ``wait COUNT SECONDS``, or ``blacklist PEER COUNT``: that client's
    next COUNT recipients are refused.
    """
    words = (await reader.readline()).decode().split()
    if words[:1] == ["wait"]:
        await books.wait(int(words[1]), float(words[2]))
    elif words[:1] == ["blacklist"]:
        books.blacklisted[words[1]] = int(words[2])
    writer.write(json.dumps(books.figures()).encode() + b"\n")
    await writer.drain()
    writer.close()


async def _serve(hosts: Sequence[str], port: int, journal: Path, control: Path) -> None:
    books = _Books(journal)
    loop = asyncio.get_running_loop()
    for host in hosts:

        def session(host: str = host) -> _Session:
            return _Session(books, host)

        server = await loop.create_server(
            session, host, port, backlog=_BACKLOG, reuse_address=True
        )
        port = port or server.sockets[0].getsockname()[1]
    await asyncio.start_unix_server(lambda r, w: _control(books, r, w), control)
    print(port, flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.fast_sink_server")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="of all HOSTs; 0: any")
    parser.add_argument("hosts", nargs="+", metavar="HOST")
    given = parser.parse_args()
    asyncio.run(_serve(given.hosts, given.port, given.journal, given.control))


if __name__ == "__main__":
    main()
