"""A million deferred deliveries: what do they cost those who have nothing to do?

``python -m tests.proof.million [--rows 1000000]``

Measures a system that has none and the same system once it has them: memory of
workers, scheduler and Redis, the time of the scheduler's tick, and whether the few
that do become due leave on time. The rows are written by the store's own functions.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mta.delivery import DeliveryState, Outcome
from mta.intake.ids import MessageIds
from mta.mail.address import domain_of
from mta.mail.envelope import Envelope
from mta.reply import make_reply
from mta.store.deliveries import ETA_LEAD, Deliveries, settlement
from mta.store.documents import Body, Recipient, StoredMessage, delivery_document
from mta.store.messages import Messages
from mta.store.mongo import SPOOL_BUCKET, Document, Mongo, connect
from mta.store.spool import Spool
from tests.proof.report import MIB, PER_SECOND, percentile
from tests.proof.rig import Rig
from tests.support.dns import DnsServer
from tests.support.fast_sink import FastSink

ZONES = ("default", "news", "shop", "bulk")
TENANTS = 20
RECIPIENTS = 10_000  # of a message
BATCH = 5_000
TICKS = 60
TIMED = 200
TICK_LIMIT_S = 0.1
LATE_LIMIT_S = 2.0
GROWTH_LIMIT = 16 * MIB
MX_HOST = "127.77.0.23"
RECORDS = {"mx.host.test": [("A", MX_HOST)], "*.test": [("MX", "10 mx.host.test.")]}
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
zones:
  default: {{connections: 20, port: {port}}}
  news: {{connections: 20, port: {port}, sender_domains: [news.test]}}
  shop: {{connections: 5, port: {port}, sender_domains: [shop.test]}}
  bulk: {{connections: 5, port: {port}, sender_domains: [bulk.test]}}
  bounces: {{connections: 1, port: {port}}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.million")
    parser.add_argument("--rows", type=int, default=1_000_000)
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
            with Rig(folder, config) as rig:
                return prove(rig, sink, given.rows)


def prove(rig: Rig, sink: FastSink, rows: int) -> int:
    """Measure, fill, measure again."""
    rig.start_scheduler()
    rig.start_api()
    for zone in ("default", "news"):
        rig.start_worker(zone)
    filler = Filler(rig)
    violations: list[str] = []
    before = Measured(rig, sink, filler, "none")
    violations += before.violations()
    began = time.monotonic()
    filler.insert_deferred(rows)
    print(f"inserted {rows} rows in {time.monotonic() - began:.0f} s")
    after = Measured(rig, sink, filler, f"{rows} rows")
    violations += after.violations()
    for name, size in sorted(after.memory.items()):
        grown = size - before.memory[name]
        print(
            f"  {name:18} {before.memory[name] / MIB:6.1f} -> {size / MIB:6.1f} MiB"
            f"  {grown / MIB:+.1f}"
        )
        if grown > GROWTH_LIMIT and name not in ("mongod", "api"):
            violations.append(f"{name} grew by {grown / MIB:.0f} MiB")
    print("\n".join(f"VIOLATION {line}" for line in violations) or "ok")
    return 1 if violations else 0


class Measured:
    """One series of measurements, printed as they come."""

    def __init__(self, rig: Rig, sink: FastSink, filler: "Filler", what: str) -> None:
        self._what = what
        due = filler.insert_timed(f"t{time.monotonic_ns()}")
        expected = len(sink.arrivals()) + len(due)
        self.ticks = tick_times(rig, TICKS)
        sink.wait_for_count(expected, 60.0)
        arrived = {arrival.recipient: arrival.at for arrival in sink.arrivals()}
        # due_at is on the wall clock, the journal on the monotonic one.
        offset = time.time() - time.monotonic()
        self.late = [
            arrived[who] + offset - at.timestamp()
            for who, at in due.items()
            if who in arrived
        ]
        self.missing = len(due) - len(self.late)
        self.memory = rig.resident_bytes()
        print(
            f"{what}: tick median {statistics.median(self.ticks) * 1000:.1f} ms, "
            f"max {max(self.ticks) * 1000:.1f} ms of {len(self.ticks)}; "
            f"{len(self.late)} due rows left after due_at "
            f"s: earliest {min(self.late):.2f}, "
            f"median {percentile(self.late, 50):.2f}, "
            f"p95 {percentile(self.late, 95):.2f}, latest {max(self.late):.2f}"
        )

    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = []
        if statistics.median(self.ticks) >= TICK_LIMIT_S:
            found.append(f"{self._what}: ticks take too long")
        if max(self.late) > LATE_LIMIT_S:
            found.append(f"{self._what}: rows left {max(self.late):.1f} s late")
        if self.missing:
            found.append(f"{self._what}: {self.missing} due rows did not leave")
        return found


def tick_times(rig: Rig, count: int) -> list[float]:
    """The time of each of the next ``count`` ticks, from the scheduler's metric."""
    pause = threading.Event().wait  # nobody sets it
    times: list[float] = []
    seconds, ticks = read_ticks(rig)
    deadline = time.monotonic() + 3 * count / PER_SECOND
    while len(times) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {len(times)} ticks")
        pause(0.2)
        seconds_now, ticks_now = read_ticks(rig)
        if new := ticks_now - ticks:
            times += [(seconds_now - seconds) / new] * new
            seconds, ticks = seconds_now, ticks_now
    return times


def read_ticks(rig: Rig) -> tuple[float, int]:
    """Seconds spent in ticks, and their number."""
    found = {"sum": 0.0, "count": 0.0}
    with urllib.request.urlopen(f"{rig.api}/metrics", timeout=30) as response:
        for line in response.read().decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("mta_scheduler_tick_seconds_"):
                found[name.rpartition("_")[2].partition("{")[0]] = float(value)
    return found["sum"], int(found["count"])


class Filler:
    """Writes deferred rows, with messages and bodies they belong to."""

    def __init__(self, rig: Rig) -> None:
        self._db: Mongo = connect(rig.mongo, name="proof")
        self._deliveries = Deliveries(self._db, lease=rig.config.queue.lease)
        self._messages = Messages(self._db)
        self._spool = Spool(self._db, SPOOL_BUCKET)
        self._ids = MessageIds()

    def insert_deferred(self, count: int) -> None:
        """``count`` rows in all zones, due in two days and later."""
        now = _now()
        for number, first in enumerate(range(0, count, RECIPIENTS)):
            size = min(RECIPIENTS, count - first)
            zone = ZONES[number % len(ZONES)]
            recipients = [
                Recipient(f"m{first + n}@d{n % 500}.test", f"d{n % 500}.test", zone)
                for n in range(size)
            ]
            message = self._insert_message(recipients, tenant=f"t{number % TENANTS}")
            due_at = now + timedelta(days=2, minutes=number)
            rows = _rows(message, recipients, itertools.repeat(due_at))
            while batch := list(itertools.islice(rows, BATCH)):
                self._deliveries.insert(batch)

    def insert_timed(self, prefix: str) -> dict[str, datetime]:
        """``TIMED`` rows, due one after another from 10 s on; when, by recipient."""
        start = _now() + timedelta(seconds=10)
        addresses = [f"{prefix}-{n}@d{n % 20}.test" for n in range(TIMED)]
        due = {
            address: start + timedelta(milliseconds=100 * n)
            for n, address in enumerate(addresses)
        }
        recipients = [Recipient(who, domain_of(who), "default") for who in due]
        message = self._insert_message(recipients, tenant="timed")
        self._deliveries.insert(list(_rows(message, recipients, iter(due.values()))))
        return due

    def _insert_message(
        self, recipients: list[Recipient], *, tenant: str
    ) -> StoredMessage:
        now = _now()
        writer = self._spool.open(expires_at=now + timedelta(days=40))
        body = b"Hello\r\n" * 100
        writer.write(body)
        message = StoredMessage(
            id=self._ids(),
            envelope=Envelope(
                reverse_path="ada@a.test",
                recipients=(),
                interface="proof",
                protocol="HTTP",
                received_at=now,
                session_id="proof",
            ),
            header=b"From: ada@a.test\r\nSubject: proof\r\n",
            body=Body(
                file_id=writer.file_id,
                size=len(body),
                hash="",
                md5="",
                is_8bit=False,
            ),
            message_id="<proof@a.test>",
            subject="proof",
            created_at=now,
            due_at=now,
            give_up_at=now + timedelta(days=30),
            recipient_count=len(recipients),
            tenant=tenant,
        )
        writer.close(uploaded_at=now, filename=message.id, metadata={"created": now})
        self._messages.insert(self._messages.encode(message, recipients, now=now))
        # From here on nobody else writes the rows.
        self._messages.mark_expanded(message.id)
        return message


def _rows(
    message: StoredMessage, recipients: list[Recipient], due: Iterator[datetime]
) -> Iterator[Document]:
    """Rows as one deferral has left them."""
    for number, recipient in enumerate(recipients, start=1):
        due_at = next(due)
        outcome = Outcome(
            at=message.created_at,
            state=DeliveryState.DEFERRED,
            reply=make_reply(451, "4.7.1", "come back later"),
            category="other",
            host="mx.host.test",
            address=MX_HOST,
            attempt=1,
            due_at=due_at,
        )
        update = settlement(outcome, keep_until=message.give_up_at)
        row = delivery_document(
            message, number, recipient, ring_at=due_at - ETA_LEAD, rung_at=None
        )
        yield row | update["$set"] | {"log": update["$push"]["log"]["$each"]}


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


if __name__ == "__main__":
    sys.exit(main())
