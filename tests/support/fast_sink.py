"""The fast mail server of ``fast_sink_server.py``, started and asked."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

STOP_S = 20.0


class Arrival(NamedTuple):
    """One message for one recipient."""

    at: float
    connection: int
    recipient: str
    token: str
    health: str
    begun: float


class Refusal(NamedTuple):
    """A recipient that was refused because the client was on the blacklist."""

    at: float
    connection: int
    recipient: str
    begun: float


class FastSink:
    """The process, started and asked. All ``hosts`` listen on one port.

    Args:
        folder: Of journal and control socket; should not hold any yet.
    """

    def __init__(self, folder: Path, *hosts: str) -> None:
        self.hosts = hosts
        self.port = 0
        self.journal = folder / "sink.journal"
        self._control = folder / "sink.control"
        self._read = 0
        self._arrivals: list[Arrival] = []
        self._names: dict[int, str] = {}
        self._peers: dict[int, str] = {}
        self._refusals: list[Refusal] = []
        self._unended: list[float] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.fast_sink_server"]
        command += ["--journal", str(self.journal), "--control", str(self._control)]
        process = subprocess.Popen([*command, *self.hosts], stdout=subprocess.PIPE)
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

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def figures(self) -> dict[str, Any]:
        """The counts so far."""
        return self._ask("figures", 10.0)

    def wait_for_count(self, count: int, timeout_s: float) -> bool:
        """Wait until so many messages arrived, since the start."""
        figures = self._ask(f"wait {count} {timeout_s}", timeout_s + 10.0)
        return int(figures["arrivals"]) >= count

    def wait_until(
        self, is_done: Callable[[Sequence[Arrival]], bool], timeout_s: float
    ) -> bool:
        """Wait until ``is_done`` with what has arrived; it is asked after each."""
        deadline = time.monotonic() + timeout_s
        while True:
            arrivals = self.arrivals()
            if is_done(arrivals):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.wait_for_count(len(arrivals) + 1, min(left, 5.0))

    def arrivals(self) -> list[Arrival]:
        """Everything that arrived so far, in order."""
        for fields in self._new_lines():
            if fields[0] == "O":
                self._peers[int(fields[2])] = fields[4]
            elif fields[0] == "E":
                self._names[int(fields[2])] = fields[3]
            elif fields[0] == "B":
                _, at, connection, recipient, begun = fields
                self._refusals.append(
                    Refusal(float(at), int(connection), recipient, float(begun))
                )
            elif fields[0] == "U":
                self._unended.append(float(fields[1]))
            elif fields[0] == "A":
                _, at, connection, recipient, token, health, begun = fields
                number = int(connection)
                self._arrivals.append(
                    Arrival(float(at), number, recipient, token, health, float(begun))
                )
        return self._arrivals

    def client_of(self, arrival: Arrival) -> str:
        """What the one who sent it called itself."""
        return self._names[arrival.connection]

    def peer_of(self, event: Arrival | Refusal) -> str:
        """The address that the one who sent it came from."""
        return self._peers[event.connection]

    def refusals(self) -> list[Refusal]:
        """What was refused for the blacklist's sake so far, in order."""
        self.arrivals()
        return self._refusals

    def unended(self) -> list[float]:
        """When connections broke: the peer was gone, and had not said QUIT."""
        self.arrivals()
        return self._unended

    def blacklist(self, peer: str, count: int) -> None:
        """Refuse the next ``count`` recipients of a client's address."""
        self._ask(f"blacklist {peer} {count}", 10.0)

    def most_open(self) -> tuple[int, float]:
        """The most connections that were open at once, and when."""
        figures = self.figures()
        return int(figures["most_open"]), float(figures["most_open_at"])

    def _new_lines(self) -> Iterable[list[str]]:
        with self.journal.open("rb") as file:
            file.seek(self._read)
            block = file.read()
        whole = block[: block.rfind(b"\n") + 1]
        self._read += len(whole)
        return [line.split() for line in whole.decode().splitlines()]

    def _ask(self, question: str, timeout_s: float) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(timeout_s)
            asked.connect(str(self._control))
            asked.sendall(question.encode() + b"\n")
            with asked.makefile("rb") as answer:
                figures: dict[str, Any] = json.loads(answer.readline())
        return figures


def most_open_of(journal: Path, domain: str, since: float = 0.0) -> tuple[int, float]:
    """The most connections that were open at once for one recipient domain, and when.

    A connection is the domain's from its acceptance, if its first message is, until
    its end or its first message for another domain.
    """
    lines = [line.split() for line in journal.read_text().splitlines()]
    domains: dict[str, list[str]] = {}
    for fields in lines:
        if fields[0] in "AX":
            domains.setdefault(fields[2], []).append(fields[3].rpartition("@")[2])
    is_open: set[str] = set()
    most, when = 0, 0.0
    for kind, at, number, *rest in lines:
        if kind == "C":
            is_open.discard(number)
        elif kind == "O":
            belongs = domains.get(number, [""])[0] == domain
            is_open |= {number} if belongs else set()
        elif rest[0].endswith(f"@{domain}"):
            is_open.add(number)
        else:
            is_open.discard(number)
        if len(is_open) > most and float(at) >= since:
            most, when = len(is_open), float(at)
    return most, when


def busiest(times: Sequence[float], window_s: float) -> int:
    """The most events within any window of ``window_s``; ``times`` ascend."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most
