"""The scheduler's ringing on a real MongoDB: a backlog, and who stands behind it."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from mta.config.live import Live
from mta.config.zones import Config, QueueConfig, Zone
from mta.delivery import Delivery, DeliveryState
from mta.policy.fairness import LOW_WATER
from mta.store.deliveries import Deliveries
from mta.store.due import Due
from mta.worker.ringer import Ringer

NOW = datetime.now(UTC).replace(microsecond=0)


class List:
    """A broker's list, and workers that claim what is in it."""

    eta_lead = timedelta(seconds=5)

    def __init__(self, deliveries):
        self.waiting = []
        self.claimed = []
        self.deliveries = deliveries

    def depth(self, zone):
        return len(self.waiting)

    def oldest_rung_at(self, zone):
        return NOW if self.waiting else None

    def ring(self, zone, deliveries, *, rung_at):
        self.waiting += deliveries
        return len(deliveries)

    def take(self, count):
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        for row in taken:
            self.claimed.append(self.deliveries.claim(row.id, owner="w"))


@pytest.fixture
def broker(db):
    return List(Deliveries(db, lease=timedelta(seconds=60)))


@pytest.fixture
def ringer(db, broker):
    clock = iter(range(10_000))
    return Ringer(
        due=Due(db, grace=broker.deliveries.grace),
        broker=broker,
        config=Live(
            Config(
                zones={"default": Zone(name="default", connections=100)},
                queue=QueueConfig(),
            )
        ),
        monotonic=lambda: float(next(clock)) / 2,  # read twice a tick
    )


@pytest.fixture
def backlog(db):
    """Insert rows of a lane that are all due."""

    def insert(lane, count):
        rows = (
            {
                "_id": f"{lane}.{number:06x}",
                "message": lane,
                "zone": "default",
                "domain": "b.test",
                "recipient": "bob@b.test",
                "state": "queued",
                "lane": lane,
                "created_at": NOW,
                "due_at": NOW,
                "give_up_at": NOW + timedelta(days=1),
                "ring_at": NOW,
                "rung_at": None,
                "rings": 0,
                "claims": 0,
                "attempts": 0,
                "doubts": 0,
                "log": [],
            }
            for number in range(count)
        )
        db.deliveries.insert_many(rows, ordered=False)

    return insert


def test_who_has_one_row_is_rung_in_the_first_tick(ringer, broker, backlog):
    """Ten thousand rows of another are no reason to wait."""
    backlog("5:news", 10_000)
    backlog("5:shop", 1)

    ringer.ring_zone("default", NOW)

    rung = Counter(row.lane for row in broker.waiting)
    assert rung == {"5:news": LOW_WATER - 1, "5:shop": 1}


def test_every_row_of_a_backlog_is_rung_once(ringer, broker, backlog):
    """And claimed once: nothing is lost and nothing doubled on the way."""
    backlog("5:a", 700)
    backlog("5:b", 300)

    for _ in range(5):
        ringer.ring_zone("default", NOW)
        broker.take(400)

    claimed = [row for row in broker.claimed if isinstance(row, Delivery)]
    assert len({row.id for row in claimed}) == len(broker.claimed) == 1_000
    assert {row.state for row in claimed} == {DeliveryState.SENDING}


def test_two_leaders_at_once_double_doorbells_only(db, ringer, broker, backlog):
    """Of two doorbells for a row, one finds nothing to do."""
    backlog("5:a", 10)
    other = Ringer(due=ringer.due, broker=broker, config=ringer.config)
    seen = ringer.due.to_ring("default", "5:a", NOW, due_by=NOW, limit=10)
    other.ring_zone("default", NOW)

    broker.ring("default", seen, rung_at=NOW)
    broker.take(20)

    assert len([row for row in broker.claimed if row]) == 10
