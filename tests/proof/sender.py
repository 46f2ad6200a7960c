"""Clients that send at a steady pace through both doors and keep the ledger.

A message that was refused, or of which nobody knows, is tried again as another one:
with a new token and new recipients, so that the ledger can be held against the sink.
"""

import contextlib
import http.client
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from tests.proof.ledger import Entry, Ledger, Letter, Told

TIMEOUT_S = 60.0
# After a failure the same client waits so long before its next try.
PAUSE_S = 0.2


class Unsent(Exception):
    """It failed before the message was whole on its way."""


class Broke(Exception):
    """It failed when the message may have been taken."""


class SmtpClient:
    """One session at a time, without the manners of smtplib: fewer round trips."""

    door = "smtp"

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._socket: socket.socket | None = None
        self._file = None

    def send(self, letter: Letter) -> tuple[bool, str]:
        """Send; returns whether it was accepted, and the reply.

        Raises:
            Unsent, Broke: The connection failed.
        """
        try:
            refusal = self._begin(letter)
        except (OSError, EOFError) as error:
            self.close()
            raise Unsent(repr(error)) from error
        if refusal:
            return False, refusal
        dotted = letter.content.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        try:
            self._write(dotted)
            reply = self._reply()
        except (OSError, EOFError) as error:
            self.close()
            raise Broke(repr(error)) from error
        if reply.startswith("421"):
            self.close()
        return reply.startswith("2"), reply

    def close(self) -> None:
        for closable in (self._file, self._socket):
            if closable is not None:
                with contextlib.suppress(OSError):
                    closable.close()
        self._socket = self._file = None

    def _begin(self, letter: Letter) -> str:
        """Get as far as 354; returns the refusal, if one came instead."""
        if self._socket is None:
            self._open()
        commands = [f"MAIL FROM:<{letter.sender}>"]
        commands += [f"RCPT TO:<{recipient}>" for recipient in letter.recipients]
        lines = "".join(f"{command}\r\n" for command in [*commands, "DATA"])
        self._write(lines.encode())
        replies = [self._reply() for _ in commands]
        last = self._reply()
        refused = [reply for reply in replies if not reply.startswith("2")]
        if not refused and last.startswith("354"):
            return ""
        # Whatever state that left behind: another session.
        self.close()
        return (refused or [last])[0]

    def _open(self) -> None:
        self._socket = socket.create_connection(self._place, TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        greeting = self._reply()
        if not greeting.startswith("220"):
            raise ConnectionError(greeting)
        self._write(b"EHLO client.test\r\n")
        self._reply()

    def _write(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(data)

    def _reply(self) -> str:
        assert self._file is not None
        while True:
            line = self._file.readline(4096)
            if not line.endswith(b"\n"):
                raise EOFError("closed by the listener")
            if line[3:4] != b"-":
                return line.decode("utf-8", "replace").rstrip()


class HttpClient:
    """Raw messages by ``POST /send-raw`` over one connection."""

    door = "http"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._http = http.client.HTTPConnection(
            str(parts.hostname), parts.port, timeout=TIMEOUT_S
        )

    def send(self, letter: Letter) -> tuple[bool, str]:
        """As ``SmtpClient.send``."""
        try:
            if self._http.sock is None:
                self._http.connect()
        except OSError as error:
            self.close()
            raise Unsent(repr(error)) from error
        try:
            self._http.request(
                *("POST", "/send-raw", letter.content),
                headers={"Content-Type": "message/rfc822"},
            )
            response = self._http.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Broke(repr(error)) from error
        is_taken = 200 <= response.status < 300
        return is_taken, f"{response.status} {text[:200]}"

    def close(self) -> None:
        self._http.close()


Client = SmtpClient | HttpClient


class Load:
    """``count`` messages, each tried until it is accepted, at ``rate`` per second.

    Args:
        clients: Makes one client for each thread.
        deadline_s: After that nothing more is tried.
    """

    def __init__(
        self,
        ledger: Ledger,
        make_letter: Callable[[], Letter],
        clients: list[Client],
        *,
        count: int,
        rate: float,
        deadline_s: float,
    ) -> None:
        self.ledger = ledger
        self._make_letter = make_letter
        self._count = count
        self._rate = rate
        self._numbers = itertools.count()
        self._started_at = time.monotonic()
        self._until = self._started_at + deadline_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(client,), daemon=True)
            for client in clients
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Return once every message was accepted, or the deadline has passed."""
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Let every client finish its try, and no more."""
        self._stop.set()
        self.wait()

    def _work(self, client: Client) -> None:
        with contextlib.closing(client):
            while (number := next(self._numbers)) < self._count:
                due_at = self._started_at + number / self._rate
                if self._stop.wait(max(0.0, due_at - time.monotonic())):
                    return
                while self._try(client) is not Told.ACCEPTED:
                    if time.monotonic() > self._until or self._stop.wait(PAUSE_S):
                        return

    def _try(self, client: Client) -> Told:
        letter = self._make_letter()
        began = time.monotonic()
        try:
            is_taken, answer = client.send(letter)
            told = Told.ACCEPTED if is_taken else Told.REFUSED
        except Unsent as error:
            told, answer = Told.REFUSED, str(error)
        except Broke as error:
            told, answer = Told.UNKNOWN, str(error)
        at = time.monotonic()
        entry = Entry(letter, client.door, told, at, at - began, answer)
        self.ledger.note(entry)
        return told


@contextlib.contextmanager
def sending(load: Load) -> Iterator[Load]:
    """Send in the background while the block runs, and to the end after it."""
    load.start()
    try:
        yield load
        load.wait()
    finally:
        load.stop()


def make_clients(smtp: str, http_url: str, *, smtp_count: int, http_count: int):
    """Clients for both doors; ``smtp`` is HOST:PORT."""
    host, _, port = smtp.rpartition(":")
    clients: list[Client] = [SmtpClient(host, int(port)) for _ in range(smtp_count)]
    return clients + [HttpClient(http_url) for _ in range(http_count)]
