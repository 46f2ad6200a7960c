"""Thousands of clients that say nothing: what do they cost those who send?

``python -m tests.proof.idle [--idle 2000] [--active 50]``

A few sessions submit messages of 1 KiB as fast as they are taken, in turn alone and
with thousands of others that are connected, have said EHLO and wait. Alone and not
alone alternate, so that what the machine does meanwhile meets both alike; the queue
is empty whenever one of them begins. The CPU time that the listener needs for a message
is shown, too: other work on the machine hardly changes it.
"""

import argparse
import secrets
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.proof.flood import Flood, Session
from tests.proof.processes import allow_open_files, cpu_seconds, resident
from tests.proof.report import MIB
from tests.support.dns import DnsServer
from tests.support.fast_sink import FastSink
from tests.support.stack import Stack

RATIO_LIMIT = 0.8
MEMORY_LIMIT = 250 * MIB
WARM_UP_S = 3.0
DRAIN_S = 120.0
SPARE_FILES = 500  # that a process needs for all else
MX_HOST = "127.77.0.25"
RECORDS = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
# All clients are one address here. How the kernel shares connections out between the
# processes is its business, so each has room for all.
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
interfaces:
  feeder:
    port: 0
    processes: 2
    max_clients: {clients}
    max_clients_per_address: {clients}
zones:
  default: {{connections: 20, port: {port}}}
  bounces: {{connections: 1, port: {port}}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.idle")
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--active", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each half round")
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    clients = given.idle + given.active + 10
    allow_open_files(clients + SPARE_FILES)
    with (
        tempfile.TemporaryDirectory() as temporary,
        DnsServer(RECORDS) as dns,
    ):
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        with FastSink(folder, MX_HOST) as sink:
            config = CONFIG.format(dns=dns.address, port=sink.port, clients=clients)
            with Stack(folder, config) as stack:
                trial = Idle(stack, sink, idle=given.idle, active=given.active)
                trial.run(rounds=given.rounds, seconds=given.seconds)
    print("\n".join(trial.report()))
    return 1 if trial.violations else 0


class Idle:
    """One run against a stack; afterwards, its report."""

    def __init__(self, stack: Stack, sink: FastSink, *, idle: int, active: int) -> None:
        self._stack = stack
        self._sink = sink
        self._idle = idle
        self._active = active
        self._address: str = next(iter(stack.ready["smtp"].values()))
        self.rounds: list[tuple[float, float]] = []
        self.cpu_s: list[tuple[float, float]] = []
        self.memory: dict[str, int] = {}
        self.gone = 0
        self.missing = 0

    def run(self, *, rounds: int, seconds: float) -> None:
        """Measure without the idle ones and with them, again and again."""
        run = f"i{secrets.token_hex(3)}"
        with Flood(self._address, run, sessions=self._active) as flood:
            flood.send_for(WARM_UP_S)
            for _ in range(rounds):
                self._drain(flood)
                with self._waiting():
                    pass  # so that the same went before both
                alone, alone_s = self._measure(flood, seconds)
                self._drain(flood)
                with self._waiting() as idlers:
                    among, among_s = self._measure(flood, seconds)
                    self._note_memory()
                    self.gone += sum(not is_served(idler) for idler in idlers)
                self.rounds.append((alone, among))
                self.cpu_s.append((alone_s, among_s))
            self._drain(flood)

    @property
    def ratio(self) -> float:
        """Of the rate with the idle ones to that without, median of all rounds."""
        return statistics.median(among / alone for alone, among in self.rounds)

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = []
        if self.ratio < RATIO_LIMIT:
            found.append(f"the rate falls to {self.ratio:.2f} of what it was")
        found += [
            f"{name} holds {size / MIB:.0f} MiB"
            for name, size in self.memory.items()
            if name.startswith("smtp@") and size >= MEMORY_LIMIT
        ]
        if self.gone:
            found.append(f"{self.gone} idle sessions were not served afterwards")
        if self.missing:
            found.append(f"{self.missing} messages did not arrive")
        return found

    def report(self) -> list[str]:
        """Figures and violations."""
        alone, among = map(statistics.median, zip(*self.rounds, strict=True))
        each = ", ".join(f"{b / a:.2f}" for a, b in self.rounds)
        cpu = statistics.median(b / a for a, b in self.cpu_s)
        doors = {n: s for n, s in self.memory.items() if n.startswith("smtp@")}
        memory = ", ".join(f"{n} {s / MIB:.0f}" for n, s in sorted(doors.items()))
        lines = [
            f"idle={self._idle} active={self._active}: {len(self.rounds)} rounds",
            f"A, alone              {alone:.0f} messages/s",
            f"B, with the idle      {among:.0f} messages/s",
            f"B/A                   {self.ratio:.2f} (at least {RATIO_LIMIT}); {each}",
            f"CPU a message, B/A    {cpu:.2f}, of the listener's processes",
            f"MiB with the idle     {memory} (below {MEMORY_LIMIT // MIB})",
        ]
        broken = [f"VIOLATION {line}" for line in self.violations]
        return lines + (broken or ["ok: those who wait cost those who send little"])

    def _measure(self, flood: Flood, seconds: float) -> tuple[float, float]:
        """Messages per second, and CPU time of the doors for each, in seconds."""
        doors = self._stack.pids("smtp@")
        before, used_s = flood.accepted, cpu_seconds(doors)
        rate = flood.send_for(seconds)
        return rate, (cpu_seconds(doors) - used_s) / (flood.accepted - before)

    @contextmanager
    def _waiting(self) -> Iterator[list[Session]]:
        """The idle sessions, connected."""
        host, _, port = self._address.rpartition(":")
        with ExitStack() as held:
            idlers: list[Session] = []
            for _ in range(self._idle):
                idlers.append(Session((host, int(port))))
                held.callback(idlers[-1].socket.close)
            yield idlers

    def _note_memory(self) -> None:
        for name, size in resident(self._stack).items():
            self.memory[name] = max(size, self.memory.get(name, 0))

    def _drain(self, flood: Flood) -> None:
        """What is on its way out takes processors from what comes in."""
        if not self._sink.wait_for_count(flood.accepted, DRAIN_S):
            arrived = int(self._sink.figures()["arrivals"])
            self.missing = flood.accepted - arrived


def is_served(session: Session) -> bool:
    """Whether the listener still answers."""
    try:
        session.say(b"NOOP\r\n")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
