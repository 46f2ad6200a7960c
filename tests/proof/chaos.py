"""Kills everything, again and again, under load; then counts (``make chaos``).

Thousands of messages go in through both doors while processes of every kind are
killed with ``kill -9`` at random. When the queue is empty, what the clients were
told is held against what arrived: nothing may be lost, and no duplicate silent.
"""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.proof.judge import Record, Verdict, settle
from tests.proof.killing import Killer
from tests.proof.ledger import Ledger, Letters, Told
from tests.proof.sender import Load, make_clients
from tests.support.dns import DnsServer
from tests.support.fast_sink import FastSink
from tests.support.stack import Stack

MX_HOST = "127.77.0.21"
RECORDS = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
SENDERS = ("ada@a.test", "ada@a.test", "news@news.test", "shop@shop.test")
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue:
  lease: 5s
  in_doubt_wait: 2s
  defer_times: [2s, 2s, 2s, 5s, 5s, 5s, 10s, 10s, 10s, 20s, 20s, 20s, 20s, 20s, 20s]
interfaces:
  feeder: {{port: 0, processes: 2}}
zones:
  default: {{connections: 20, port: {port}}}
  news: {{connections: 10, port: {port}, sender_domains: [news.test]}}
  shop: {{connections: 5, port: {port}, sender_domains: [shop.test]}}
  bounces: {{connections: 1, port: {port}}}
"""
DRAIN_S = 240.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.chaos")
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=42)
    parser.add_argument("--rate", type=float, default=50.0, help="per second")
    parser.add_argument("--gap", type=float, default=2.0, help="s between kills, mean")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    with (
        tempfile.TemporaryDirectory() as temporary,
        DnsServer(RECORDS) as dns,
    ):
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        with FastSink(folder, MX_HOST) as sink:
            config = CONFIG.format(dns=dns.address, port=sink.port)
            with Stack(folder, config) as stack:
                chaos = Chaos(
                    stack, sink, messages=given.messages, rate=given.rate, seed=seed
                )
                chaos.run(kills=given.kills, gap_s=given.gap)
    print("\n".join(chaos.report()))
    return 1 if chaos.violations else 0


class Chaos:
    """One run against a stack; afterwards, its report."""

    def __init__(
        self, stack: Stack, sink: FastSink, *, messages: int, rate: float, seed: int
    ) -> None:
        self._stack = stack
        self._sink = sink
        self._messages = messages
        self._rate = rate
        self._seed = seed
        self._run = f"x{secrets.token_hex(3)}"
        self.ledger = Ledger()
        self.verdict = Verdict()
        self.kills_under_load = 0
        self.took_s = {"sending": 0.0, "killing": 0.0, "draining": 0.0}

    def run(self, *, kills: int, gap_s: float, drain_s: float = DRAIN_S) -> None:
        """Send and kill, wait for the end, judge."""
        ready = self._stack.ready
        began = time.monotonic()
        load = Load(
            self.ledger,
            Letters(self._run, seed=self._seed, senders=SENDERS),
            make_clients(
                *(next(iter(ready["smtp"].values())), ready["api"]),
                smtp_count=12,
                http_count=4,
            ),
            count=self._messages,
            rate=self._rate,
            deadline_s=600.0,
        )
        self.killer = Killer(
            self._stack.supervisor, kills=kills, gap_s=gap_s, seed=self._seed
        )
        load.start()
        self.killer.start()
        load.wait()
        sent_at = time.monotonic()
        self.took_s["sending"] = sent_at - began
        self.killer.wait()
        self.kills_under_load = sum(at <= sent_at for at in self.killer.killed_at)
        self.took_s["killing"] = time.monotonic() - began
        self.verdict = settle(
            Record(ready["mongo"], ready["api"]),
            self.ledger,
            self._sink.arrivals,
            timeout_s=drain_s,
            run=self._run,
        )
        self.took_s["draining"] = time.monotonic() - began - self.took_s["killing"]

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = self.verdict.violations
        if self.killer.not_back:
            found.append(f"did not come back: {', '.join(self.killer.not_back)}")
        accepted = len(self.ledger.told(Told.ACCEPTED))
        if accepted < self._messages:
            found.append(f"only {accepted} of {self._messages} could be sent")
        return found

    def report(self) -> list[str]:
        """All figures, then the violations."""
        kills = self.killer.kills
        killed = ", ".join(f"{kind} {kills[kind]}" for kind in sorted(kills))
        back = ", ".join(
            f"{kind} {max(times):.1f}"
            for kind, times in sorted(self.killer.back_after_s.items())
        )
        took = ", ".join(f"{what} {s:.0f} s" for what, s in self.took_s.items())
        waits = ", ".join(f"{d} {self.ledger.longest_s(d):.1f}" for d in _DOORS)
        lines = [
            f"chaos seed={self._seed} messages={self._messages}: {took}",
            *self.verdict.lines(),
            f"kills                 {kills.total()}: {killed}",
            f"  while mail came in  {self.kills_under_load}",
            f"started again after   at most s: {back}",
            f"answers came after    at most s: {waits}",
        ]
        broken = [f"VIOLATION {line}" for line in self.violations]
        return lines + (broken or ["ok: every promise was kept"])


_DOORS = ("smtp", "http")

if __name__ == "__main__":
    sys.exit(main())
