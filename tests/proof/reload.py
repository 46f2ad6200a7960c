"""Limits change under load, time and again: how soon does it hold, and what is lost?

``python -m tests.proof.reload [--rounds 5]``

One zone has more mail than its connections can carry, another one more than its rate
lets through. Each has three worker processes: that of ``mta up``, and two that were
started by hand and serve both. In every round ``mta reload`` raises both limits, and
the next one lowers them; those started by hand hear SIGHUP when it has returned.

From that instant on it is measured at the MX, by its own clock. Lowered limits: until
when more connections were open, or opened, than the new limit allows, and messages
came faster than the new rate. Raised ones: when more connections were open than the
old limit allows, and until when a worker still went on as before: opened a connection,
or sent a message, and had not yet done so where the old limit would have forbidden it.
"""

import argparse
import itertools
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.proof.changes import (
    Came,
    Deed,
    Journal,
    Step,
    last_above,
    last_as_before,
    last_opened_over,
    last_over,
)
from tests.proof.fellows import Fellow
from tests.proof.judge import Record, Verdict, settle
from tests.proof.ledger import Ledger, Letters, Told
from tests.proof.sender import Load, make_clients
from tests.support.fast_sink import FastSink
from tests.support.stack import Stack

HOLDS_IN_S = 2.0
WATCHED_S = 6.0  # after each reload
SETTLED_IN_S = 60.0
HEARD_IN_S = 30.0  # as all that waits is woken, too
PATIENCE_S = 240.0
FELLOWS = ("two.fellow.test", "three.fellow.test")
WIDE_HOST, PACED_HOST = "127.77.0.29", "127.77.0.30"
ANSWER_S = 0.4  # until a message to the wide zone is answered
LATE_S = 1.0  # after its turn, a busy machine may send a message
# More comes in than leaves within the low limits, and less than within the high ones.
LOAD = {"wide": 25.0, "paced": 22.0}  # messages per second
BACKLOG = 60


class Terms(NamedTuple):
    """What changes: connections of the wide zone, rate per second of the paced one."""

    connections: int
    rate: int


LOW, HIGH = Terms(4, 6), Terms(12, 30)
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
queue: {{default_zone: wide}}
interfaces:
  feeder: {{port: 0, processes: 2}}
zones:
  wide:
    {{connections: {connections}, host: {wide}, port: {port}}}
  paced:
    {{connections: 10, throttling: {rate}/s, host: {paced}, port: {port},
    recipient_domains: [paced.test]}}
  bounces: {{connections: 1, host: {wide}, port: {port}}}
domains:
  default: {{max_connections: 100}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.reload")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder for state and logs")
    given = parser.parse_args()
    with ExitStack() as held:
        temporary = held.enter_context(tempfile.TemporaryDirectory())
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        sink = held.enter_context(FastSink(folder, WIDE_HOST, PACED_HOST))
        stack = held.enter_context(Stack(folder, config_of(LOW, sink.port)))
        zones = tuple(LOAD)
        fellows = [
            held.enter_context(Fellow(stack, folder, name, zones)) for name in FELLOWS
        ]
        trial = Trial(stack, fellows, sink, folder)
        trial.run(given.rounds)
    print("\n".join(trial.report()))
    return 1 if trial.violations else 0


def config_of(terms: Terms, port: int) -> str:
    """The text of zones.yaml."""
    return CONFIG.format(**terms._asdict(), port=port, wide=WIDE_HOST, paced=PACED_HOST)


class Watch(NamedTuple):
    """One reload: what it was from and to, and between which instants it was seen.

    Attributes:
        began: When the command was given.
        since: When it had returned.
        until: When the next one was given.
        heard_s: When the workers beside ``mta up`` had reloaded, after ``since``.
    """

    old: Terms
    new: Terms
    began: float
    since: float
    until: float
    heard_s: float

    @property
    def is_raise(self) -> bool:
        return self.new > self.old


class Figures(NamedTuple):
    """How long after a reload the old limits were last seen, or the new ones first."""

    open_s: float
    opened_s: float
    rate_s: float
    sent: dict[str, int]  # by each worker of both zones, from HOLDS_IN_S on

    @property
    def worst_s(self) -> float:
        return max(self.open_s, self.opened_s, self.rate_s)


class Trial:
    """Load without a pause, and a reload every few seconds."""

    def __init__(
        self, stack: Stack, fellows: Sequence[Fellow], sink: FastSink, folder: Path
    ) -> None:
        self._stack = stack
        self._fellows = fellows
        self._sink = sink
        self._folder = folder
        self._run = f"r{secrets.token_hex(3)}"
        self._terms = LOW
        self.ledger = Ledger()
        self.verdict = Verdict()
        self.faults: list[str] = []
        self.watches: list[Watch] = []
        self.broken = 0
        self.rows: list[Figures] = []

    def run(self, rounds: int) -> None:
        """Raise and lower the limits so often; then let all mail arrive."""
        with self._loaded():
            if not self.ledger.wait_for_accepted(2 * BACKLOG, SETTLED_IN_S):
                self.faults.append("mail was not taken in")
            for terms in itertools.islice(itertools.cycle((HIGH, LOW)), 2 * rounds):
                self._change(terms)
        self._reload(HIGH)
        self.verdict = settle(
            Record(self._stack.ready["mongo"], self._stack.ready["api"]),
            self.ledger,
            self._sink.arrivals,
            timeout_s=PATIENCE_S,
            run=self._run,
        )
        self.broken = len(self._sink.unended())
        journal = Journal(self._sink.journal)
        self.rows = [self._figures(journal, watch) for watch in self.watches]

    @contextmanager
    def _loaded(self) -> Iterator[None]:
        smtp: str = next(iter(self._stack.ready["smtp"].values()))
        loads = []
        for zone, rate in LOAD.items():
            prefix = f"slow{ANSWER_S}-" if zone == "wide" else ""
            loads.append(
                Load(
                    self.ledger,
                    Letters(
                        f"{self._run}-{zone}",
                        seed=1,
                        mix={prefix: 1},
                        domains=[f"{zone}.test"],
                    ),
                    make_clients(
                        smtp, self._stack.ready["api"], smtp_count=2, http_count=1
                    ),
                    count=sys.maxsize,
                    rate=rate,
                    deadline_s=3600.0,
                )
            )
        for load in loads:
            load.start()
        try:
            yield
        finally:
            for load in loads:
                load.stop()

    def _change(self, new: Terms) -> None:
        old, began = self._terms, time.monotonic()
        since, heard_s = self._reload(new)
        over_at = since + WATCHED_S
        self._sink.wait_until(lambda _: time.monotonic() >= over_at, WATCHED_S)
        watch = Watch(old, new, began, since, time.monotonic(), heard_s)
        self.watches.append(watch)

    def _reload(self, new: Terms) -> tuple[float, float]:
        """Reload; returns when the command had returned, and when all had heard."""
        text = config_of(new, self._sink.port)
        (self._folder / "zones.yaml").write_text(text)
        command = [sys.executable, "-m", "mta.cli.main", "reload", "--state"]
        done = subprocess.run(
            [*command, str(self._folder / "var")],
            env={k: v for k, v in os.environ.items() if not k.startswith("MTA_")},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        since, wall = time.monotonic(), time.time()
        if done.returncode:
            self.faults.append(f"mta reload: {done.stdout}{done.stderr}")
        for fellow in self._fellows:
            fellow.reload()
        heard = [fellow.wait_reloaded(HEARD_IN_S) for fellow in self._fellows]
        self._terms = new
        return since, max((at or float("inf")) - wall for at in heard)

    def _figures(self, journal: Journal, watch: Watch) -> Figures:
        began, since, until = watch.began, watch.since, watch.until
        steps, came = journal.steps[WIDE_HOST], journal.came[PACED_HOST]
        sent = {
            f"{name} {client}": sum(
                one.client == client and since + HOLDS_IN_S <= one.at < until
                for one in journal.came[host]
            )
            for name, host in (("wide", WIDE_HOST), ("paced", PACED_HOST))
            for client in clients_of(journal.came[host])
        }
        if watch.is_raise:
            opened = openings(steps, watch.old.connections, began, until)
            sooner = sendings(came, watch.old.rate, began, until)
            more = min((d.at for d in opened if d.is_new), default=float("inf"))
            return Figures(
                max(0.0, more - since),
                last_as_before(opened, since) - since,
                last_as_before(sooner, since) - since,
                sent,
            )
        limit = watch.new.connections
        times = [one.at for one in came if one.at < until]
        return Figures(
            last_over(steps, limit, since, until) - since,
            last_opened_over(steps, limit, since, until) - since,
            last_above(times, watch.new.rate, LATE_S, since) - since,
            sent,
        )

    @property
    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = [*self.faults, *self.verdict.violations]
        refused = self.ledger.told(Told.REFUSED) + self.ledger.told(Told.UNKNOWN)
        if refused:
            found.append(
                f"{len(refused)} clients were refused or cut, such as by "
                f"{refused[0].door}: {refused[0].answer}"
            )
        if self.broken:
            found.append(f"{self.broken} connections to the MX were cut")
        if self.verdict.duplicates:
            found.append(f"{len(self.verdict.duplicates)} messages came twice")
        for number, (watch, row) in enumerate(
            zip(self.watches, self.rows, strict=True), start=1
        ):
            what = f"reload {number}, {said(watch.old)} to {said(watch.new)}"
            if row.worst_s > HOLDS_IN_S:
                found.append(f"{what}: it took {row.worst_s:.2f} s to hold everywhere")
            if watch.heard_s > HEARD_IN_S:
                found.append(f"{what}: not every worker says that it has reloaded")
        return found + [
            f"{name} sent nothing within {what} limits, so this tells nothing of it"
            for what, sent in (("raised", self._sent(True)), ("lowered", self._sent()))
            for name, count in sent.items()
            if not count
        ]

    def _sent(self, is_raise: bool = False) -> Counter[str]:
        """What each worker sent for a zone from two seconds after the reloads on."""
        sent: Counter[str] = Counter()
        for watch, row in zip(self.watches, self.rows, strict=True):
            if watch.is_raise == is_raise:
                sent.update(row.sent)
        return sent

    def report(self) -> list[str]:
        """Figures and violations."""
        lines = [
            f"reload rounds={len(self.watches) // 2}, {1 + len(FELLOWS)} workers of "
            f"each zone, {self.verdict.accepted} messages",
            "seconds after mta reload had returned; wide has connections, paced a rate",
        ]
        lines += [
            self._line(watch, row)
            for watch, row in zip(self.watches, self.rows, strict=True)
        ]
        for is_raise, what in ((False, "lowered"), (True, "raised")):
            rows = [
                row
                for watch, row in zip(self.watches, self.rows, strict=True)
                if watch.is_raise == is_raise
            ]
            worst = max((row.worst_s for row in rows), default=0.0)
            sent = self._sent(is_raise)
            carried = ", ".join(f"{name} {sent[name]}" for name in sorted(sent))
            lines += [
                f"worst, {what:<7} {worst:.2f} s (limit {HOLDS_IN_S:.0f} s); "
                f"then sent: {carried}"
            ]
        refused = self.ledger.told(Told.REFUSED) + self.ledger.told(Told.UNKNOWN)
        lines += [
            f"lost {len(self.verdict.lost)}, came twice {len(self.verdict.duplicates)}",
            f"cut: {len(refused)} of clients, {self.broken} to the MX",
        ]
        broken = [f"VIOLATION {line}" for line in self.violations]
        return lines + (broken or ["ok: nothing lost, nobody cut, all in time"])

    def _line(self, watch: Watch, row: Figures) -> str:
        took = f"took {watch.since - watch.began:.1f} s, the others {watch.heard_s:.2f}"
        if watch.is_raise:
            figures = (
                f"more open {row.open_s:.2f}, a worker opened as before "
                f"{row.opened_s:.2f}, sent as before {row.rate_s:.2f}"
            )
        else:
            figures = (
                f"too many open {row.open_s:.2f}, opened {row.opened_s:.2f}, "
                f"too fast {row.rate_s:.2f}"
            )
        return f"  {said(watch.old)} to {said(watch.new)}: {figures} ({took})"


def clients_of(came: Sequence[Came]) -> list[str]:
    """The workers, by what they call themselves."""
    return sorted({one.client for one in came})


def openings(
    steps: Sequence[Step], limit: int, since: float, until: float
) -> list[Deed]:
    """Connections that were opened; new is more than ``limit`` of them."""
    return [
        Deed(step.at, step.client, step.is_open > limit)
        for step in steps
        if step.is_opening and since <= step.at < until
    ]


def sendings(
    came: Sequence[Came], per_second: int, since: float, until: float
) -> list[Deed]:
    """Messages that were sent; new is clearly sooner after another than the rate."""
    gap_s = 0.6 / per_second
    return [
        Deed(one.at, one.client, one.gap_s < gap_s)
        for one in came
        if since <= one.at < until
    ]


def said(terms: Terms) -> str:
    return f"{terms.connections}, {terms.rate}/s"


if __name__ == "__main__":
    sys.exit(main())
