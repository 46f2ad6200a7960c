"""A message of 100 MiB to who reads a mebibyte per second, and to who reads at once.

``python -m tests.proof.reader [--size 100MiB] [--rate 1MiB]``

By DATA and in pieces, to each of the two. However long it takes, the process that sends
holds a block and a piece, and neither the message nor what is still to be read of it.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mta.config.values import parse_size
from tests.proof.large import GROWTH_LIMIT, send, size
from tests.proof.report import MIB
from tests.support.dns import DnsServer
from tests.support.hash_sink import Hashed, HashSink
from tests.support.stack import Stack

DEFAULT_SIZE, DEFAULT_RATE = "100MiB", "1MiB"
WARM_UPS = 2
PATIENCE_S = 120.0  # beyond the time that a message takes at its reader's rate
HOST = "127.77.0.27"
READERS = ("fast-data", "fast-bdat", "slow-data", "slow-bdat")
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{keep_content: 0s}}
interfaces:
  feeder: {{port: 0, processes: 1, max_size: 4 GiB}}
zones:
  default: {{connections: 2}}
  bounces: {{connections: 1}}
{zones}
"""
ZONE = "  {name}: {{connections: 2, port: {port}, recipient_domains: [{name}.test]}}\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.reader")
    parser.add_argument("--size", type=size, default=DEFAULT_SIZE, help="as in 100MiB")
    parser.add_argument("--rate", type=parse_size, default=DEFAULT_RATE, help="per s")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, readers(given.rate) as sinks:
        trial = Trial(sinks, given.size, given.rate)
        trial.run(Path(temporary))
    print("\n".join(trial.report()))
    return 1 if trial.violations else 0


@contextlib.contextmanager
def readers(rate: int) -> Iterator[dict[str, HashSink]]:
    """The four of them; a slow one reads so many octets per second."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                HashSink(
                    HOST,
                    rate=rate if name.startswith("slow") else 0,
                    chunking=name.endswith("bdat"),
                )
            )
            for name in READERS
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One message's way to one reader.

    Attributes:
        took_s: From its first octet here to its last one there.
        grown: The most memory that each process held beyond what it held before.
    """

    reader: str
    took_s: float
    sent: Hashed
    arrived: Hashed | None
    grown: dict[str, int]

    @property
    def sender_grown(self) -> tuple[str, int]:
        """The worker that grew most, and by how much."""
        workers = {n: b for n, b in self.grown.items() if n.startswith("worker")}
        return max(workers.items(), key=lambda item: item[1])


class Trial:
    """One run; afterwards, its report."""

    def __init__(self, sinks: dict[str, HashSink], size: int, rate: int) -> None:
        self._sinks = sinks
        self._size = size
        self._rate = rate
        self.passages: list[Passage] = []

    def run(self, folder: Path) -> None:
        """Small ones first, so that all is loaded that is loaded once."""
        zones = "".join(
            ZONE.format(name=name, port=sink.port) for name, sink in self._sinks.items()
        )
        records = {
            "mx.host.test": [("A", HOST)],
            "*.test": [("MX", "10 mx.host.test.")],
        }
        with DnsServer(records) as dns:
            config = CONFIG.format(dns=dns.address, zones=zones)
            with Stack(folder, config) as stack:
                for reader in READERS:
                    for _ in range(WARM_UPS):
                        self._pass(stack, reader, 2 * MIB)
                    self.passages.append(self._pass(stack, reader, self._size))

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = []
        for passage in self.passages:
            if passage.arrived != passage.sent:
                found.append(f"{passage.reader}: {passage.arrived}, not {passage.sent}")
            name, grown = passage.sender_grown
            if grown >= GROWTH_LIMIT:
                found.append(f"{passage.reader}: {name} grew by {grown / MIB:.0f} MiB")
            least_s = 0.8 * self._size / self._rate
            if passage.reader.startswith("slow") and passage.took_s < least_s:
                found.append(f"{passage.reader}: read in {passage.took_s:.1f} s")
        return found

    def report(self) -> list[str]:
        """Figures and violations."""
        lines = [
            f"reader size={self._size / MIB:.0f} MiB rate={self._rate / MIB} MiB/s"
        ]
        for passage in self.passages:
            name, grown = passage.sender_grown
            lines.append(
                f"{passage.reader:10} {passage.took_s:7.1f} s, "
                f"{name} grew by {grown / MIB:+.1f} MiB"
            )
        broken = [f"VIOLATION {line}" for line in self.violations]
        return lines + (broken or ["ok: neither size nor slowness costs memory"])

    def _pass(self, stack: Stack, reader: str, size_bytes: int) -> Passage:
        stack.peak_memory()  # from here on the peak is counted anew
        before = stack.peak_memory()
        began = time.monotonic()
        sent = send(stack, "BDAT", f"bob@{reader}.test", size_bytes)
        patience_s = PATIENCE_S + size_bytes / self._rate
        arrived = self._sinks[reader].next(patience_s)
        took_s = time.monotonic() - began
        peak = stack.peak_memory()
        return Passage(
            reader=reader,
            took_s=took_s,
            sent=sent,
            arrived=arrived,
            grown={name: peak[name] - before.get(name, 0) for name in peak},
        )


if __name__ == "__main__":
    sys.exit(main())
