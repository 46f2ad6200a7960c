"""What is kept of why an attempt went the way it did."""

import pytest

from mta.config.zones import Config, Provider
from mta.errors import TransientFailure
from mta.policy.measures import Measure
from mta.reasons import MAX_LIMITS, Limit, PassedOver
from mta.relay.sources import MAX_WHY
from tests.unit.relay.fakes import (
    NOW,
    FakeConnector,
    FakeSession,
    FakeTargets,
    a_request,
    a_zone,
    failure,
    pool_of,
    unreachable,
)

FIRST, SECOND = "192.0.2.10", "192.0.2.11"
BIG = Provider(name="big", mx=("*.big.test",), max_connections=7)
WITH_BIG = Config(providers={"big": BIG})


def resting(address, cause="421 no"):
    return Measure(
        action="rest",
        site="b.test",
        source=address,
        since=NOW,
        until=NOW.replace(hour=23),
        cause=cause,
        rule="r",
    )


def test_a_sent_message_says_what_decided(a_relay):
    """Provider, site, our address and all that it counted against."""
    targets = FakeTargets("192.0.2.1", hosts=("mx1.big.test",))
    zone = a_zone(addresses=pool_of(FIRST))
    relay = a_relay(FakeConnector(FakeSession()), targets)

    reasons = relay.send(a_request(zone, config=WITH_BIG)).reasons

    assert (reasons.provider, reasons.site) == ("big", "mx1.big.test")
    assert (reasons.pool_address, reasons.is_last_resort) == (FIRST, False)
    assert reasons.limits == (
        Limit("domain:default:b.test", 5),
        Limit("provider:default:big", 7),
        Limit("zone:default", 10),
    )


def test_a_message_on_an_idle_session_says_the_same(a_relay):
    """It decides nothing anew."""
    targets = FakeTargets("192.0.2.1", hosts=("mx1.big.test",))
    zone = a_zone(addresses=pool_of(FIRST))
    relay = a_relay(FakeConnector(FakeSession()), targets, config=WITH_BIG)

    first, second = (relay.send(a_request(zone, config=WITH_BIG)) for _ in range(2))

    assert second.is_reused
    assert second.reasons == first.reasons


def test_who_receives_is_not_asked_where_nothing_depends_on_it(a_relay):
    """Without providers and measures it would be a question for nothing."""
    reasons = a_relay(FakeConnector(FakeSession())).send(a_request()).reasons

    assert (reasons.provider, reasons.site, reasons.pool_address) == ("", "", "")


def test_what_was_passed_over_is_said_with_its_cause(a_relay):
    """Of a long reply, its beginning."""
    zone = a_zone(addresses=pool_of(FIRST, SECOND, "2001:db8::1"))
    relay = a_relay(
        FakeConnector(FakeSession()), measures=[resting(FIRST, "421 " + "x" * 500)]
    )

    reasons = relay.send(a_request(zone)).reasons

    cause = "rests: " + ("421 " + "x" * 500)[:MAX_WHY]
    assert reasons.passed_over == (
        PassedOver(cause, (FIRST,)),
        PassedOver("the target has IPv4", ("2001:db8::1",)),
    )


def test_the_last_resort_is_said_to_be_one(a_relay):
    """It left from an address that should rest."""
    zone = a_zone(addresses=pool_of(FIRST))
    relay = a_relay(FakeConnector(FakeSession()), measures=[resting(FIRST)])

    reasons = relay.send(a_request(zone)).reasons

    assert (reasons.pool_address, reasons.is_last_resort) == (FIRST, True)


def test_the_family_that_it_left_by_is_the_one_that_counts(a_relay):
    """The first target could not be reached; the second is of the other family."""
    targets = FakeTargets("2001:db8::25", "192.0.2.1")
    zone = a_zone(addresses=pool_of(FIRST, "2001:db8::1"))
    relay = a_relay(FakeConnector(unreachable(), FakeSession()), targets)

    reasons = relay.send(a_request(zone)).reasons

    assert reasons.pool_address == FIRST
    assert reasons.passed_over == (PassedOver("the target has IPv4", ("2001:db8::1",)),)


def test_the_family_of_an_idle_session_is_the_one_that_counts(a_relay):
    """Nobody has asked for a target of it this time."""
    targets = FakeTargets("2001:db8::25")
    zone = a_zone(addresses=pool_of(FIRST, "2001:db8::1"))
    relay = a_relay(FakeConnector(FakeSession()), targets)

    first, second = (relay.send(a_request(zone)) for _ in range(2))

    assert second.is_reused
    assert second.reasons == first.reasons
    assert second.reasons.passed_over == (PassedOver("the target has IPv6", (FIRST,)),)


def test_of_very_many_limits_the_narrowest_are_kept(a_relay):
    """A row has room for so many."""
    names = tuple(f"l{n}" for n in range(20))
    shared = {
        name: {"name": name, "max_connections": 9}
        for name in (*names, *(f"m{n}" for n in range(20)))
    }
    config = Config.model_validate(
        {"limits": shared, "domains": {"default": {"limits": names}}}
    )
    zone = a_zone(limits=tuple(f"m{n}" for n in range(20)))

    reasons = (
        a_relay(FakeConnector(FakeSession()))
        .send(a_request(zone, config=config))
        .reasons
    )

    assert len(reasons.limits) == MAX_LIMITS
    assert reasons.limits[0].key == "domain:default:b.test"


@pytest.mark.parametrize(
    "script",
    [[unreachable()], [FakeSession("mx0.test", failure(next_host=False))]],
    ids=["nobody was there", "somebody said no"],
)
def test_a_failure_says_what_decided_as_well(a_relay, script):
    """People ask about failures."""
    zone = a_zone(addresses=pool_of(FIRST))
    relay = a_relay(FakeConnector(*script), FakeTargets("192.0.2.1"))

    with pytest.raises(TransientFailure) as raised:
        relay.send(a_request(zone))

    reasons = raised.value.reasons
    assert reasons.pool_address == FIRST
    assert [limit.key for limit in reasons.limits] == [
        "domain:default:b.test",
        "zone:default",
    ]


def test_a_failure_of_dns_has_no_address(a_relay):
    """Nothing was chosen."""
    targets = FakeTargets(failure=failure(category="dns"))
    zone = a_zone(addresses=pool_of(FIRST))

    with pytest.raises(TransientFailure) as raised:
        a_relay(FakeConnector(), targets).send(a_request(zone))

    assert raised.value.reasons.pool_address == ""
