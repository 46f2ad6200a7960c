"""How many doorbells lie ready: enough not to run dry, too few to wait behind."""

import pytest

from mta.policy.fairness import (
    HIGH_WATER,
    LEAST_LOW_WATER,
    LOW_WATER,
    direct_water,
    low_water,
)
from mta.worker.drain import AHEAD_S, Drain
from mta.worker.scheduler import SOON_S, TICK_S


class Zone:
    """A list of doorbells, its workers, and a scheduler with an endless backlog."""

    def __init__(self, rate):
        self.rate = rate
        self.drain = Drain()
        self.depth = 0.0
        self.at_s = 0.0
        self.idle_s = 0.0

    def tick(self):
        """Fill the list; returns the pause until the next tick."""
        found = int(self.depth)
        target = self.drain.target(found, self.at_s, low=LOW_WATER)
        self.depth = max(self.depth, target)
        self.drain.note(int(self.depth), self.at_s)
        return SOON_S if found == 0 else TICK_S

    def run(self, seconds):
        until = self.at_s + seconds
        self.idle_s = 0.0
        while self.at_s < until:
            pause_s = self.tick()
            taken = self.rate * pause_s
            if taken > self.depth:
                self.idle_s += pause_s - self.depth / self.rate
            self.depth = max(0.0, self.depth - taken)
            self.at_s += pause_s


@pytest.mark.parametrize("rate", [1, 100, 480, 900, 1_600, 3_000, 4_500])
def test_a_backlog_never_runs_dry_between_two_ticks(rate):
    """Work-conserving: a tenant who is alone has all of the zone."""
    zone = Zone(rate)
    zone.run(3)

    zone.run(60)

    assert zone.idle_s == 0


@pytest.mark.parametrize("rate", [900, 1_600, 4_500])
def test_the_estimate_grows_within_a_second_or_two(rate):
    """At its start nobody knows how fast the workers are."""
    zone = Zone(rate)

    zone.run(3)

    assert zone.idle_s < 1.5


@pytest.mark.parametrize("rate", [300, 700, 1_200])
def test_the_list_is_no_longer_than_a_few_seconds_worth(rate):
    """Whoever comes now waits behind no more than that."""
    zone = Zone(rate)
    zone.run(30)

    zone.tick()

    assert zone.depth <= rate * AHEAD_S * 1.1


def test_workers_that_get_faster_are_followed_at_once():
    """A slow next hop that recovers must not leave them idle."""
    zone = Zone(20)
    zone.run(60)
    zone.rate = 1_500

    zone.run(10)

    assert zone.idle_s < 1.5


def test_workers_that_get_slower_are_followed_in_some_seconds():
    """Else other tenants' mail would wait behind a list made for better times."""
    zone = Zone(1_500)
    zone.run(30)
    zone.rate = 100

    zone.run(60)
    zone.tick()

    assert zone.depth == LOW_WATER


def test_a_zone_that_nobody_consumes_gets_the_shortest_list():
    """What is not taken is not worth ringing for."""
    zone = Zone(0)

    zone.run(60)

    assert zone.depth == LOW_WATER


def test_others_who_ring_do_not_make_the_workers_look_slow():
    """Acceptance rings as well: a list that grew tells nothing."""
    drain = Drain()
    drain.target(0, 0.0, low=LOW_WATER)
    drain.note(3_000, 0.0)
    drain.target(1_500, 1.0, low=LOW_WATER)
    drain.note(1_500, 1.0)

    target = drain.target(1_600, 2.0, low=LOW_WATER)

    assert target == pytest.approx(1_500, abs=2)


def test_an_estimate_of_yesterday_is_forgotten():
    """The workers may be fewer by now."""
    drain = Drain()
    drain.target(0, 0.0, low=LOW_WATER)
    drain.note(5_000, 0.0)
    assert drain.target(0, 1.0, low=LOW_WATER) == HIGH_WATER
    drain.note(0, 1.0)

    assert drain.target(0, 100.0, low=LOW_WATER) == LOW_WATER


def test_a_slow_zone_has_a_shorter_list_yet():
    """At five seconds a delivery, who comes later waits behind each of those."""
    assert [low_water(n) for n in (1, 10, 1_000)] == [LEAST_LOW_WATER, 100, LOW_WATER]


@pytest.mark.parametrize("connections", [1, 10, 1_000])
def test_acceptance_leaves_the_scheduler_its_room(connections):
    """Two thirds of the shortest list are there when the next tick comes."""
    left = low_water(connections) * (1 - TICK_S / AHEAD_S)

    assert left > 2 * direct_water(connections)  # each class has a list of its own
