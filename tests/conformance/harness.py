"""What the tests here are written with: dialogues, a client that plays them, a server.

A dialogue is text. Each line sends something, and says which replies come for it::

    NOOP -> 250 2.0.0                       one command, one reply
    MAIL FROM:<ada@example.test>            goes out together with the next line
    RCPT TO:<bob@example.test> -> 250, 250  the replies to both
    QUIT -> 221, EOF                        and then the server hangs up
    hello ->                                sent, and no reply is waited for

A reply that is wanted is the beginning of the one that comes, in whole words. Escapes
are those of Python (``\\xff``, ``\\r``); a line that ends in ``\\`` goes out without
its CRLF. ``@envelope`` stands for MAIL and RCPT, ``@content`` for both and DATA.

Every dialogue ends in QUIT: a reply too many or too few is found by it. Every reply is
held to what holds for all: RFC 5321 §4.2 and §4.5.3.1.5, RFC 2034 §4.
"""

import json
import re
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELPER = Path(__file__).with_name("listener_process.py")
PATIENCE_S = 20
HOSTNAME = "mx.test"
EOF = "EOF"

MAIL = "MAIL FROM:<ada@example.test>"
RCPT = "RCPT TO:<bob@example.test>"
SHORTHANDS = {
    "@envelope": f"{MAIL} -> 250 2.1.0\n{RCPT} -> 250 2.1.5",
    "@content": f"{MAIL} -> 250 2.1.0\n{RCPT} -> 250 2.1.5\nDATA -> 354",
}

_REPLY_LINE = re.compile(r"([2-5][0-5][0-9])([ -])([\t -~]*)")
_STATUS = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?: |$)")
# What a client must never read: it is about us, and not about its mail.
_LEAKS = re.compile(r"Traceback|[a-z]Error|Exception|secret|db7|\.py\b|None")


@dataclass(frozen=True)
class Case:
    """One dialogue.

    Attributes:
        section: Of the document it is about, as in ``5321 4.1.1.4``.
        script: As above.
        takes: Of each message that the intake gets: some of its facts.
        server: Which configuration it is for; empty: that of its file.
        hello: The first command, which is let pass; empty: there is none.
    """

    section: str
    what: str
    script: str
    takes: tuple[dict, ...] | dict = ()
    server: str = ""
    hello: str = "EHLO client.test"

    @property
    def id(self):
        return f"{self.section} {self.what}"


def each(*cases):
    """Parametrize a test with cases, each under its own name."""
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case.id) for case in cases]
    )


@dataclass(frozen=True)
class Reply:
    """One whole reply.

    Attributes:
        lines: Without codes and line ends; statuses are still there.
    """

    code: int
    lines: tuple[str, ...]

    def __str__(self):
        return f"{self.code} {' '.join(self.lines)}".strip()

    def begins(self, wanted):
        return f"{self} ".startswith(f"{wanted} ")

    @property
    def introduces(self):
        """It is a greeting, or a positive answer to EHLO, HELO or LHLO."""
        return self.code in {220, 250} and self.lines[0].split()[:1] == [HOSTNAME]

    def check(self):
        """Hold it to RFC 2034 §4 and RFC 3463 §2, and to good manners."""
        assert not _LEAKS.search(str(self)), str(self)
        found = [_STATUS.match(line) for line in self.lines]
        if self.introduces or self.code // 100 == 3:
            assert not any(found), f"no status here: {self}"
            return
        statuses = {match and match[0].strip() for match in found}
        assert None not in statuses, f"without a status: {self}"
        assert len(statuses) == 1, f"more than one status: {self}"
        assert statuses.pop()[0] == str(self.code)[0], f"contradicts itself: {self}"


class Client:
    """One connection; the greeting is not read yet."""

    def __init__(self, sock):
        self.sock = sock
        self._file = sock.makefile("rb")

    def close(self):
        self._file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def end_input(self):
        """Say that no more will come, and read what still does."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
            return self._file.read()
        except OSError:  # it was quicker, and cut us off
            return b""

    def read(self):
        """Read one reply; None at the end of the connection."""
        lines = []
        while True:
            line = self._file.readline(4096)
            if not line:
                assert not lines, "cut within a reply"
                return None
            assert line.endswith(b"\r\n"), line
            assert len(line) <= 512, line
            match = _REPLY_LINE.fullmatch(line[:-2].decode("ascii"))
            assert match, line
            lines.append(match)
            if match[2] == " ":
                break
        assert len({match[1] for match in lines}) == 1, "more than one code"
        reply = Reply(int(lines[0][1]), tuple(match[3] for match in lines))
        reply.check()
        return reply

    def encrypt(self, context, name=HOSTNAME):
        """Shake hands, as the client."""
        self._file.close()
        self.sock = context.wrap_socket(
            self.sock, server_hostname=name, suppress_ragged_eofs=False
        )
        self._file = self.sock.makefile("rb")
        return self

    def say(self, line):
        self.send(line.encode() + b"\r\n")
        return self.read()

    def expect(self, wanted):
        """Read one reply, or the end, which must be as wanted."""
        reply = self.read()
        if wanted == EOF:
            assert reply is None, f"wanted the end, got: {reply}"
        else:
            assert reply is not None, f"wanted {wanted}, got the end"
            assert reply.begins(wanted), f"wanted {wanted}, got: {reply}"
        return reply

    def greeted(self, hello="EHLO client.test"):
        """Read the greeting and say hello; returns itself."""
        self.expect("220")
        if hello:
            reply = self.say(hello)
            assert reply.introduces, str(reply)
        return self

    def play(self, script, *, goodbye=True):
        """Play a dialogue from here on, and end it."""
        wants = [""]
        for data, wants in read_script(script):
            self.send(data)
            for wanted in wants:
                self.expect(wanted)
        if goodbye and wants[-1:] != [EOF]:
            self.send(b"QUIT\r\n")
            self.expect("221 2.0.0")
            self.expect(EOF)


def read_script(script):
    """Cut a dialogue into what is sent in one go, and the replies to that."""
    for shorthand, text in SHORTHANDS.items():
        script = script.replace(shorthand, text)
    pending = b""
    for line in filter(None, map(str.strip, script.split("\n"))):
        command, arrow, wanted = line.partition("->")
        pending += to_octets(command.strip())
        if arrow:
            wants = filter(None, map(str.strip, wanted.split(",")))
            yield pending, list(wants)
            pending = b""
    assert not pending, f"nothing is said of the replies to {pending!r}"


def to_octets(text):
    """Read a line of a dialogue; what goes beyond ASCII is UTF-8."""
    end = "" if text.endswith("\\") and not text.endswith("\\\\") else "\r\n"
    text = text.removesuffix("\\") if not end else text
    octets = text.encode().decode("unicode_escape").encode("latin-1")
    return octets + end.encode()


@dataclass
class Told:
    """What the intake got since it was last asked."""

    messages: list[dict]
    aborted: int
    open: int
    reserved: int

    @property
    def message(self):
        """The one message."""
        [message] = self.messages
        return message


@dataclass
class Server:
    """A listener process with one configuration; see ``listener_process.py``."""

    options: dict
    _process: subprocess.Popen = field(init=False)

    def __post_init__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(HELPER), json.dumps(self.options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.port, side_door = map(int, self._process.stdout.readline().split())
        self._side = socket.create_connection(("127.0.0.1", side_door), PATIENCE_S)
        self._answers = self._side.makefile("rb")

    def tell(self):
        self._side.sendall(b"\n")
        return Told(**json.loads(self._answers.readline()))

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def close(self):
        self._answers.close()
        self._side.close()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()


def check_messages(told, wanted):
    """Hold what the intake got to what it should have got, in the facts named."""
    wanted = (wanted,) if isinstance(wanted, dict) else wanted
    got = [
        {name: message[name] for name in facts}
        for message, facts in zip(told.messages, wanted, strict=False)
    ]
    assert got == list(wanted)
    assert len(told.messages) == len(wanted), told.messages
    assert told.open == 0
