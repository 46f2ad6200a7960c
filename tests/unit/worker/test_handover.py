"""A free slot finds who waits for it, whoever comes first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import Delivery, DeliveryState
from mta.errors import StoreUnavailable
from mta.policy.limits import Slot
from mta.worker.handover import HandOver

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "domain:default:b.test"
ROW = Delivery(
    id="m.001",
    message_id="m",
    zone="default",
    recipient="bob@b.test",
    domain="b.test",
    state=DeliveryState.QUEUED,
    created_at=NOW,
    due_at=NOW,
    give_up_at=NOW + timedelta(days=1),
)


class Limits:
    def __init__(self, *, is_free=False):
        self.wanted = set()
        self.is_free = is_free
        self.on_unwant = lambda: None

    def want(self, slot):
        self.wanted.add(slot.key)
        return self.is_free

    def unwant(self, key):
        self.wanted.discard(key)
        self.on_unwant()

    def is_wanted(self, key):
        return key in self.wanted


class Parking:
    def __init__(self, rows=()):
        self.rows = list(rows)
        self.is_away = False

    def pick_next(self, key, now):
        if self.is_away:
            raise StoreUnavailable("away")
        return self.rows.pop(0) if self.rows else None

    def claim_next(self, key, *, zone, owner):
        mine = [row for row in self.rows if row.zone == zone]
        if mine:
            self.rows.remove(mine[0])
        return mine[0] if mine else None


class Bell:
    eta_lead = timedelta(seconds=5)

    def __init__(self):
        self.rung = []

    def ring(self, zone, deliveries, *, rung_at):
        self.rung += [(zone, row.id) for row in deliveries]
        return len(deliveries)


@pytest.fixture
def bell():
    return Bell()


def test_who_frees_a_slot_rings_for_the_next(bell):
    """One slot, one doorbell."""
    parking = Parking([ROW, replace(ROW, id="m.002")])
    handover = HandOver(Limits(), parking, bell, lambda: NOW)

    handover.ring_next([KEY])

    assert bell.rung == [("default", "m.001")]


def test_who_parks_when_a_slot_is_free_already_rings_itself(bell):
    """The holder let go between the refusal and the parking."""
    handover = HandOver(Limits(is_free=True), Parking([ROW]), bell, lambda: NOW)

    handover.wait_for(Slot(KEY, 5))

    assert bell.rung == [("default", "m.001")]


def test_who_parks_behind_a_taken_slot_waits(bell):
    """Whoever holds it has the word now."""
    limits = Limits()
    handover = HandOver(limits, Parking([ROW]), bell, lambda: NOW)

    handover.wait_for(Slot(KEY, 5))

    assert (bell.rung, limits.wanted) == ([], {KEY})


def test_a_row_parked_during_the_last_look_is_not_forgotten(bell):
    """The word is taken back first, and the park looked at again afterwards."""
    limits, parking = Limits(), Parking()
    limits.wanted = {KEY}
    limits.on_unwant = lambda: parking.rows.append(ROW)
    handover = HandOver(limits, parking, bell, lambda: NOW)

    handover.ring_next([KEY])

    assert (bell.rung, limits.wanted) == ([("default", "m.001")], {KEY})


def test_a_row_of_another_zone_is_rung_for(bell):
    """A slot of a source address may be wanted by a zone that others work for."""
    limits = Limits()
    limits.wanted = {KEY}
    handover = HandOver(limits, Parking([replace(ROW, zone="news")]), bell, lambda: NOW)

    claimed = handover.claim_next(KEY, zone="default", owner="w")

    assert (claimed, bell.rung) == (None, [("news", "m.001")])


def test_a_database_that_is_away_stops_nobody(bell):
    """The scheduler's safety net rings in its place."""
    parking = Parking([ROW])
    parking.is_away = True

    HandOver(Limits(), parking, bell, lambda: NOW).ring_next([KEY])

    assert bell.rung == []
