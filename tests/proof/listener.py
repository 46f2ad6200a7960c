"""How much mail does one process of the listener take, and how much do others?

``python -m tests.proof.listener [--rounds 8] [--seconds 4]``

Twenty sessions submit messages of 1 KiB as fast as they are taken. Nothing is sent
on: there is no worker here, and Postfix holds all it has. Both promise what is safe
on the disk; ``smtp-sink`` promises nothing and shows what the client could send. All
take their turns in every round, and what counts is the median over the rounds: ratios
mean something on a shared machine, rates do not. What a message costs in CPU time
means more there: it says what each could do if it had the machine for itself, and its
disk cost nothing.

A server on "one core" has all it consists of there, the database, too; the client has
the other cores. Needs root, Postfix and two processors.
"""

import argparse
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pymongo import MongoClient

from tests.conftest import held_port
from tests.proof.flood import Flood, Session
from tests.proof.processes import cpu_seconds, pin, pinned
from tests.proof.rig import Rig
from tests.support.holding_postfix import HOST, HoldingPostfix, is_installed

SESSIONS = 20
WARM_UP_S = 1.0
START_S = 20.0
BACKLOG = 500
CONFIG = """
api: {port: 0}
flower: {enabled: false}
interfaces:
  feeder: {port: 0, processes: 1}
zones:
  default: {connections: 100}
  bounces: {connections: 1}
"""


class Place(NamedTuple):
    """A server, and where it runs when it is its turn.

    Attributes:
        arrange: Called before each of its turns.
        pids: Whose CPU time is its own.
    """

    name: str
    address: str
    arrange: Callable[[], None]
    pids: Callable[[], Iterable[int]]


OURS, OURS_WHOLE = "ours, one process", "ours, whole on one core"
POSTFIX, POSTFIX_FREE = "Postfix on one core", "Postfix on all cores"
CEILING = "smtp-sink on one core"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.listener")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"  # where Debian puts smtp-sink
    if not is_installed() or not shutil.which("smtp-sink"):
        print("needs root, and Postfix: apt-get install postfix", file=sys.stderr)
        return 1
    first, *others = sorted(os.sched_getaffinity(0))
    cores = Cores({first}, set(others) or {first})
    with ExitStack() as held:
        folder = given.keep or Path(held.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # Postfix has users of its own
        rig = held.enter_context(Rig(folder, CONFIG))
        rig.start_smtp()
        port = held.enter_context(held_port())
        postfix = held.enter_context(HoldingPostfix(folder / "postfix", port))
        sink = held.enter_context(smtp_sink(cores.server))
        trial = Comparison(rig, postfix, sink, cores)
        trial.run(rounds=given.rounds, seconds=given.seconds)
        lost = trial.lost()
    print("\n".join(trial.report()))
    print("\n".join(f"VIOLATION {line}" for line in lost) or "ok: all of it is stored")
    return 1 if lost else 0


class Cores(NamedTuple):
    """Numbers of processors."""

    server: set[int]
    client: set[int]

    @property
    def every(self) -> set[int]:
        return self.server | self.client


class Sink(NamedTuple):
    """A running smtp-sink."""

    address: str
    pid: int


class Comparison:
    """Turns of all servers; afterwards, the report."""

    def __init__(
        self, rig: Rig, postfix: HoldingPostfix, sink: "Sink", cores: Cores
    ) -> None:
        self._rig = rig
        self._postfix = postfix
        self._cores = cores
        self._run = f"l{secrets.token_hex(3)}"
        self.accepted: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        self.rates: defaultdict[str, list[float]] = defaultdict(list)
        self._places = self._find_places(sink)

    def run(self, *, rounds: int, seconds: float) -> None:
        """A turn of each in each round."""
        for _ in range(rounds):
            for place in self._places:
                place.arrange()
                rate = self._measure(place, seconds)
                self.rates[place.name].append(rate)

    def lost(self) -> list[str]:
        """What was accepted and is not there."""
        with MongoClient(self._rig.mongo) as client:
            ours = client.get_default_database().messages.count_documents({})
        stored = {self._rig.smtp: ours, self._postfix.address: self._postfix.count()}
        return [
            f"{address} accepted {self.accepted[address]} and has {count}"
            for address, count in stored.items()
            if count < self.accepted[address]
        ]

    def report(self) -> list[str]:
        """Ratios, each of two turns of the same round."""
        rounds = len(self.rates[OURS])
        lines = [f"listener: {SESSIONS} sessions, 1 KiB, {rounds} rounds"]
        lines.append(f"{'':24} rate, {POSTFIX} = 1         ceiling = 1  CPU a message")
        cpu_s = {name: self.cpu_s[name] / self.messages[name] for name in self.rates}
        for name in self.rates:
            to_postfix = self._ratios(name, POSTFIX)
            to_ceiling = self._ratios(name, CEILING)
            span = f"({min(to_postfix):.2f} to {max(to_postfix):.2f})"
            lines.append(
                f"{name:24} {statistics.median(to_postfix):5.2f} {span:26}"
                f"{statistics.median(to_ceiling):12.3f}"
                f"{cpu_s[name] / cpu_s[POSTFIX]:15.2f}"
            )
        return lines

    def _ratios(self, name: str, other: str) -> list[float]:
        pairs = zip(self.rates[name], self.rates[other], strict=True)
        return [rate / reference for rate, reference in pairs]

    def _find_places(self, sink: "Sink") -> tuple[Place, ...]:
        rig, postfix, cores = self._rig, self._postfix, self._cores
        ours = {name: process.pid for name, process in rig.processes.items()}
        return (
            Place(
                *(OURS, rig.smtp),
                lambda: self._pin_ours(databases=cores.every),
                lambda: [ours["smtp"]],
            ),
            Place(
                *(POSTFIX, postfix.address),
                lambda: self._pin_postfix(cores.server),
                lambda: postfix.pids,
            ),
            Place(
                *(OURS_WHOLE, rig.smtp),
                lambda: self._pin_ours(databases=cores.server),
                ours.values,
            ),
            Place(
                *(POSTFIX_FREE, postfix.address),
                lambda: self._pin_postfix(cores.every),
                lambda: postfix.pids,
            ),
            Place(CEILING, sink.address, lambda: None, lambda: [sink.pid]),
        )

    def _measure(self, place: Place, seconds: float) -> float:
        used_s = cpu_seconds(place.pids())
        with (
            pinned(self._cores.client),
            Flood(place.address, self._next_run(), sessions=SESSIONS) as flood,
        ):
            flood.send_for(WARM_UP_S)
            rate = flood.send_for(seconds)
        self.cpu_s[place.name] += cpu_seconds(place.pids()) - used_s
        self.messages[place.name] += flood.accepted
        self.accepted[place.address] += flood.accepted
        return rate

    def _next_run(self) -> str:
        return f"{self._run}{sum(map(len, self.rates.values()))}"

    def _pin_ours(self, *, databases: set[int]) -> None:
        for name, process in self._rig.processes.items():
            pin(process.pid, self._cores.server if name == "smtp" else databases)

    def _pin_postfix(self, cores: set[int]) -> None:
        for pid in self._postfix.pids:
            pin(pid, cores)


@contextmanager
def smtp_sink(cores: set[int]) -> Iterator[Sink]:
    """Run Postfix's sink there."""
    with held_port() as port:
        address = f"{HOST}:{port}"
        command = ["smtp-sink", "-u", "nobody", f"inet:{address}", str(BACKLOG)]
        with pinned(cores):
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(HOST, port)
            yield Sink(address, process.pid)
        finally:
            process.terminate()
            process.wait()


def wait_for(host: str, port: int) -> None:
    """Return once somebody greets there."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with suppress(OSError):
            Session((host, port)).close()
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody answers at {host}:{port}")


if __name__ == "__main__":
    sys.exit(main())
