"""Whether there is room for more mail, as a door finds it in a real MongoDB."""

import logging
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from mta.config.live import Live
from mta.config.zones import PressureConfig
from mta.intake.pressure import PressureMonitor
from mta.observe import metrics
from mta.policy.pressure import Strain
from mta.store.mongo import connect
from mta.store.vitals import GRACE, QueueVitals

LIMITS = PressureConfig(max_waiting=10)
MINUTE = timedelta(minutes=1)
PATIENCE_S = 30.0


class Clock:
    """Goes on by ``step`` seconds whenever somebody looks at it."""

    def __init__(self):
        self.now_s = 100.0
        self.step = 0.0

    def __call__(self):
        self.now_s += self.step
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(db):
    return QueueVitals(db)


@pytest.fixture
def link(mongo_uri_of_test):
    """A door's connection; closed, every use of it fails at once."""
    database = connect(mongo_uri_of_test, name="door")
    yield database
    database.client.close()


@pytest.fixture
def memory():
    """What is free of it, in a list of one."""
    return [0.5]


@pytest.fixture
def monitor(link, clock, memory):
    return PressureMonitor(
        QueueVitals(link), Live(LIMITS), monotonic=clock, free_memory=lambda: memory[0]
    )


def look(monitor, times):
    for _ in range(times):
        monitor.look()


def gauge(strain):
    return metrics.PRESSURE.labels(strain.value)._value.get()


def test_there_is_room_until_somebody_has_looked(monitor):
    """A door that has just opened takes mail."""
    assert monitor.refusal() is None
    assert monitor.strains() == frozenset()
    assert [ok for _, ok, _ in monitor.readiness()] == [True] * 3


def test_a_queue_that_is_too_long_keeps_mail_out_until_it_is_shorter(monitor, queue):
    """All that is asked at MAIL is what the last look left."""
    told = []

    for waiting in (10, 11, 9, 8):
        queue.tell(waiting, again_in=MINUTE)
        monitor.look()
        told.append(str(monitor.refusal() or "room"))

    too_much = "452 4.3.1 Too much mail is waiting, try later"
    assert told == ["room", too_much, too_much, "room"]


def test_readiness_names_the_strain_with_its_figures(monitor, queue):
    """The operator is told what clients are not."""
    queue.tell(11, again_in=MINUTE)

    monitor.look()

    checks = {name: (ok, detail) for name, ok, detail in monitor.readiness()}
    assert checks["queue"] == (False, "11 deliveries wait; 10 are allowed")
    assert checks["memory"][0]
    assert checks["database"][0]
    assert monitor.strains() == {Strain.QUEUE}


def test_too_little_memory_keeps_mail_out(monitor, memory):
    """Before the kernel ends what takes most of it."""
    memory[0] = 0.01
    monitor.look()
    before = monitor.refusal()
    memory[0] = 0.2
    monitor.look()

    assert str(before) == "452 4.3.1 Out of memory for now, try later"
    assert monitor.refusal() is None


def test_one_slow_write_is_no_slow_database(monitor, clock):
    """A checkpoint or an election is over when the client tries again."""
    look(monitor, 4)

    clock.step = 3.0
    look(monitor, 2)

    assert monitor.strains() == frozenset()


def test_a_database_that_stays_slow_keeps_mail_out(monitor, clock):
    """Until most of the last writes were quick."""
    look(monitor, 5)
    clock.step = 3.0
    was_quick = [monitor.look() for _ in range(3)]
    slow = monitor.refusal()
    clock.step = 0.0
    look(monitor, 3)

    assert str(slow) == "451 4.3.0 The message store is slow, try later"
    assert was_quick == [True, True, False]
    assert monitor.strains() == frozenset()


def test_a_database_that_is_away_counts_as_slow_after_so_long(monitor, link, clock):
    """One that drops a connection has not gone yet."""
    link.client.close()
    seen = []

    for _ in range(3):
        monitor.look()
        seen.append(monitor.strains())
        clock.now_s += 1.5

    assert seen == [frozenset(), frozenset(), {Strain.DATABASE}]


def test_a_count_outlives_the_database_but_not_its_time(monitor, queue, link, clock):
    """That MongoDB is away makes no queue shorter, nor a count newer."""
    queue.tell(11, again_in=MINUTE)
    monitor.look()
    link.client.close()
    monitor.look()
    before = monitor.strains()
    clock.now_s += (MINUTE + GRACE).total_seconds()
    monitor.look()

    assert before == {Strain.QUEUE}
    assert monitor.strains() == {Strain.DATABASE}


def test_a_count_that_nobody_renews_keeps_no_mail_out(monitor, queue):
    """Without a scheduler nobody knows."""
    queue.tell(11, again_in=-GRACE)

    monitor.look()

    assert monitor.refusal() is None


def test_what_a_door_finds_is_shown(monitor, queue, caplog):
    """In a gauge, and in two lines of the log: when it begins and when it ends."""
    caplog.set_level(logging.WARNING)

    queue.tell(11, again_in=MINUTE)
    look(monitor, 2)
    during = gauge(Strain.QUEUE), gauge(Strain.MEMORY)
    queue.tell(0, again_in=MINUTE)
    look(monitor, 2)

    assert during == (1, 0)
    assert gauge(Strain.QUEUE) == 0
    assert [record.getMessage() for record in caplog.records] == [
        "taking no mail strain=queue: 11 deliveries wait; 10 are allowed",
        "over strain=queue: 0 deliveries wait; 10 are allowed",
    ]


def test_a_thread_looks_until_it_is_stopped(queue, clock):
    """Whatever breaks in between."""
    looks, seen = [], threading.Event()

    def free_memory():
        looks.append(threading.current_thread())
        if len(looks) == 2:
            raise RuntimeError("a bug")
        if len(looks) == 4:
            seen.set()
        return 0.01 if len(looks) > 2 else None

    monitor = PressureMonitor(
        queue, Live(LIMITS), monotonic=clock, free_memory=free_memory, every_s=0.001
    )

    monitor.start()
    is_seen = seen.wait(PATIENCE_S)
    monitor.stop()
    looks[0].join(PATIENCE_S)

    assert is_seen
    assert monitor.strains() == {Strain.MEMORY}
    assert looks[0].name == "pressure"
    assert not looks[0].is_alive()


def test_a_bug_of_ours_keeps_no_mail_out(queue, clock):
    """What nobody can judge is no reason to refuse anything."""
    seen, broken = threading.Event(), threading.Event()
    replies = []
    queue.tell(11, again_in=MINUTE)

    def free_memory():
        replies.append(monitor.refusal())
        if len(replies) == 2:
            broken.set()
            raise RuntimeError("a bug")
        if broken.is_set():
            seen.set()

    monitor = PressureMonitor(
        queue, Live(LIMITS), monotonic=clock, free_memory=free_memory, every_s=0.001
    )
    monitor.start()
    is_seen = seen.wait(PATIENCE_S)
    monitor.stop()

    assert is_seen
    assert [reply is None for reply in replies[:3]] == [True, False, True]


_PATCHED = """
from gevent import monkey
monkey.patch_all()
import sys, time
from gevent.event import Event
from mta.config.live import Live
from mta.config.zones import PressureConfig
from mta.intake.pressure import PressureMonitor
from mta.store.mongo import connect
from mta.store.vitals import QueueVitals

looks, seen = [], Event()

def free_memory():
    looks.append(None)
    if len(looks) == 2:
        seen.set()

monitor = PressureMonitor(
    QueueVitals(connect(sys.argv[1], name="test")),
    Live(PressureConfig(max_waiting=10)),
    monotonic=time.monotonic,
    free_memory=free_memory,
    every_s=0.001,
)
monitor.start()
seen.wait(30)
monitor.stop()
print(monitor.refusal())
"""


def test_a_greenlet_does_as_well(queue, mongo_uri_of_test):
    """Both doors run on gevent."""
    queue.tell(11, again_in=MINUTE)
    command = [sys.executable, "-c", _PATCHED, mongo_uri_of_test]

    done = subprocess.run(
        command, capture_output=True, check=True, text=True, timeout=60
    )

    assert done.stdout.strip() == "452 4.3.1 Too much mail is waiting, try later"
