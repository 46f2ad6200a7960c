"""What a tick rings, postpones and expires; over fakes of store and broker."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mta.config.zones import QueueConfig
from mta.delivery import Delivery, DeliveryState
from mta.store.deliveries import RING_GRACE
from mta.worker.scheduler import Scheduler

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_delivery(number=1, **changes):
    facts = {
        "id": f"m.{number:03x}",
        "message_id": "m",
        "zone": "default",
        "recipient": "bob@b.test",
        "domain": "b.test",
        "state": DeliveryState.QUEUED,
        "created_at": NOW,
        "due_at": NOW,
        "give_up_at": NOW + timedelta(days=1),
    }
    return Delivery(**{**facts, **changes})


def is_over(row, now):
    return row.state is not DeliveryState.SENDING and now >= row.give_up_at


class Rows:
    """The rows that are to be rung, and what was done to them."""

    def __init__(self, *rows):
        self.rows = rows
        self.done = []

    def zones_to_ring(self, now):
        return sorted({row.zone for row in self.rows})

    def overdue(self, zone, now, *, limit):
        return [row for row in self.rows if row.zone == zone and is_over(row, now)]

    def to_ring(self, zone, now, *, limit):
        live = [row for row in self.rows if not is_over(row, now)]
        return [row for row in live if row.zone == zone][:limit]

    def mark_rung(self, rung, now):
        self.done += [("marked", row.id) for row in rung]

    def postpone_ring(self, waiting, now, until):
        self.done += [("postponed", row.id, until) for row in waiting]

    def expire(self, row, outcome, *, keep_until):
        self.done.append(("expired", row.id, outcome.code))
        return True

    def count_live(self):
        return {}


class Broker:
    def __init__(self, *, room=100, oldest=None, done):
        self.free = room
        self.oldest = oldest
        self.done = done

    def room(self, zone):
        return self.free

    def ring(self, zone, deliveries, *, rung_at):
        self.done += [("rung", row.id) for row in deliveries]
        return len(deliveries)

    def oldest_rung_at(self, zone):
        return self.oldest

    def depth(self, zone):
        return 0

    def request_sweep(self):
        self.done.append(("sweep",))


class Messages:
    def unexpanded(self, now, *, limit):
        return []


@pytest.fixture
def tick():
    """Run one tick over rows; returns what was done, without the sweep."""

    def run(*rows, room=100, oldest=None, now=NOW):
        store = Rows(*rows)
        scheduler = Scheduler(
            deliveries=store,
            messages=Messages(),
            expander=None,
            broker=Broker(room=room, oldest=oldest, done=store.done),
            leadership=None,
            queue=QueueConfig(),
            zones=["default"],
            now=lambda: now,
        )
        scheduler.tick()
        return [step for step in store.done if step != ("sweep",)]

    return run


def test_the_record_comes_before_the_bell(tick):
    """A crash between the two costs one wait, never a storm."""
    assert tick(a_delivery()) == [("marked", "m.001"), ("rung", "m.001")]


def test_nothing_is_rung_without_room_in_the_broker(tick):
    """At most HIGH_WATER messages of a zone are in the broker."""
    assert tick(a_delivery(), room=0) == []


def test_no_more_is_rung_than_there_is_room_for(tick):
    """The rest waits in MongoDB for the next tick."""
    done = tick(a_delivery(1), a_delivery(2), a_delivery(3), room=2)

    assert [step[1] for step in done if step[0] == "rung"] == ["m.001", "m.002"]


def test_a_doorbell_that_still_waits_in_its_list_is_not_doubled(tick):
    """What was rung after the oldest in the list is in the list."""
    row = a_delivery(rung_at=NOW - SECOND)

    done = tick(row, oldest=NOW - 2 * SECOND)

    assert done == [("postponed", "m.001", NOW + RING_GRACE)]


def test_a_doorbell_older_than_all_that_wait_was_lost(tick):
    """First in, first out: it is in the list no more."""
    row = a_delivery(rung_at=NOW - 3 * SECOND)

    assert ("rung", "m.001") in tick(row, oldest=NOW - 2 * SECOND)


def test_an_empty_list_after_a_flush_means_all_was_lost(tick):
    """FLUSHALL costs seconds, not mail."""
    row = a_delivery(rung_at=NOW - SECOND)

    assert ("rung", "m.001") in tick(row, oldest=None)


def test_a_row_without_a_doorbell_is_rung_though_others_wait(tick):
    """Rows beyond HIGH_WATER are due for the scheduler at once."""
    assert ("rung", "m.001") in tick(a_delivery(), oldest=NOW - SECOND)


def test_a_lease_that_ran_out_is_rung(tick):
    """The worker that takes the bell claims the row of the dead one."""
    row = a_delivery(state=DeliveryState.SENDING, rung_at=NOW, owner="dead")

    assert ("rung", "m.001") in tick(row, oldest=NOW - SECOND)


def test_a_waiting_row_whose_time_is_over_expires(tick):
    """Nothing waits for ever, and nobody has to be there to give up."""
    row = a_delivery(state=DeliveryState.DEFERRED, give_up_at=NOW)

    assert tick(row) == [("expired", "m.001", 554)]


def test_it_expires_though_the_broker_has_no_room(tick):
    """A zone that nobody consumes any more must not keep mail for ever."""
    row = a_delivery(state=DeliveryState.QUEUED, give_up_at=NOW)

    assert tick(row, room=0) == [("expired", "m.001", 554)]


def test_a_row_that_is_being_sent_does_not_expire(tick):
    """Its worker may be just about to succeed."""
    row = replace(a_delivery(), state=DeliveryState.SENDING, give_up_at=NOW)

    assert ("rung", "m.001") in tick(row)


def test_a_sweep_is_asked_for_now_and_then_not_every_tick():
    """Deleting bodies is for the maintenance worker, and never urgent."""
    store = Rows()
    clock = [0.0]
    scheduler = Scheduler(
        deliveries=store,
        messages=Messages(),
        expander=None,
        broker=Broker(done=store.done),
        leadership=None,
        queue=QueueConfig(),
        zones=[],
        now=lambda: NOW,
        monotonic=lambda: clock[0],
    )

    for clock[0] in (0.0, 1.0, 2.0, 100.0, 101.0):
        scheduler.tick()

    assert store.done.count(("sweep",)) == 2
