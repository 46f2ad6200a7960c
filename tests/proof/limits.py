"""Many workers, one limited domain: is the limit kept, and is it used?

``python -m tests.proof.limits --workers 8 [--stop-redis | --kill-redis]``

One zone with room for many connections sends to a domain that is limited to
``CONNECTIONS`` at a time and ``RATE`` a minute. The sink's journal tells how many
connections were ever open at once, and how many messages came in any minute. With
``--stop-redis`` Redis stands still for a minute in the middle (with ``--kill-redis``
it is killed, and comes back after a minute): the limits hold all the same, mail is
taken in all the time, and nothing is lost.
"""

import argparse
import secrets
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.proof.judge import Record, Verdict, settle
from tests.proof.ledger import Ledger, Letters, Told
from tests.proof.rig import Rig
from tests.proof.sender import Load, make_clients, sending
from tests.support.dns import DnsServer
from tests.support.fast_sink import FastSink, busiest, most_open_of

DOMAIN = "one.test"
CONNECTIONS, RATE = 5, 600  # rate per minute
WINDOW_S = 60.0
TOLERANCE = 1.01
OUTAGE_S = 60.0
# Workers that have just started still learn of each other.
SETTLED_S = 10.0
STARTED_AT_ONCE = 4  # workers take two seconds of CPU each to start
MX_HOST = "127.77.0.22"
RECORDS = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue: {{lease: 20s, in_doubt_wait: 5s, defer_times: [5s, 5s, 5s, 10s, 10s, 20s, 20s]}}
interfaces:
  feeder: {{port: 0, processes: 1}}
zones:
  default: {{connections: 50, port: {port}}}
  bounces: {{connections: 1, port: {port}}}
domains:
  {domain}: {{max_connections: {connections}, rate: {rate}/minute}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.limits")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=75.0, help="of full load")
    outage = parser.add_mutually_exclusive_group()
    outage.add_argument("--stop-redis", action="store_true")
    outage.add_argument("--kill-redis", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        DnsServer(RECORDS) as dns,
    ):
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        with FastSink(folder, MX_HOST) as sink:
            config = CONFIG.format(
                dns=dns.address,
                port=sink.port,
                domain=DOMAIN,
                connections=CONNECTIONS,
                rate=RATE,
            )
            with Rig(folder, config) as rig:
                start_all(rig, given.workers)
                outage_s = OUTAGE_S if given.stop_redis or given.kill_redis else 0.0
                trial = Trial(rig, sink, seconds=given.seconds, outage_s=outage_s)
                trial.run(is_killed=given.kill_redis)
    print(f"limits workers={given.workers} outage={outage_s:.0f} s")
    print("\n".join(trial.report()))
    return 1 if trial.violations else 0


def start_all(rig: Rig, workers: int) -> None:
    """Doors and scheduler first; workers a few at a time."""
    rig.start_scheduler()
    rig.start_smtp()
    rig.start_api()
    for first in range(1, workers + 1, STARTED_AT_ONCE):
        numbers = range(first, min(first + STARTED_AT_ONCE, workers + 1))
        for name in [rig.spawn_worker("default", number) for number in numbers]:
            rig.wait_ready(name)


class Trial:
    """Load for a while, an outage of Redis in the middle if wanted, then figures."""

    def __init__(
        self, rig: Rig, sink: FastSink, *, seconds: float, outage_s: float
    ) -> None:
        self._rig = rig
        self._sink = sink
        self._seconds = seconds
        self._outage_s = outage_s
        self._run = f"l{secrets.token_hex(3)}"
        self._wait = threading.Event().wait  # nobody sets it: time passes
        self.ledger = Ledger()
        self.verdict = Verdict()
        self.outage: tuple[float, float] | None = None
        self.most_open = (0, 0.0)
        self.most_open_later = 0
        self.times: list[float] = []

    def run(self, *, is_killed: bool) -> None:
        """Send more than the limit lets through, all the time."""
        per_second = RATE / 60
        # As many as the limit lets through, and some that keep waiting; they come
        # twice as fast as they may leave.
        count = round((self._seconds + self._outage_s) * per_second * 1.1)
        load = Load(
            self.ledger,
            Letters(self._run, seed=1, mix={"": 1}, domains=[DOMAIN]),
            make_clients(*(self._rig.smtp, self._rig.api), smtp_count=4, http_count=2),
            count=count,
            rate=2 * per_second if self._outage_s else 200.0,
            deadline_s=600.0,
        )
        with sending(load):
            if self._outage_s:
                self._wait(self._seconds / 2)
                self._interrupt_redis(is_killed=is_killed)
        patience_s = 3 * count / per_second + 120
        self.verdict = settle(
            Record(self._rig.mongo, self._rig.api),
            self.ledger,
            self._sink.arrivals,
            timeout_s=patience_s,
            run=self._run,
        )
        self.times = [arrival.at for arrival in self._sink.arrivals()]
        self.most_open = self._sink.most_open()
        since = self.times[0] + SETTLED_S
        self.most_open_later, _ = most_open_of(self._sink.journal, DOMAIN, since)

    def _interrupt_redis(self, *, is_killed: bool) -> None:
        began = time.monotonic()
        if is_killed:
            self._rig.kill_redis()
            self._wait(self._outage_s)
            self._rig.restart_redis()
        else:
            self._rig.pause("redis")
            self._wait(self._outage_s)
            self._rig.resume("redis")
        self.outage = (began, time.monotonic())

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = self.verdict.violations
        most_open, _ = self.most_open
        if most_open > CONNECTIONS:
            found.append(f"{most_open} connections open at once")
        if self._busiest_minute > RATE * TOLERANCE:
            found.append(f"{self._busiest_minute} messages in a minute")
        if self.outage and not self._accepted_in_outage:
            found.append("nothing was accepted while Redis was away")
        return found

    def report(self) -> list[str]:
        """Figures and violations."""
        most_open, when = self.most_open
        times = self.times
        lasted = times[-1] - times[0] if len(times) > 1 else 0.0
        lines = [
            f"most connections open {most_open} (limit {CONNECTIONS}), "
            f"{when - times[0]:.1f} s after the first message; "
            f"{self.most_open_later} from {SETTLED_S:.0f} s on",
            f"most in a minute      {self._busiest_minute} (limit {RATE})",
            f"most in a second      {busiest(times, 1.0)}",
            f"achieved              {60 * (len(times) - 1) / lasted:.0f}/minute "
            f"over {lasted:.0f} s",
        ]
        if self.outage:
            lines.append(self._outage_line(times))
        waits = ", ".join(
            f"{door} {self.ledger.longest_s(door):.1f}" for door in ("smtp", "http")
        )
        lines.append(f"answers came after    at most s: {waits}")
        broken = [f"VIOLATION {line}" for line in self.violations]
        return lines + self.verdict.lines() + (broken or ["ok: every limit was kept"])

    def _outage_line(self, times: list[float]) -> str:
        assert self.outage is not None
        began, ended = self.outage
        sent = sum(began <= at < ended for at in times)
        return (
            f"while Redis was away  {self._accepted_in_outage} accepted, {sent} sent "
            f"({60 * sent / (ended - began):.0f}/minute)"
        )

    @property
    def _accepted_in_outage(self) -> int:
        assert self.outage is not None
        began, ended = self.outage
        return sum(
            began <= entry.at < ended for entry in self.ledger.told(Told.ACCEPTED)
        )

    @property
    def _busiest_minute(self) -> int:
        return busiest(self.times, WINDOW_S)


if __name__ == "__main__":
    sys.exit(main())
