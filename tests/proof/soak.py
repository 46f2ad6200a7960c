"""Hundreds of thousands of messages in a row: does anything grow?

``python -m tests.proof.soak [--messages 200000]``

A few sessions submit messages of 1 KiB, and others take their places after a hundred
each. Every tenth of the messages is delivered before the next one begins, and what
each process holds is written down then: after the first tenth all of it is warm, and
at the end it must not be more. Bodies are removed at once, and records after an hour,
which is as soon as may be: mongod holds more of them all the time, and is shown alone.
"""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.proof.flood import Flood
from tests.proof.judge import Record
from tests.proof.processes import resident
from tests.proof.report import MIB
from tests.support.dns import DnsServer
from tests.support.fast_sink import FastSink
from tests.support.stack import Stack

PARTS = 10
SESSIONS = 8
PER_SESSION = 100
GROWTH_LIMIT = 0.1
SLOWEST = 25.0  # messages per second, all the way
REST_S = 60.0
MX_HOST = "127.77.0.27"
RECORDS = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{keep_content: 0s, keep_records: 1h}}
interfaces:
  feeder: {{port: 0, processes: 2}}
zones:
  default: {{connections: 20, port: {port}}}
  bounces: {{connections: 1, port: {port}}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.soak")
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        DnsServer(RECORDS) as dns,
    ):
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        with FastSink(folder, MX_HOST) as sink:
            config = CONFIG.format(dns=dns.address, port=sink.port)
            with Stack(folder, config) as stack:
                soak = Soak(stack, sink, messages=given.messages)
                soak.run()
    print("\n".join(soak.report()))
    return 1 if soak.violations else 0


class Soak:
    """One run against a stack, whose table is printed as it goes on."""

    def __init__(self, stack: Stack, sink: FastSink, *, messages: int) -> None:
        self._stack = stack
        self._sink = sink
        self._messages = messages
        self._run = f"s{secrets.token_hex(3)}"
        self.memory: list[dict[str, int]] = []
        self.left = 0
        self.lost = 0
        self.doubled = 0

    def run(self) -> None:
        """Ten parts, one after another."""
        names = sorted(resident(self._stack))
        print(f"soak messages={self._messages}, MiB of each process")
        print("      %  accepted/s  " + "  ".join(names))
        address: str = next(iter(self._stack.ready["smtp"].values()))
        for part in range(1, PARTS + 1):
            before = self._messages * (part - 1) // PARTS
            until = self._messages * part // PARTS
            rate = self._send(address, part, until - before)
            self._sink.wait_for_count(until, REST_S + (until - before) / SLOWEST)
            memory = resident(self._stack)
            self.memory.append(memory)
            held = "  ".join(f"{memory[n] / MIB:{len(n)}.1f}" for n in names)
            print(f"  {100 * part // PARTS:5}  {rate:10.0f}  {held}", flush=True)
        record = Record(self._stack.ready["mongo"], self._stack.ready["api"])
        self.left = record.wait_until_finished(REST_S, self._run)
        arrived = [arrival.recipient for arrival in self._sink.arrivals()]
        self.lost = self._messages - len(set(arrived))
        self.doubled = len(arrived) - len(set(arrived))

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = [
            f"{name} grew by {grown:.1%}"
            for name, grown in self._growth().items()
            if grown > GROWTH_LIMIT and name != "mongod"
        ]
        counts = {
            "are still in the queue": self.left,
            "were lost": self.lost,
            "came twice, and nothing had failed": self.doubled,
        }
        return found + [f"{n} {what}" for what, n in counts.items() if n]

    def report(self) -> list[str]:
        """What the table comes to, and violations."""
        growth = ", ".join(f"{n} {g:+.1%}" for n, g in self._growth().items())
        lines = [
            f"since the first tenth {growth} (at most {GROWTH_LIMIT:.0%}, but mongod)",
            f"lost {self.lost}, doubled {self.doubled}, left in the queue {self.left}",
        ]
        broken = [f"VIOLATION {line}" for line in self.violations]
        return lines + (broken or ["ok: nothing grew, and nothing was lost"])

    def _send(self, address: str, part: int, messages: int) -> float:
        run = f"{self._run}-{part}"
        with Flood(address, run, sessions=SESSIONS, per_session=PER_SESSION) as flood:
            return flood.send_many(messages)

    def _growth(self) -> dict[str, float]:
        first, last = self.memory[0], self.memory[-1]
        return {name: last[name] / first[name] - 1 for name in sorted(last)}


if __name__ == "__main__":
    sys.exit(main())
