"""What is rung, in which order, and what is not; over fakes of store and broker."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from mta.config.live import Live
from mta.config.zones import Config, QueueConfig, TenantConfig, Zone
from mta.delivery import Delivery, DeliveryState
from mta.policy.fairness import HIGH_WATER, LOW_WATER, low_water
from mta.store.deliveries import RING_GRACE
from mta.worker.ringer import LOOK_AT_ONCE, Ringer

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
        "lane": "5:feeder",
    }
    return Delivery(**{**facts, **changes})


def rows_of(lane, count, **changes):
    return [
        a_delivery(number, id=f"{lane}.{number:06x}", lane=lane, **changes)
        for number in range(1, count + 1)
    ]


class Rows:
    """The rows that must be looked after, oldest first, and what was done to them."""

    def __init__(self, rows):
        self.lanes_of_rows = {}
        for row in rows:
            self.lanes_of_rows.setdefault(row.lane, {})[row.id] = row
        self.done = []
        self.asked = 0

    def lanes(self, zone, now):
        return sorted(lane for lane, rows in self.lanes_of_rows.items() if rows)

    def to_ring(self, zone, lane, now, *, due_by, limit):
        self.asked += 1
        rows = list(self.lanes_of_rows[lane].values())
        return [row for row in rows if row.due_at <= due_by][:limit]

    def mark_rung(self, rung, now):
        self._look_after(rung)
        self.done += [("marked", row.id) for row in rung]

    def postpone_ring(self, waiting, now, until):
        self._look_after(waiting)
        self.done += [("postponed", row.id, until) for row in waiting]

    def leave_to_the_end(self, waiting, now):
        self._look_after(waiting)
        self.done += [("left", row.id) for row in waiting]

    def _look_after(self, rows):
        for row in rows:
            del self.lanes_of_rows[row.lane][row.id]


class Broker:
    eta_lead = timedelta(seconds=5)

    def __init__(self, done):
        self.waiting = 0
        self.oldest = None
        self.rung = []
        self.done = done

    def depth(self, zone):
        return self.waiting

    def oldest_rung_at(self, zone, *, is_transactional):
        return self.oldest

    def ring(self, zone, deliveries, *, rung_at):
        self.done += [("rung", row.id) for row in deliveries]
        self.rung += deliveries
        self.waiting += len(deliveries)
        return len(deliveries)


class Setting:
    """A ringer over rows, and what it did."""

    def __init__(self, *rows, weights=None, share=0.5, connections=100):
        self.rows = Rows(rows)
        self.broker = Broker(self.rows.done)
        self.at_s = 0.0
        tenants = {
            name: TenantConfig(weight=weight)
            for name, weight in (weights or {}).items()
        }
        self.ringer = Ringer(
            due=self.rows,
            broker=self.broker,
            config=Live(
                Config(
                    zones={"default": Zone(name="default", connections=connections)},
                    queue=QueueConfig(transactional_share=share),
                    tenants=tenants,
                )
            ),
            monotonic=lambda: self.at_s,
        )

    def tick(self, now=NOW):
        is_behind = self.ringer.ring_zone("default", now)
        self.at_s += 1.0
        return is_behind

    def rung(self):
        return [row.id for row in self.broker.rung]

    def rung_by_lane(self):
        return Counter(row.lane for row in self.broker.rung)


def test_the_record_comes_before_the_bell():
    """A crash between the two costs one wait, never a storm."""
    setting = Setting(a_delivery())

    setting.tick()

    assert setting.rows.done == [("marked", "m.001"), ("rung", "m.001")]


def test_nothing_is_asked_of_the_broker_without_work():
    """An idle zone costs a tick one look at an index."""
    setting = Setting()
    setting.broker.depth = None

    assert setting.tick() is False


def test_a_list_that_is_long_enough_is_left_alone():
    """The rest waits in MongoDB, where turns can still change."""
    setting = Setting(a_delivery())
    setting.broker.waiting = LOW_WATER

    setting.tick()

    assert setting.rung() == []


def test_the_list_of_a_zone_with_few_connections_is_short():
    """Each of those in it takes its time, and who comes later waits for all."""
    setting = Setting(*rows_of("5:news", 1_000), connections=5)

    setting.tick()

    assert len(setting.rung()) == low_water(5)


def test_what_a_worker_holds_until_it_is_due_takes_its_place():
    """It is in no list, and yet there is no room for ever more of it."""
    due_at = NOW + 4 * SECOND
    setting = Setting(*rows_of("5:news", 20_000, due_at=due_at))

    for _ in range(30):
        setting.tick()
        setting.broker.waiting = 0  # the worker has taken all
    held = len(setting.rung())
    setting.tick(now=due_at)

    assert LOW_WATER < held <= HIGH_WATER
    assert len(setting.rung()) > held


def test_nothing_is_rung_while_the_broker_is_away():
    """Marking rows that cannot be rung would only delay them."""
    setting = Setting(a_delivery())
    setting.broker.depth = lambda zone: None

    assert setting.tick() is False
    assert setting.rows.done == []


def test_one_row_is_rung_in_the_first_tick_whatever_another_tenant_has_waiting():
    """The classic fault: one newsletter delays everybody's mail."""
    setting = Setting(*rows_of("5:news", 20_000), *rows_of("5:shop", 1))

    setting.tick()

    assert setting.rung_by_lane() == {"5:news": LOW_WATER - 1, "5:shop": 1}


def test_it_is_not_rung_last():
    """Inside a tick the lanes take turns as well."""
    setting = Setting(*rows_of("5:news", 1_000), *rows_of("5:shop", 1))

    setting.tick()

    assert "5:shop.000001" in setting.rung()[:2]


def test_tenants_share_by_weight():
    """Over the ticks of ten seconds, the error stays below five per cent."""
    setting = Setting(
        *(row for tenant in "abc" for row in rows_of(f"5:{tenant}", 5_000)),
        weights={"a": 1, "b": 2, "c": 4},
    )

    for _ in range(10):
        setting.tick()
        setting.broker.waiting -= 60  # what the workers take in a second

    rung = setting.rung_by_lane()
    for tenant, weight in {"a": 1, "b": 2, "c": 4}.items():
        assert rung[f"5:{tenant}"] / rung.total() == pytest.approx(weight / 7, rel=0.05)


def test_transactional_mail_has_its_floor_in_every_tick():
    """Whatever the weights of those who send newsletters."""
    setting = Setting(
        *rows_of("0:shop", 1_000), *rows_of("5:news", 1_000), weights={"news": 1000}
    )

    setting.tick()

    assert setting.rung_by_lane()["0:shop"] == LOW_WATER / 2


def test_what_a_lane_leaves_is_lent_in_the_same_tick():
    """Work-conserving, though nobody counted the rows before."""
    setting = Setting(
        *rows_of("5:a", 10), *rows_of("5:b", 20), *rows_of("5:news", 5_000)
    )

    setting.tick()

    assert len(setting.rung()) == LOW_WATER


def test_a_zone_takes_so_many_rows_of_a_tick_and_no_more():
    """One zone must not keep the others waiting; it is come back to soon."""
    setting = Setting(*rows_of("5:news", 5_000))
    setting.tick()
    setting.broker.waiting = 0
    setting.broker.rung.clear()
    setting.at_s = 0.1

    is_behind = setting.tick()

    assert (len(setting.rung()), is_behind) == (LOOK_AT_ONCE, True)


def test_workers_that_may_be_faster_than_known_are_come_back_to_soon():
    """The list was found empty, and there is more than it was filled with."""
    setting = Setting(*rows_of("5:news", LOW_WATER + 1))

    assert setting.tick() is True


def test_a_tick_that_rang_for_all_need_not_be_followed_soon():
    """A handful of deferrals is no backlog."""
    setting = Setting(*rows_of("5:news", 3))

    assert setting.tick() is False


def test_a_row_that_is_due_too_far_ahead_for_the_broker_is_not_rung_yet():
    """RabbitMQ would let it occupy a slot of a worker."""
    setting = Setting(a_delivery(due_at=NOW + 3 * SECOND))
    setting.broker.eta_lead = timedelta(0)

    setting.tick()

    assert setting.rows.done == []


def test_a_row_that_is_held_in_doubt_is_not_rung():
    """Its next attempt would be at the end of its time: a person decides, or none."""
    end = NOW + 3 * SECOND
    row = a_delivery(state=DeliveryState.IN_DOUBT, due_at=end, give_up_at=end)
    setting = Setting(row)

    setting.tick()

    assert setting.rows.done == [("left", row.id)]


def test_a_doorbell_that_still_waits_in_its_list_is_not_doubled():
    """What was rung after the oldest in the list is in the list."""
    setting = Setting(a_delivery(rung_at=NOW - SECOND))
    setting.broker.oldest = NOW - 2 * SECOND

    setting.tick()

    assert setting.rows.done == [("postponed", "m.001", NOW + RING_GRACE)]


def test_those_that_need_no_bell_take_nobodys_place():
    """A list full of old doorbells must not keep others from being rung."""
    old = rows_of("5:news", 700, rung_at=NOW - SECOND)
    setting = Setting(*old, *rows_of("5:shop", 600))
    setting.broker.oldest = NOW - 2 * SECOND

    setting.tick()

    assert setting.rung_by_lane() == {"5:shop": LOW_WATER}


def test_a_doorbell_older_than_all_that_wait_was_lost():
    """First in, first out: it is in the list no more."""
    setting = Setting(a_delivery(rung_at=NOW - 3 * SECOND))
    setting.broker.oldest = NOW - 2 * SECOND

    setting.tick()

    assert setting.rung() == ["m.001"]


def test_an_empty_list_after_a_flush_means_all_was_lost():
    """FLUSHALL costs seconds, not mail."""
    setting = Setting(a_delivery(rung_at=NOW - SECOND))

    setting.tick()

    assert setting.rung() == ["m.001"]


def test_a_row_without_a_doorbell_is_rung_though_others_wait():
    """Rows beyond the list's length are due for the scheduler at once."""
    setting = Setting(a_delivery())
    setting.broker.oldest = NOW - SECOND

    setting.tick()

    assert setting.rung() == ["m.001"]


def test_a_lease_that_ran_out_is_rung():
    """The worker that takes the bell claims the row of the dead one."""
    row = a_delivery(state=DeliveryState.SENDING, rung_at=NOW, owner="dead")
    setting = Setting(row)
    setting.broker.oldest = NOW - SECOND

    setting.tick()

    assert setting.rung() == ["m.001"]
