"""One message of a gibibyte: what does it cost to take it in, and to send it on?

``python -m tests.proof.large [--size 1GiB]``

It comes once by DATA and once by BDAT, has dots where they hurt and every octet that
8BITMIME allows, and goes to a sink that hashes it. Each process may grow by what a
block and a chunk need, and no more; what arrives is what was sent.
"""

import argparse
import hashlib
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mta.config.values import parse_size
from tests.proof.report import MIB
from tests.support.dns import DnsServer
from tests.support.hash_sink import Hashed, HashSink
from tests.support.stack import Stack

GROWTH_LIMIT = 32 * MIB
CHUNK_BYTES = MIB  # of BDAT
BLOCK_BYTES = MIB
BLOCKS = 8  # different ones; a line before each tells its place
WARM_UPS = 5
MAX_LINE_BYTES = 998  # RFC 5322 §2.1.1
DEFAULT_SIZE = "1GiB"
LARGEST = parse_size("4 GiB")  # what max_size may be
REPLY_S = 600.0
# A tenth of what a disk does. It goes in, to the database and its journal, and out.
SLOWEST = 2 * MIB  # per second
MX_HOST = "127.77.0.26"
RECORDS = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{keep_content: 0s}}
interfaces:
  feeder: {{port: 0, processes: 2, max_size: 4 GiB}}
zones:
  default: {{connections: 2, port: {port}}}
  bounces: {{connections: 1, port: {port}}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.large")
    parser.add_argument("--size", type=size, default=DEFAULT_SIZE, help="as in 1GiB")
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        DnsServer(RECORDS) as dns,
        HashSink(MX_HOST) as sink,
    ):
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        config = CONFIG.format(dns=dns.address, port=sink.port)
        with Stack(folder, config) as stack:
            trial = Large(stack, sink, given.size)
            trial.run()
    print("\n".join(trial.report()))
    return 1 if trial.violations else 0


def size(text: str) -> int:
    """An argument: octets of one message."""
    octets = parse_size(text)
    if not MIB <= octets <= LARGEST:
        raise ValueError("is too small, or more than an interface takes")
    return octets


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One message's way.

    Attributes:
        by: The verb that it came by.
        accepted_s, arrived_s: From its first octet until then.
        sent: Of the body.
        grown: The most memory that each process held meanwhile, beyond what it held
            before; in bytes.
    """

    by: str
    accepted_s: float
    arrived_s: float
    sent: Hashed
    arrived: Hashed | None
    grown: dict[str, int]


class Large:
    """One run against a stack; afterwards, its report."""

    def __init__(self, stack: Stack, sink: HashSink, size_bytes: int) -> None:
        self._stack = stack
        self._sink = sink
        self._size = size_bytes
        self._patience_s = 60.0 + size_bytes / SLOWEST
        self.passages: list[Passage] = []

    def run(self) -> None:
        """Small ones first, so that all is loaded that is loaded once."""
        for by in (*("DATA", "BDAT") * WARM_UPS,):
            self._pass(by, MIB)
        for by in ("DATA", "BDAT"):
            self.passages.append(self._pass(by, self._size))

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = []
        for passage in self.passages:
            if passage.arrived is None:
                found.append(f"by {passage.by}: did not arrive")
            elif passage.arrived != passage.sent:
                found.append(f"by {passage.by}: {passage.arrived}, not {passage.sent}")
            found += [
                f"by {passage.by}: {name} grew by {grown / MIB:.0f} MiB"
                for name, grown in passage.grown.items()
                if grown >= GROWTH_LIMIT and name != "mongod"
            ]
        return found

    def report(self) -> list[str]:
        """Figures and violations."""
        lines = [f"large size={self._size / MIB:.0f} MiB"]
        for passage in self.passages:
            is_equal = passage.arrived == passage.sent
            others = sorted(passage.grown.items(), key=lambda item: -item[1])
            grown = ", ".join(f"{n} {b / MIB:+.1f}" for n, b in others if n != "mongod")
            lines += [
                f"by {passage.by}: accepted after {passage.accepted_s:.1f} s, "
                f"arrived after {passage.arrived_s:.1f} s, "
                f"sha256 {'equal' if is_equal else 'DIFFERENT'}",
                f"  MiB grown at most   {grown} (below {GROWTH_LIMIT // MIB})",
                f"  mongod, by itself   {passage.grown['mongod'] / MIB:+.1f}",
            ]
        broken = [f"VIOLATION {line}" for line in self.violations]
        return lines + (broken or ["ok: size costs time and no memory"])

    def _pass(self, by: str, size_bytes: int) -> Passage:
        recipient = f"{by.lower()}-{size_bytes}@large.test"
        self._stack.peak_memory()  # from here on the peak is counted anew
        before = self._stack.peak_memory()
        began = time.monotonic()
        sent = send(self._stack, by, recipient, size_bytes)
        accepted_at = time.monotonic()
        arrived = self._sink.next(self._patience_s)
        arrived_at = time.monotonic()
        peak = self._stack.peak_memory()
        return Passage(
            by=by,
            accepted_s=accepted_at - began,
            arrived_s=arrived_at - began,
            sent=sent,
            arrived=arrived,
            grown={name: peak[name] - before.get(name, 0) for name in peak},
        )


def send(stack: Stack, by: str, recipient: str, size_bytes: int) -> Hashed:
    """Submit one message; returns what of its body the sink is to tell.

    Raises:
        ConnectionError: It was refused.
    """
    host, _, port = next(iter(stack.ready["smtp"].values())).rpartition(":")
    with Client(host, int(port)) as client:
        client.say("EHLO client.test")
        client.say(f"MAIL FROM:<ada@a.test> SIZE={size_bytes} BODY=8BITMIME")
        client.say(f"RCPT TO:<{recipient}>")
        hashed = hashlib.sha256()
        octets = 0

        def content() -> Iterator[bytes]:
            nonlocal octets
            yield _header(recipient, by)
            for block in body_blocks(size_bytes):
                hashed.update(block)
                octets += len(block)
                yield block

        submit: Callable[[Iterable[bytes]], None] = {
            "DATA": client.data,
            "BDAT": client.bdat,
        }[by]
        submit(content())
    return Hashed(recipient, octets, hashed.hexdigest())


class Client:
    """One session that sends what does not fit into memory."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), REPLY_S)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Client":
        self._expect("2")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def say(self, command: str, reply: str = "2") -> None:
        """One command, and the first digit of its reply."""
        self._socket.sendall(f"{command}\r\n".encode())
        self._expect(reply)

    def data(self, content: Iterable[bytes]) -> None:
        """Each piece of ``content`` is whole lines."""
        self.say("DATA", "3")
        for block in content:
            dotted = (b"\r\n" + block).replace(b"\r\n.", b"\r\n..")
            self._socket.sendall(memoryview(dotted)[2:])
        self._socket.sendall(b".\r\n")
        self._expect("2")

    def bdat(self, content: Iterable[bytes]) -> None:
        """Chunks of one size, whatever the pieces are; the last one has the rest."""
        held = b""
        for block in content:
            held += block
            while len(held) > CHUNK_BYTES:
                self._chunk(held[:CHUNK_BYTES])
                held = held[CHUNK_BYTES:]
        self._chunk(held, " LAST")

    def _chunk(self, octets: bytes, last: str = "") -> None:
        self._socket.sendall(f"BDAT {len(octets)}{last}\r\n".encode())
        self._socket.sendall(octets)
        self._expect("2")

    def _expect(self, reply: str) -> None:
        while True:
            line = self._file.readline(BLOCK_BYTES).decode("utf-8", "replace")
            if not line.startswith(reply):
                raise ConnectionError(line.strip() or "closed by the listener")
            if line[3:4] != "-":
                return


def body_blocks(size_bytes: int) -> Iterator[bytes]:
    """A body of about ``size_bytes``, in pieces of whole lines, each one different."""
    blocks = [_block(number) for number in range(BLOCKS)]
    for number in range(max(1, size_bytes // BLOCK_BYTES)):
        # None may be left out, doubled or in another's place without being noticed.
        yield b".%d\r\n" % number + blocks[number % BLOCKS]


def _block(seed: int) -> bytes:
    """Lines of any length, many of which begin with a dot or two, or are one."""
    dice = random.Random(seed)
    # All octets but those that a text cannot have (RFC 5321 §2.3.8, RFC 6152 §3).
    octets = bytes(n for n in range(256) if n not in b"\0\r\n")
    lines = [octets, b"." + octets, b".", b"..", b""]
    left = BLOCK_BYTES - sum(len(line) + 2 for line in lines) - len(".1234567\r\n")
    while left > 2:
        length = min(dice.randrange(MAX_LINE_BYTES), left - 2)
        start = b"." * dice.choice((0, 0, 1, 2))
        lines.append((start + dice.randbytes(length).translate(_TEXT))[:length])
        left -= length + 2
    return b"\r\n".join(lines) + b"\r\n"


def _header(recipient: str, by: str) -> bytes:
    return (
        f"From: ada@a.test\r\nTo: {recipient}\r\nSubject: large by {by}\r\n"
        "Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=iso-8859-1\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    ).encode()


# What random octets become: none that a text cannot have.
_TEXT = bytes(n if n not in b"\0\r\n" else n + 0x80 for n in range(256))

if __name__ == "__main__":
    sys.exit(main())
