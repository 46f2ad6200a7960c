"""A destination that could not be reached is left alone for a while, by everybody."""

import pytest

from mta.errors import PermanentFailure, TransientFailure
from mta.relay.troubles import TROUBLE_TTL
from tests.unit.relay.fakes import (
    SECOND,
    FakeConnector,
    FakeSession,
    FakeTargets,
    a_request,
    a_zone,
    failure,
    not_from_here,
    pool_of,
    unreachable,
)

KEY = "default:b.test"


def fail(relay, request=None):
    with pytest.raises(TransientFailure) as raised:
        relay.send(request or a_request())
    return raised.value


def test_unreachable_destination_is_noted(a_relay, limits):
    """All its hosts were dialed and none answered."""
    connector = FakeConnector(unreachable("first"), unreachable("second"))

    fail(a_relay(connector))

    assert limits.troubles == {KEY: ("450 first", TROUBLE_TTL)}


def test_host_that_lacks_our_family_does_not_hide_the_trouble(a_relay, limits):
    """It cannot be reached either."""
    zone = a_zone(addresses=pool_of("192.0.2.10"))
    targets = FakeTargets("2001:db8::1", "192.0.2.1")

    fail(a_relay(FakeConnector(unreachable()), targets), a_request(zone))

    assert set(limits.troubles) == {KEY}


@pytest.mark.parametrize(
    ("targets", "script"),
    [
        pytest.param(
            FakeTargets("192.0.2.1", "192.0.2.2"),
            [unreachable(), failure(text="421 busy", category="smtp")],
            id="one is busy",
        ),
        pytest.param(FakeTargets("2001:db8::1"), [], id="no address of ours"),
    ],
)
def test_what_says_nothing_of_the_next_message_is_not_noted(
    a_relay, limits, targets, script
):
    """Somebody was there, or nobody was asked."""
    zone = a_zone(addresses=pool_of("192.0.2.10"))

    fail(a_relay(FakeConnector(*script), targets), a_request(zone))

    assert limits.troubles == {}


def test_sandbox_is_never_in_trouble(a_relay, limits):
    """It is one of ours, and back in a moment."""
    targets = FakeTargets("127.0.0.1")
    targets.sandbox = ("127.0.0.1", 2599)

    fail(a_relay(FakeConnector(unreachable()), targets))

    assert limits.troubles == {}


def test_destination_in_trouble_is_not_tried(a_relay, limits):
    """It fails with the same reply, and says that this is old news."""
    connector = FakeConnector()
    limits.troubles[KEY] = ("450 4.4.1 nobody there", TROUBLE_TTL - 37 * SECOND)

    failed = fail(a_relay(connector))

    assert str(failed.reply) == (
        "450 4.4.1 nobody there Not tried again: it failed so 37 s ago"
    )
    assert failed.category == "network"
    assert not connector.calls
    assert limits.keys == set()


def test_odd_words_of_trouble_still_make_a_reply(a_relay, limits):
    """What other versions of this program have written must not break this one."""
    limits.troubles[KEY] = ("nobody there", TROUBLE_TTL)

    assert str(fail(a_relay(FakeConnector())).reply).startswith(
        "450 4.4.1 nobody there"
    )


def test_trouble_with_names_is_not_asked_about_again(a_relay, limits, clock):
    """DNS is left alone for a time; by us: others may have a better resolver."""
    dns = failure(text="no answer", category="dns", next_host=False)
    targets = FakeTargets("192.0.2.1", failure=dns)
    relay = a_relay(FakeConnector(), targets)
    fail(relay)
    clock.now += 37

    assert "it failed so 37 s ago" in str(fail(relay).reply)
    assert targets.asked == 1
    assert limits.troubles == {}

    clock.now += 83
    assert fail(relay) is dns


@pytest.mark.parametrize(
    ("script", "is_noted"),
    [
        pytest.param([not_from_here(), unreachable()], True, id="one of two families"),
        pytest.param([not_from_here(), not_from_here()], False, id="no network"),
    ],
)
def test_what_this_machine_cannot_reach_is_no_trouble(
    a_relay, limits, script, is_noted
):
    """Workers on other machines may well reach it."""
    fail(a_relay(FakeConnector(*script)))

    assert (KEY in limits.troubles) is is_noted


def test_dead_destination_is_noted_after_two_minutes(a_relay, limits, clock):
    """However many addresses it has left: its slots are wanted by others."""

    def time_out(fuse):
        clock.now += 50
        return unreachable()

    connector = FakeConnector(*[time_out] * 9)
    addresses = [f"192.0.2.{n}" for n in range(1, 10)]

    fail(a_relay(connector, FakeTargets(*addresses)))

    assert len(connector.calls) == 3
    assert KEY in limits.troubles


def test_domain_that_does_not_exist_is_no_trouble(a_relay, limits):
    """That is an answer, and costs nothing."""
    targets = FakeTargets("192.0.2.1", failure=failure(PermanentFailure))

    with pytest.raises(PermanentFailure):
        a_relay(FakeConnector(), targets).send(a_request())

    assert limits.troubles == {}


def test_opened_session_ends_the_trouble_for_all(a_relay, limits):
    """One that was under way already, or comes when the time is over."""
    connector = FakeConnector(unreachable(), unreachable(), FakeSession())
    relay = a_relay(connector)
    fail(relay)
    fail(relay)  # heard of, not tried
    limits.troubles.clear()

    relay.send(a_request())

    assert limits.cleared == [KEY]


def test_opened_session_costs_no_round_trip_without_trouble(a_relay, limits):
    """There is nothing to end."""
    a_relay(FakeConnector(FakeSession())).send(a_request())

    assert limits.cleared == []
