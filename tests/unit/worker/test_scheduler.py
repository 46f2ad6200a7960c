"""A tick's order, what it does how often, and what a fault in it leaves."""

from datetime import UTC, datetime, timedelta
from threading import Event
from types import SimpleNamespace

import pytest

from mta.config.live import Live
from mta.config.zones import Config
from mta.delivery import DeliveryState
from mta.errors import StoreUnavailable
from mta.worker.scheduler import SOON_S, TICK_S, Scheduler

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE = SimpleNamespace(id="m")


class Recorder:
    """Everything that a tick calls; tells what was called."""

    def __init__(self):
        self.done = []
        self.broken = {}
        self.zone_names = ["default"]
        self.is_behind = False
        self.is_leader = True

    def _note(self, step):
        self.done.append(step)
        if step in self.broken:
            raise self.broken[step]

    def zones(self):
        return self.zone_names

    def ring_zone(self, zone, now):
        self._note(f"ring {zone}")
        return self.is_behind

    def unpark(self, now):
        self._note("parked")

    def expire(self, now):
        self._note("expire")

    def settle_doubts(self, now):
        self._note("doubts")

    def look(self, now):
        self._note("watch")

    def count_live(self):
        self._note("measure")
        return {}

    def depth(self, zone):
        return 0

    def request_sweep(self):
        self._note("sweep")

    def unexpanded(self, now, *, limit):
        return [(MESSAGE, [])]

    def expand(self, message, recipients, now):
        self._note("expand")

    def acquire(self):
        return self.is_leader

    def resign(self):
        self._note("resign")


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def clock():
    return SimpleNamespace(at_s=100.0)


@pytest.fixture
def scheduler(recorder, clock):
    parts = ("due", "ringer", "mender", "watch", "census", "messages", "expander")
    return Scheduler(
        **dict.fromkeys((*parts, "broker", "leadership"), recorder),
        config=Live(Config()),
        now=lambda: NOW,
        prepare=lambda: None,
        monotonic=lambda: clock.at_s,
    )


class Pauses:
    """An Event that is set after so many pauses, and remembers them."""

    def __init__(self, count):
        self.count = count
        self.lengths = []

    def wait(self, seconds):
        self.lengths.append(seconds)
        return len(self.lengths) > self.count


def test_a_tick_does_everything_in_this_order(scheduler, recorder):
    """What is dealt with first need not be looked at again when ringing."""
    recorder.zone_names = ["default", "gone"]

    scheduler.tick()

    assert recorder.done == [
        *("expire", "doubts"),
        *("ring default", "ring gone"),
        *("parked", "sweep", "watch", "measure", "expand"),
    ]


@pytest.mark.parametrize(
    "step", ["parked", "expire", "doubts", "ring default", "sweep", "watch", "measure"]
)
def test_a_fault_in_one_step_leaves_the_others(scheduler, recorder, step, caplog):
    """One poisoned row must not keep all mail waiting."""
    recorder.broken[step] = KeyError("lane")
    recorder.zone_names = ["default", "news"]

    scheduler.tick()

    assert {"ring news", "expand"} <= set(recorder.done)
    assert f"step={step}" in caplog.text


def test_a_database_that_is_away_ends_the_tick(scheduler, recorder):
    """Every other step would wait for it, one after the other."""
    recorder.broken["expire"] = StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        scheduler.tick()

    assert recorder.done == ["expire"]


def test_what_is_denied_to_one_zone_may_be_given_to_the_next(
    scheduler, recorder, caplog
):
    """One slow index, one full queue: that is no reason for all mail to wait."""
    recorder.zone_names = ["default", "news", "shop"]
    recorder.broken["ring default"] = StoreUnavailable("timed out")

    scheduler.tick()

    assert recorder.done[2:5] == ["ring default", "ring news", "ring shop"]
    assert "not rung for zone=default" in caplog.text


def test_a_database_that_goes_while_it_rings_ends_the_tick(scheduler, recorder):
    """A few zones prove that it is not about them."""
    recorder.zone_names = [f"z{number}" for number in range(10)]
    for zone in recorder.zone_names:
        recorder.broken[f"ring {zone}"] = StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        scheduler.tick()

    assert recorder.done[2:] == ["ring z0", "ring z1", "ring z2"]


@pytest.mark.parametrize(
    ("step", "count"), [("ring default", 31), ("doubts", 7), ("sweep", 3), ("watch", 3)]
)
def test_each_step_has_its_own_pace(scheduler, recorder, clock, step, count):
    """Bodies and alarms have time; what is due has not."""
    for _ in range(31):
        scheduler.tick()
        clock.at_s += 1.0

    assert recorder.done.count(step) == count


def test_measuring_a_long_queue_is_done_less_often(scheduler, recorder, clock):
    """Counting a million rows may take a hundredth of the time, not more."""

    def count_live():
        recorder.done.append("measure")
        clock.at_s += 0.5
        return {}

    recorder.count_live = count_live
    for _ in range(60):
        scheduler.tick()
        clock.at_s += 1.0

    assert recorder.done.count("measure") == 1


def test_the_doors_learn_what_waits_and_when_it_is_counted_again(
    scheduler, recorder, clock
):
    """What is being sent waits no more; a count holds until the next one."""
    told = []

    def count_live():
        clock.at_s += 0.5
        return dict.fromkeys(DeliveryState, 1) | {DeliveryState.DEFERRED: 5}

    recorder.count_live = count_live
    recorder.tell = lambda waiting, *, again_in: told.append((waiting, again_in))
    scheduler.vitals = recorder

    scheduler.tick()

    # queued, deferred, in doubt, held; a half second is a hundredth of fifty.
    assert told == [(8, timedelta(seconds=15 + 50 - 0.5))]


def test_the_leader_ticks_every_second(scheduler, recorder):
    """Until it is stopped; then it makes room for the replica."""
    pauses = Pauses(3)

    scheduler.run(pauses)

    assert pauses.lengths == [TICK_S] * 4
    assert recorder.done.count("ring default") == 3
    assert recorder.done[-1] == "resign"


def test_a_tick_that_is_behind_is_followed_soon(scheduler, recorder):
    """The workers must not run dry while there is a backlog."""
    recorder.is_behind = True
    pauses = Pauses(2)

    scheduler.run(pauses)

    assert pauses.lengths == [TICK_S, SOON_S, SOON_S]


def test_the_replica_waits(scheduler, recorder):
    """Two at once would be harmless, but not useful."""
    recorder.is_leader = False

    scheduler.run(Pauses(5))

    assert recorder.done == []


def test_a_failed_tick_is_followed_by_another(scheduler, recorder, clock, caplog):
    """A database that is back is used again, after a new look at who leads."""
    recorder.broken["expire"] = StoreUnavailable("away")
    scheduler.run(Pauses(1))
    recorder.broken.clear()
    clock.at_s += 10.0

    scheduler.run(Pauses(1))

    assert "tick failed" in caplog.text
    assert "ring default" in recorder.done


def test_it_stops_at_once_when_asked(scheduler):
    """Nothing is left half done that another tick would not do."""
    stop = Event()
    stop.set()

    scheduler.run(stop)
