"""How much one connection carries: in all, and from one message to the next."""

from datetime import timedelta

import pytest

from mta.config.zones import (
    Config,
    ConnectionCache,
    DomainLimits,
    Provider,
    Rate,
    SharedLimit,
)
from mta.errors import SlotsTaken, TransientFailure
from mta.relay.failures import StaleSession
from mta.relay.request import Chain
from tests.unit.relay.fakes import (
    OK,
    FakeConnector,
    FakeSession,
    FakeTargets,
    a_request,
    a_zone,
    failure,
    unreachable,
)

DOMAIN = "domain:default:b.test"
EVERY_SIX_SECONDS = Rate(10, timedelta(minutes=1))
ONE_PER_DOMAIN = Config(domains={"default": DomainLimits(max_connections=1)})


@pytest.fixture
def resting():
    """A zone whose connections rest."""
    return a_zone(connection_throttling=EVERY_SIX_SECONDS)


@pytest.mark.parametrize(
    ("of_domain", "of_provider", "uses"),
    [(None, None, 4), (3, None, 3), (None, 2, 2), (2, 3, 2), (9, 9, 4)],
)
def test_a_session_carries_what_zone_domain_and_provider_allow(
    a_relay, of_domain, of_provider, uses
):
    """The least of the three."""
    config = Config(
        domains={"b.test": DomainLimits(reuse_count=of_domain)},
        providers={
            "big": Provider(name="big", mx=("mx.big.test",), reuse_count=of_provider)
        },
    )
    zone = a_zone(connection_cache=ConnectionCache(reuse_count=4))
    sessions = [FakeSession(), FakeSession()]
    targets = FakeTargets("192.0.2.1", hosts=("mx.big.test",))
    relay = a_relay(FakeConnector(*sessions), targets, config=config)

    for _ in range(uses + 1):
        relay.send(a_request(zone, config=config))

    assert [session.uses for session in sessions] == [uses, 1]


def test_zones_share_a_limit_that_both_name(a_relay, limits):
    """The one has all of it, so the other waits for that very limit."""
    config = Config(limits={"line": SharedLimit(name="line", max_connections=1)})
    relay = a_relay(FakeConnector(FakeSession()), config=config)
    limits.wanted = {"domain:a:b.test"}
    relay.send(a_request(a_zone("a", limits=("line",)), config=config), Chain())

    with pytest.raises(SlotsTaken) as taken:
        relay.send(a_request(a_zone("b", limits=("line",)), config=config))

    assert (taken.value.key, taken.value.limit) == ("shared:line", 1)


def test_a_connection_rests_in_the_hands_of_its_task(a_relay, clock, resting):
    """From MAIL to MAIL; nobody waits while a delivery is held."""
    session, chain = FakeSession(), Chain()
    relay = a_relay(FakeConnector(session))

    relay.send(a_request(resting), chain)

    assert chain.session.session is session
    assert chain.rests_until == clock.now + 6
    assert clock.slept == []


def test_a_rested_connection_goes_on_or_is_anybodys(a_relay, clock, resting):
    """As its task finds another delivery, or ends."""
    session, chain = FakeSession(), Chain()
    connector = FakeConnector(session)
    relay = a_relay(connector)
    relay.send(a_request(resting), chain)
    clock.now += 6
    relay.send(a_request(resting), chain)
    is_kept = chain.session is not None
    relay.end(chain)
    relay.send(a_request(resting), Chain())

    assert is_kept
    assert (session.uses, len(connector.calls)) == (3, 1)


def test_the_slots_of_a_resting_connection_are_nobodys(a_relay, limits, resting):
    """Else a new connection would be opened in its place, and rest for nobody."""
    relay = a_relay(FakeConnector(FakeSession()), config=ONE_PER_DOMAIN)
    limits.wanted = {DOMAIN}
    relay.send(a_request(resting, config=ONE_PER_DOMAIN), Chain())

    with pytest.raises(SlotsTaken):
        relay.send(a_request(resting, config=ONE_PER_DOMAIN), Chain())


def test_a_connection_that_is_used_up_rests_too(a_relay, clock):
    """It holds its slots until then, and carries nothing more."""
    zone = a_zone(
        connection_throttling=EVERY_SIX_SECONDS,
        connection_cache=ConnectionCache(reuse_count=1),
    )
    first, second, chain = FakeSession(), FakeSession(), Chain()
    relay = a_relay(FakeConnector(first, second))
    relay.send(a_request(zone), chain)
    is_open = not first.is_closed
    clock.now += 6

    relay.send(a_request(zone), chain)

    assert is_open
    assert first.is_ended
    assert second.uses == 1


def test_a_broken_connection_does_not_rest(a_relay, limits, resting):
    """Its peer counts it no more."""

    stale, chain = FakeSession("mx0.test", failure(StaleSession)), Chain()
    connector = FakeConnector(stale, unreachable(), unreachable())
    with pytest.raises(TransientFailure):
        a_relay(connector).send(a_request(resting), chain)

    assert chain.session is None
    assert limits.keys == set()


def test_a_zone_without_such_a_rate_has_no_rest(a_relay):
    """What nobody waits for goes back to the pool at once."""
    chain = Chain()

    a_relay(FakeConnector(FakeSession("mx0.test", OK))).send(a_request(), chain)

    assert (chain.session, chain.rests_until) == (None, 0.0)
