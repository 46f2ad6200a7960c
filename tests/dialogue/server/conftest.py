"""Both ways to talk to our server: the bare state machine, and over a socket."""

import fnmatch
import socket
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from mta.reply import make_reply
from mta.smtp.events import (
    ContentChunk,
    ContentEnded,
    ContentStarted,
    MailReceived,
    RcptReceived,
    SessionEnded,
    TransactionReset,
)
from mta.smtp.options import SessionOptions
from mta.smtp.server import ServerSession
from mta.smtpd.connection import Connection
from mta.smtpd.ports import Guards
from mta.smtpd.service import Client as Origin
from mta.smtpd.service import Service


@dataclass
class Peer:
    """Drives a session and keeps what it took.

    Attributes:
        answers: Replies by type of question; a missing one is yes.
        taken: Envelope and content of each message.
    """

    session: ServerSession
    answers: dict = field(default_factory=dict)
    taken: list = field(default_factory=list)
    resets: int = 0
    has_ended: bool = False
    _content: bytes = b""
    _started: ContentStarted | None = None

    def send(self, data):
        """Feed octets and return the reply lines."""
        self.session.receive(data)
        while (event := self.session.next_event()) is not None:
            self._handle(event)
        lines = self.session.data_to_send().split(b"\r\n")
        assert lines.pop() == b""
        return [line.decode("ascii") for line in lines]

    def _handle(self, event):
        match event:
            case MailReceived() | RcptReceived():
                self.session.answer(self.answers.get(type(event)))
            case ContentStarted():
                self._started, self._content = event, b""
                self.session.answer(self.answers.get(ContentStarted))
            case ContentChunk(data):
                self._content += data
            case ContentEnded(size):
                assert size == len(self._content)
                self.taken.append((self._started, self._content))
                number = len(self.taken)
                self.session.answer(
                    self.answers.get(ContentEnded)
                    or make_reply(250, "2.0.0", f"Message queued as {number}")
                )
            case TransactionReset():
                self.resets += 1
            case SessionEnded():
                self.has_ended = True


@pytest.fixture
def peer():
    """Make a ``Peer``; its greeting was read."""

    def make(answers=None, **options):
        limits = {"max_size": 10_000, "max_recipients": 100} | options
        session = ServerSession(SessionOptions(hostname="mx.test", **limits))
        return Peer(session, answers or {})

    return make


@pytest.fixture
def talk(peer):
    """Play a script: C lines are sent, S lines (with wildcards) must come back.

    Consecutive C lines go out in one piece. ``\\x00`` and the like are octets. S* is a
    whole reply, however many lines it has.
    """

    def play(script, answers=None, **options):
        it = peer(answers, **options)
        said = it.session.greeting().decode().splitlines()
        pending = b""
        for line in filter(None, map(str.strip, script.splitlines())):
            who, _, text = line.partition(":")
            text = text.removeprefix(" ")
            if who == "C":
                assert not said, f"not expected: {said}"
                text = text.encode().decode("unicode_escape")
                pending += text.encode("latin-1") + b"\r\n"
                continue
            if pending:
                said, pending = it.send(pending), b""
            assert said, f"missing: {text}"
            if who == "S*":  # a whole reply, of as many lines as it has
                while said[0][3:4] == "-":
                    assert said.pop(0).startswith(text)
                assert said.pop(0).startswith(text)
                continue
            assert fnmatch.fnmatchcase(said.pop(0), text.replace("[", "[[]"))
        if pending:
            said = it.send(pending)
        assert not said, f"not expected: {said}"
        return it

    return play


@dataclass
class MemoryIntake:
    """Keeps messages in a list; raises what it is told to, at the named step."""

    raises: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)
    aborted: int = 0
    open: int = 0

    def begin(self, envelope):
        self.may("begin")
        self.open += 1
        return MemorySubmission(self, envelope)

    def may(self, step):
        if step in self.raises:
            raise self.raises[step]


@dataclass
class MemorySubmission:
    intake: MemoryIntake
    envelope: object
    content: bytes = b""
    id: str = ""

    def write(self, chunk):
        self.intake.may("write")
        self.content += chunk

    def commit(self):
        self.intake.open -= 1
        self.intake.may("commit")
        self.intake.messages.append(self)
        self.id = f"m{len(self.intake.messages)}"
        return self

    def abort(self):
        self.intake.open -= 1
        self.intake.aborted += 1


class Client:
    """A plain client on one end of a socket pair."""

    def __init__(self, sock, thread, connection):
        self.connection = connection
        self._socket = sock
        self._thread = thread
        self._file = sock.makefile("rb")

    def read(self):
        """Read one reply; its last line, or empty at the end."""
        while True:
            line = self._file.readline().decode()
            if line[3:4] != "-":
                return line.rstrip()

    def say(self, text):
        self.send(text.encode() + b"\r\n")
        return self.read()

    def send(self, data):
        self._socket.sendall(data)

    def shut(self):
        """Close our half."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self):
        self._file.close()
        self._socket.close()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def intake():
    return MemoryIntake()


@pytest.fixture
def connect(intake):
    """Serve one end of a socket pair in a thread; the greeting is not read yet."""
    clients = []

    def start(*, idle=timedelta(seconds=20), screen=None, max_size=10_000_000):
        service = Service(
            interface="feeder",
            options=SessionOptions(
                hostname="mx.test", max_size=max_size, max_recipients=100
            ),
            intake=intake,
            idle=idle,
            now=lambda: datetime(2026, 7, 1, tzinfo=UTC),
            guards=Guards(screen=screen),
        )
        ours, theirs = socket.socketpair()
        theirs.settimeout(20)
        connection = Connection(ours, Origin(origin="192.0.2.7"), service)
        thread = threading.Thread(target=connection.run, daemon=True)
        thread.start()
        clients.append(Client(theirs, thread, connection))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
