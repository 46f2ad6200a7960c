"""Every fault we could think of, under load: nothing lost, no duplicate silent.

Messages go in through both doors while something breaks. When the queue is empty,
what the clients were told is held against what arrived. What is promised then:

- a message that was accepted arrives, or is known to have been refused (I1);
- whole, and at the right place (I2);
- one that was not accepted does not arrive (I3);
- one that arrives twice is listed as having been in doubt (I4);
- none is both delivered and bounced (I5);
- and the queue comes to rest within a minute of the fault's end (I6).

``make chaos`` is the long version.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mta.config.load import load_config
from mta.embedded import commands
from mta.embedded.child import READY_FILE
from tests.proof.chaos import Chaos
from tests.proof.judge import Record, Verdict, settle
from tests.proof.killing import live_processes
from tests.proof.ledger import Ledger, Letters, Told
from tests.proof.report import percentile
from tests.proof.sender import Load, make_clients, sending
from tests.support.dns import DnsServer
from tests.support.fast_sink import Arrival, FastSink
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

MX_HOST, SILENT_HOST = "127.77.0.4", "127.77.0.5"
MANY, RATE = 300, 150.0
REST_S = 60.0  # I6
CLOCK_PAUSE_S = 6.0
# The connections of a killed worker count for so long.
DEAD_SLOTS_S = 60.0
CONFIG = """
api: {{port: 0}}
flower: {{enabled: false}}
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
queue:
  lease: 5s
  in_doubt_wait: 2s
  defer_times: [2s, 2s, 2s, 2s, 5s, 5s, 5s, 5s, 10s, 10s]
interfaces:
  feeder: {{port: 0, processes: 2}}
zones:
  default: {{connections: 20, port: {port}}}
  news: {{connections: 10, port: {port}, sender_domains: [news.test]}}
  shop: {{connections: 5, port: {port}, sender_domains: [shop.test]}}
  clock:
    {{connections: 5, port: {port}, sender_domains: [clock.test], defer_times: [6s]}}
  bounces: {{connections: 1, port: {port}}}
"""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    records = {
        "mx.host.test": [("A", MX_HOST)],
        "mx.silent.test": [("A", SILENT_HOST)],
        "silent.test": [("MX", "10 mx.silent.test.")],
        "*.test": [("MX", "10 mx.host.test.")],
    }
    with DnsServer(records) as server:
        yield server


@pytest.fixture(scope="module")
def mx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastSink]:
    with FastSink(tmp_path_factory.mktemp("sink"), MX_HOST) as sink:
        yield sink


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, dns: DnsServer, mx: FastSink
) -> Iterator[Stack]:
    """A system of this file's own: what happens here does no other test any good."""
    config = CONFIG.format(dns=dns.address, port=mx.port)
    with Stack(tmp_path_factory.mktemp("matrix"), config) as stack:
        yield stack


class Course:
    """Load on the system while something breaks, and the judgement at the end."""

    def __init__(self, system: Stack, mx: FastSink) -> None:
        self._system = system
        self._mx = mx
        self._run = f"m{secrets.token_hex(3)}"
        self._before = len(mx.arrivals())
        self.ledger = Ledger()

    @contextlib.contextmanager
    def load(self, *, count: int = MANY, **options) -> Iterator[None]:
        """Send while the block runs; all is accepted when it ends.

        Args:
            options: As those of ``Letters``.
        """
        ready = self._system.ready
        load = Load(
            self.ledger,
            Letters(self._run, seed=1, **options),
            make_clients(
                *(next(iter(ready["smtp"].values())), ready["api"]),
                smtp_count=6,
                http_count=2,
            ),
            count=count,
            rate=RATE,
            deadline_s=REST_S,
        )
        with sending(load):
            yield

    def accepted(self) -> dict[str, float]:
        """When each recipient was promised."""
        told = self.ledger.told(Told.ACCEPTED)
        return {who: entry.at for entry in told for who in entry.letter.recipients}

    def wait_until_under_way(self) -> None:
        """Some has arrived, much has not."""
        assert self._mx.wait_for_count(self._before + MANY // 10, 30.0)

    def judge(self) -> Verdict:
        """Wait until the queue has come to rest, then judge."""
        ready = self._system.ready
        return settle(
            Record(ready["mongo"], ready["api"]),
            self.ledger,
            self._mx.arrivals,
            timeout_s=REST_S,
            run=self._run,
        )


@pytest.fixture
def course(system: Stack, mx: FastSink) -> Course:
    return Course(system, mx)


@pytest.fixture
def broker(system: Stack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(system.ready["redis"]) as client:
        yield client


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP for as long as the block lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def let_pass(seconds: float) -> None:
    """For faults that are a length of time."""
    threading.Event().wait(seconds)


def test_kill_9_of_each_kind_of_process(system, mx):
    """One of each and one more, at random moments: the chaos run, in small."""
    chaos = Chaos(system, mx, messages=600, rate=RATE, seed=1)

    chaos.run(kills=8, gap_s=1.0, drain_s=REST_S + DEAD_SLOTS_S)

    assert chaos.violations == [], "\n".join(chaos.report())
    assert chaos.killer.kills.total() == 8


def test_flushed_redis_with_limits_in_it(course, broker):
    """FLUSHALL takes doorbells and limits alike, of deferred mail, too."""
    with course.load(mix={"": 70, "grey2-": 30}):
        course.wait_until_under_way()
        broker.flushall()

    verdict = course.judge()
    assert verdict.violations == []
    assert verdict.duplicates == []


def test_restarted_redis(system, course):
    """An orderly end in the middle, and a start from what is on its disk."""
    with course.load():
        course.wait_until_under_way()
        os.kill(live_processes(system.supervisor)["redis"], signal.SIGTERM)

    assert course.judge().violations == []


def test_full_redis(course, broker):
    """Every write is refused: mail is taken in all the same, and sent in the end."""
    with course.load():
        course.wait_until_under_way()
        broker.config_set("maxmemory", "1")
        try:
            assert course.ledger.wait_for_accepted(MANY, 50.0)
        finally:
            broker.config_set("maxmemory", "0")

    assert course.judge().violations == []


def test_silent_redis_while_mail_comes_in(system, course):
    """It takes connections and answers nothing: acceptance waits for no broker."""
    with stopped(live_processes(system.supervisor)["redis"]), course.load():
        assert course.ledger.wait_for_accepted(MANY, 50.0)

    assert course.ledger.longest_s("smtp") < 10.0
    assert course.ledger.longest_s("http") < 10.0
    assert course.judge().violations == []


def test_killed_mongodb(system, course):
    """Nothing is promised while it is away, and nothing promised before is lost."""
    with course.load():
        course.wait_until_under_way()
        os.kill(live_processes(system.supervisor)["mongod"], signal.SIGKILL)

    assert course.judge().violations == []


def test_silent_mongodb(system, course):
    """Ten seconds without an answer: clients wait or are put off, never deceived."""
    with course.load():
        course.wait_until_under_way()
        with stopped(live_processes(system.supervisor)["mongod"]):
            let_pass(10.0)

    assert course.judge().violations == []


def test_a_mongodb_that_steps_down(system, course):
    """A failover of the replica set: what a majority acknowledged stands."""
    with course.load():
        course.wait_until_under_way()
        with (
            MongoClient(system.ready["mongo"]) as client,
            contextlib.suppress(PyMongoError),
        ):
            # Of one member: for five seconds nobody takes writes.
            client.admin.command("replSetStepDown", 5, force=True)

    assert course.judge().violations == []


def test_slow_and_silent_hosts_keep_nobody_waiting(system, mx, course, dns):
    """An MX that never greets and one that takes seconds hold only their own mail."""
    with socket.socket() as silent:
        # The kernel takes the connections; nobody ever speaks.
        silent.bind((SILENT_HOST, mx.port))
        silent.listen(256)
        for number in range(20):
            mail = {"from": "ada@a.test", "to": f"slow5-{number}@slow.test"}
            system.post("/send", {**mail, "subject": "slow", "text": "Hi"})
            mail = {"from": "ada@a.test", "to": f"r{number}@silent.test"}
            system.post("/send", {**mail, "subject": "silent", "text": "Hi"})
        with course.load(mix={"": 1}):
            pass
        accepted = course.accepted()
        good = accepted.keys()
        has_all = mx.wait_until(
            lambda arrivals: good <= {arrival.recipient for arrival in arrivals}, 30.0
        )
    arrived = {arrival.recipient: arrival.at for arrival in mx.arrivals()}
    assert has_all, f"{len(good - arrived.keys())} wait"
    waits = [arrived[who] - at for who, at in accepted.items()]
    assert percentile(waits, 95) < 10.0
    # The connections are gone now, and the name leads elsewhere.
    dns.records["silent.test"] = [("MX", "10 mx.host.test.")]


@pytest.mark.skipif(
    not (FAKETIME.exists() or os.environ.get("CI")), reason="needs libfaketime"
)
@pytest.mark.parametrize("shift", ["+1h", "-1h"])
def test_a_worker_whose_clock_is_wrong(system, mx, course, tmp_path, shift):
    """A pause is as long as ever, nothing expires, and nobody's lease is taken."""

    def has_all(arrivals: Sequence[Arrival]) -> bool:
        return course.accepted().keys() <= {arrival.recipient for arrival in arrivals}

    with (
        stopped(live_processes(system.supervisor)["worker@clock"]),
        shifted_worker(system, "clock", shift, tmp_path),
    ):
        with course.load(
            senders=["ada@clock.test"], count=60, mix={"": 70, "grey1-": 30}
        ):
            pass
        is_in_time = mx.wait_until(has_all, 45.0)

    arrived = {arrival.recipient: arrival.at for arrival in mx.arrivals()}
    assert is_in_time, sorted(course.accepted().keys() - arrived.keys())
    verdict = course.judge()
    pauses = [
        arrived[who] - at
        for who, at in course.accepted().items()
        if who.startswith("grey1-") and who in arrived
    ]
    assert verdict.violations == []
    assert verdict.duplicates == []
    assert min(pauses) >= CLOCK_PAUSE_S - 2.0  # what clocks may differ by


@contextlib.contextmanager
def shifted_worker(
    system: Stack, zone: str, shift: str, folder: Path
) -> Iterator[None]:
    """Run a second worker of ``zone`` whose wall clock is wrong by ``shift``."""
    model = live_processes(system.supervisor)[f"worker@{zone}"]
    pairs = Path(f"/proc/{model}/environ").read_bytes().decode().split("\0")
    env = dict(pair.split("=", 1) for pair in pairs if pair)
    marker = folder / "shifted.ready"
    env |= {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": shift,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        READY_FILE: str(marker),
        "MTA_PROCESS_NAME": "shifted",
    }
    config = load_config(Path(env["MTA_CONFIG"]), env)
    command = commands.worker_command([config.zones[zone]], log_level="info")
    with (folder / "shifted.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30.0
        while not marker.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
            ended = process.returncode is not None or time.monotonic() > deadline
            assert not ended, (folder / "shifted.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(60)
