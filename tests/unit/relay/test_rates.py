"""A message takes its turn once, and is sent no sooner."""

from datetime import timedelta

import pytest

from mta.config.zones import Rate
from mta.errors import RateReached, TransientFailure
from mta.relay.failures import StaleSession
from mta.relay.relay import STALE_S
from tests.unit.relay.fakes import (
    OK,
    FakeConnector,
    FakeSession,
    FakeTargets,
    a_request,
    a_zone,
    failure,
    later,
    pool_of,
    unreachable,
)

MINUTELY = Rate(1, timedelta(minutes=1))
ZONE = "zone:default"


def test_rate_is_asked_for_on_every_message(a_relay, limits):
    """A session saves the slots, not the turn."""
    zone = a_zone(throttling=MINUTELY)
    relay = a_relay(FakeConnector(FakeSession()))

    relay.send(a_request(zone))
    relay.send(a_request(zone, has_turn=True))

    assert [paces for _, _, paces, _ in limits.log] == [[ZONE], [ZONE]]
    assert limits.log[0][0] == limits.log[1][0]
    assert limits.turns == [False, True]


def test_reached_rate_is_said_before_the_dial(a_relay, limits):
    """With the time of the delivery's own turn."""
    connector = FakeConnector()
    limits.answers = [later(seconds=60)]

    with pytest.raises(RateReached) as reached:
        a_relay(connector).send(a_request())

    assert (reached.value.key, reached.value.wait) == (ZONE, timedelta(minutes=1))
    assert not connector.calls
    assert limits.keys == set()


def test_session_without_a_turn_goes_back_to_the_pool(a_relay, limits):
    """The next one may have its turn while it still stands."""
    zone = a_zone(throttling=MINUTELY)
    relay = a_relay(FakeConnector(FakeSession()))
    relay.send(a_request(zone))
    limits.answers = [later()]
    with pytest.raises(RateReached):
        relay.send(a_request(zone))

    assert relay.send(a_request(zone)).is_reused


def test_short_wait_is_spent_on_an_open_session(a_relay, limits, clock):
    """So that the rate is met at the peer; what the dial took is not waited again."""
    limits.waits = [timedelta(seconds=0.75)]
    zone = a_zone(throttling=MINUTELY)

    def connect(fuse):
        clock.now += 0.25
        return FakeSession("mx0.test", lambda fuse: seen.append(clock.now) or OK)

    seen = []

    a_relay(FakeConnector(connect)).send(a_request(zone))

    assert clock.slept == [0.5]
    assert seen == [100.75]


def test_a_grant_that_the_peer_let_pass_is_asked_for_again(a_relay, limits, clock):
    """Many that were held up alike would all be sent at one moment."""
    zone = a_zone(throttling=MINUTELY)

    def connect(fuse):
        clock.now += STALE_S
        return FakeSession()

    relay = a_relay(FakeConnector(connect))
    limits.answers = [None, later()]
    with pytest.raises(RateReached):
        relay.send(a_request(zone))

    # The session that was so long in coming waits for somebody whose turn it is.
    assert relay.send(a_request(zone, has_turn=True)).is_reused is False
    assert [paces for _, _, paces, _ in limits.log] == [[ZONE]] * 3


def test_a_limit_met_on_the_way_to_the_next_host_is_a_failure_of_the_first(
    a_relay, limits
):
    """It was an attempt: it counts, and the schedule says when to try again."""
    first = failure(text="421 busy")
    connector = FakeConnector(FakeSession("mx0.test", first))
    limits.answers = [None, later()]

    with pytest.raises(TransientFailure) as failed:
        a_relay(connector).send(a_request(a_zone(throttling=MINUTELY)))

    assert failed.value is first


def test_rate_is_paid_once_for_all_hosts(a_relay, limits):
    """The delivery is one message, whoever takes it."""
    addresses = pool_of("192.0.2.10", "2001:db8::10", max_connections=3)
    zone = a_zone(throttling=MINUTELY, addresses=addresses)
    connector = FakeConnector(unreachable(), FakeSession("mx1.test"))
    targets = FakeTargets("192.0.2.1", "2001:db8::1")

    a_relay(connector, targets).send(a_request(zone))

    assert [paces for _, _, paces, _ in limits.log] == [[ZONE], []]


def test_rate_paid_on_a_stale_session_is_not_paid_again(a_relay, limits):
    """Nothing was sent over it."""
    zone = a_zone(throttling=MINUTELY)
    stale = FakeSession("mx0.test", OK, failure(StaleSession))
    relay = a_relay(FakeConnector(stale, FakeSession()))
    relay.send(a_request(zone))

    relay.send(a_request(zone))

    assert [paces for _, _, paces, _ in limits.log] == [[ZONE], [ZONE], []]
