"""What one attempt does: hosts, sessions, source addresses."""

import pytest

from mta.config.zones import Config, ConnectionCache, DomainLimits
from mta.errors import PermanentFailure, TransientFailure
from mta.relay.failures import StaleSession
from tests.unit.relay.fakes import (
    OK,
    FakeConnector,
    FakeSession,
    FakeTargets,
    a_request,
    a_zone,
    failure,
    pool_of,
)


def test_first_host_takes_the_message(a_relay):
    """The usual case, and what is told of it."""
    session = FakeSession("mx0.test")

    sent = a_relay(FakeConnector(session)).send(a_request(needs_8bit=True))

    assert (sent.reply, sent.host, sent.tls) == (OK, "mx0.test", "TLSv1.3")
    assert not sent.is_reused
    assert session.transactions[0].is_8bit
    assert not session.is_closed


def test_next_host_is_tried_when_the_first_cannot_be_reached(a_relay):
    """That is what several MX records are for (RFC 5321 §5.1)."""
    connector = FakeConnector(failure(), FakeSession("mx1.test"))

    assert a_relay(connector).send(a_request()).host == "mx1.test"


@pytest.mark.parametrize("kind", [TransientFailure, PermanentFailure])
def test_answer_about_the_message_is_the_last_word(a_relay, kind):
    """Another host of the same domain would not know better."""
    session = FakeSession("mx0.test", failure(kind, next_host=False, text="answer"))
    connector = FakeConnector(session)

    with pytest.raises(kind, match="answer"):
        a_relay(connector).send(a_request())

    assert len(connector.calls) == 1


def test_first_failure_is_told_when_no_host_can_be_reached(a_relay):
    """The best host's trouble is the one to know about."""
    connector = FakeConnector(failure(text="first"), failure(text="second"))

    with pytest.raises(TransientFailure, match="first"):
        a_relay(connector).send(a_request())


def test_no_further_host_is_tried_when_time_is_up(a_relay, clock):
    """An attempt ends, even if each of twenty hosts takes its time."""

    class Slow(FakeConnector):
        def connect(self, *args, **kwargs):
            clock.now += 1000
            return super().connect(*args, **kwargs)

    connector = Slow(failure(text="first"), FakeSession("mx1.test"))

    with pytest.raises(TransientFailure, match="first"):
        a_relay(connector).send(a_request())


def test_session_is_used_again(a_relay):
    """The second message to a domain needs no second session."""
    session = FakeSession("mx0.test")
    connector = FakeConnector(session)
    relay = a_relay(connector)

    relay.send(a_request())
    sent = relay.send(a_request(delivery_id="2.001"))

    assert sent.is_reused
    assert len(connector.calls) == 1


def test_session_is_used_again_after_a_refusal(a_relay):
    """An unknown recipient says nothing against the session."""
    session = FakeSession("mx0.test", failure(PermanentFailure, next_host=False))
    relay = a_relay(FakeConnector(session))
    with pytest.raises(PermanentFailure):
        relay.send(a_request())

    assert relay.send(a_request()).is_reused


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({}, {"domain": "c.test"}, id="domain"),
        pytest.param({}, {"zone": a_zone("other")}, id="zone"),
    ],
)
def test_session_is_not_shared_across(a_relay, first, second):
    """Mail of one kind never leaves over the session of another."""
    connector = FakeConnector(FakeSession("mx0.test"), FakeSession("mx1.test"))
    relay = a_relay(connector)

    relay.send(a_request(**first))
    sent = relay.send(a_request(**second))

    assert not sent.is_reused


def test_stale_session_is_replaced_at_once(a_relay):
    """It died waiting: that is no attempt, and costs no delay."""
    stale = FakeSession("mx0.test", OK, failure(StaleSession))
    connector = FakeConnector(stale, FakeSession("mx0.test"))
    relay = a_relay(connector)
    relay.send(a_request())

    sent = relay.send(a_request())

    assert not sent.is_reused
    assert stale.is_closed


def test_session_is_closed_after_its_last_use(a_relay):
    """Some peers count messages; we count first."""
    zone = a_zone(connection_cache=ConnectionCache(reuse_count=1))
    session = FakeSession("mx0.test")

    a_relay(FakeConnector(session)).send(a_request(zone))

    assert session.is_closed


def test_error_of_the_content_passes_through(a_relay):
    """The store's trouble is not the next hop's; the session is not kept."""
    session = FakeSession("mx0.test", RuntimeError("store"))

    with pytest.raises(RuntimeError):
        a_relay(FakeConnector(session)).send(a_request())


def test_source_is_of_the_targets_family(a_relay):
    """A target is reached from the pool's address of its own kind."""
    zone = a_zone(addresses=pool_of("192.0.2.10", "2001:db8::10"))
    connector = FakeConnector(failure(), FakeSession("mx1.test"))
    targets = FakeTargets("192.0.2.1", "2001:db8::1")

    a_relay(connector, targets).send(a_request(zone))

    assert [str(source.address) for _, source, _ in connector.calls] == [
        "192.0.2.10",
        "2001:db8::10",
    ]


def test_family_the_pool_lacks_is_not_dialed(a_relay):
    """Mail never leaves from an address outside of the zone's pool."""
    zone = a_zone(addresses=pool_of("192.0.2.10"))
    connector = FakeConnector()
    targets = FakeTargets("2001:db8::1")

    with pytest.raises(TransientFailure, match="family") as raised:
        a_relay(connector, targets).send(a_request(zone))

    assert raised.value.category == "policy"
    assert not connector.calls


def test_address_disabled_for_the_domain_is_not_used(a_relay):
    """The rest of the pool takes over; other domains see no difference."""
    zone = a_zone(addresses=pool_of("192.0.2.10", "192.0.2.11"))
    disabled = DomainLimits(disabled_addresses=(zone.addresses[0].address,))
    config = Config(domains={"b.test": disabled})
    connector = FakeConnector(*(FakeSession() for _ in range(20)))
    relay = a_relay(connector, config=config)
    for number in range(10):
        for seq, domain in (("001", "b.test"), ("002", "c.test")):
            delivery_id = f"{number}.{seq}"
            request = a_request(
                zone, config=config, delivery_id=delivery_id, domain=domain
            )
            relay.send(request)

    sources = [str(source.address) for _, source, _ in connector.calls]

    assert sorted(sources) == ["192.0.2.10", "192.0.2.11", "192.0.2.11"]


def test_domain_for_which_all_addresses_are_disabled_has_to_wait(a_relay):
    """As when the pool has none of the family; none is used in spite of it."""
    zone = a_zone(addresses=pool_of("192.0.2.10"))
    disabled = DomainLimits(disabled_addresses=(zone.addresses[0].address,))
    connector = FakeConnector()
    config = Config(domains={"b.test": disabled})

    with pytest.raises(TransientFailure, match="family") as raised:
        a_relay(connector).send(a_request(zone, config=config))

    assert raised.value.category == "policy"
    assert not connector.calls


def test_sandbox_needs_no_source(a_relay):
    """Its mail stays on this machine, whatever addresses the pool names."""
    zone = a_zone(addresses=pool_of("192.0.2.10"))
    connector = FakeConnector(FakeSession("sandbox"))
    targets = FakeTargets("127.0.0.1")
    targets.sandbox = ("127.0.0.1", 2599)

    a_relay(connector, targets).send(a_request(zone))

    assert connector.calls[0][1] is None


@pytest.mark.parametrize(("sender", "same"), [("ada@a.test", True), ("", False)])
def test_a_sender_sticks_to_an_address_if_that_is_wanted(a_relay, sender, same):
    """All mail of one sender, or all attempts of one delivery."""
    zone = a_zone(addresses=pool_of(*(f"192.0.2.{n}" for n in range(1, 100))))
    connector = FakeConnector(*(FakeSession("mx0.test") for _ in range(5)))
    relay = a_relay(connector)
    for number in range(5):
        relay.send(
            a_request(
                zone,
                delivery_id=f"{number}.001",
                domain=f"d{number}",
                sender=sender,
            )
        )

    sources = {str(source.address) for _, source, _ in connector.calls}

    assert (len(sources) == 1) == same
