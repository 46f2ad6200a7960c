"""Every session holds its slots from before the dial until its real end."""

import threading
from datetime import timedelta

import pytest

from mta.config.zones import (
    Config,
    ConnectionCache,
    DomainLimits,
    Provider,
)
from mta.errors import PermanentFailure, SlotsTaken, TransientFailure
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
    pool_of,
    unreachable,
)

ZONE, DOMAIN = "zone:default", "domain:default:b.test"
ONE_PER_DOMAIN = Config(domains={"default": DomainLimits(max_connections=1)})


def test_slots_are_held_before_the_dial(a_relay, limits):
    """The peer must never see one connection more than it allows."""
    seen = []

    def connect(fuse):
        seen.append(limits.keys)
        return FakeSession()

    a_relay(FakeConnector(connect)).send(a_request())

    assert seen == [{ZONE, DOMAIN}]
    assert limits.keys == {ZONE, DOMAIN}


def test_idle_session_keeps_its_slots(a_relay, limits):
    """To the peer it is a connection like any other."""
    a_relay(FakeConnector(FakeSession())).send(a_request())

    assert limits.keys == {ZONE, DOMAIN}


def test_session_without_new_limits_asks_nobody(a_relay, limits):
    """The second message to a domain costs no round trip."""
    relay = a_relay(FakeConnector(FakeSession()))

    for _ in range(3):
        relay.send(a_request())

    assert len(limits.log) == 1


@pytest.mark.parametrize(
    ("session", "is_ended"),
    [
        pytest.param(FakeSession("mx0.test", OK), True, id="good"),
        pytest.param(FakeSession("mx0.test", failure(StaleSession)), False, id="bad"),
    ],
)
def test_ended_session_gives_its_slots_back(a_relay, limits, session, is_ended):
    """With QUIT if it is in good order, and at once if it is not."""
    zone = a_zone(connection_cache=ConnectionCache(reuse_count=1))
    relay = a_relay(FakeConnector(session, unreachable()))

    try:
        relay.send(a_request(zone))
    except TransientFailure:
        assert not is_ended

    assert session.is_closed
    assert session.is_ended == is_ended
    assert limits.keys == set()


def test_slots_are_given_back_only_at_the_real_end(a_relay, limits):
    """Nobody waits for a goodbye, and nobody is let in before it."""
    aside = []
    zone = a_zone(connection_cache=ConnectionCache(reuse_count=1))
    relay = a_relay(FakeConnector(FakeSession()), start_thread=aside.append)

    relay.send(a_request(zone))
    held = limits.keys
    aside.pop()()

    assert held == {ZONE, DOMAIN}
    assert limits.keys == set()


def test_slots_of_a_failed_dial_are_given_back(a_relay, limits):
    """What was never opened counts no more; the rate it took is spent."""
    connector = FakeConnector(unreachable(), unreachable())

    with pytest.raises(TransientFailure):
        a_relay(connector).send(a_request())

    assert limits.keys == set()
    assert len(limits.log) == 1


@pytest.mark.parametrize("killed_in", ["acquire", "connect", "transact", "sleep"])
def test_slots_of_a_killed_attempt_are_given_back(a_relay, limits, clock, killed_in):
    """Its session is closed, and never used again: nobody knows what it was at."""
    session = FakeSession("mx0.test", KeyboardInterrupt())
    if killed_in == "sleep":
        limits.waits = [timedelta(seconds=1)]
        clock.sleep = lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt())
        session = FakeSession()
    relay = a_relay(
        FakeConnector(KeyboardInterrupt() if killed_in == "connect" else session)
    )
    if killed_in == "acquire":
        acquire = limits.acquire

        def killed(*args, **kwargs):
            acquire(*args, **kwargs)
            raise KeyboardInterrupt

        limits.acquire = killed

    with pytest.raises(KeyboardInterrupt):
        relay.send(a_request())

    assert limits.keys == set()
    assert session.is_closed == (killed_in in ("transact", "sleep"))
    assert not session.is_ended


def test_full_limit_is_said_before_the_dial(a_relay, limits):
    """Nothing was tried, so nothing failed."""
    connector = FakeConnector()
    limits.held = {DOMAIN: {"another"}}

    with pytest.raises(SlotsTaken) as taken:
        a_relay(connector).send(a_request(config=ONE_PER_DOMAIN))

    assert (taken.value.key, taken.value.limit) == (DOMAIN, 1)
    assert limits.keys == {DOMAIN}
    assert not connector.calls


def test_idle_session_in_the_way_is_ended_first(a_relay, limits):
    """Our own warm session must not keep our own mail waiting."""
    zone = a_zone(connections=1)
    idle = FakeSession()
    relay = a_relay(FakeConnector(idle, FakeSession()))
    relay.send(a_request(zone))

    sent = relay.send(a_request(zone, domain="c.test"))

    assert idle.is_ended
    assert not sent.is_reused
    assert limits.keys == {ZONE, "domain:default:c.test"}


def test_session_on_its_way_out_is_waited_for(a_relay, limits):
    """With one connection and no idle time, the next message follows the last."""
    zone = a_zone(connections=1, connection_cache=ConnectionCache(reuse_count=1))
    aside = []
    has_asked = threading.Event()
    acquire = limits.acquire

    def spy(*args, **kwargs):
        answer = acquire(*args, **kwargs)
        if len(limits.log) == 2:
            has_asked.set()
        return answer

    limits.acquire = spy
    relay = a_relay(
        FakeConnector(FakeSession(), FakeSession()), start_thread=aside.append
    )
    relay.send(a_request(zone))
    farewell = threading.Thread(target=lambda: has_asked.wait(10) and aside[0]())
    farewell.start()

    relay.send(a_request(zone))

    farewell.join()
    assert len(limits.log) == 3


def test_other_domain_on_the_same_session_is_asked_for(a_relay, limits):
    """Through a relay host one session serves many domains, each with its limit."""
    zone = a_zone(host="relay.test")
    relay = a_relay(FakeConnector(FakeSession()))
    relay.send(a_request(zone))

    sent = relay.send(a_request(zone, domain="c.test"))

    assert sent.is_reused
    assert limits.log[1][1:] == (
        ["domain:default:c.test", ZONE],
        [],
        [DOMAIN],
    )
    assert limits.keys == {ZONE, "domain:default:c.test"}


def test_slot_that_a_session_moves_away_from_is_handed_on(a_relay, limits, freed):
    """Somebody may wait for the domain it served before."""
    zone = a_zone(host="relay.test")
    relay = a_relay(FakeConnector(FakeSession()))
    relay.send(a_request(zone))
    limits.wanted = {DOMAIN}

    relay.send(a_request(zone, domain="c.test"))

    assert freed == [[DOMAIN]]


def test_denied_session_goes_back_to_the_pool(a_relay, limits):
    """It is as good as before for the domain it was opened for."""
    zone = a_zone(host="relay.test")
    relay = a_relay(FakeConnector(FakeSession()), config=ONE_PER_DOMAIN)
    relay.send(a_request(zone, config=ONE_PER_DOMAIN))
    limits.held["domain:default:c.test"] = {"another"}
    with pytest.raises(SlotsTaken):
        relay.send(a_request(zone, config=ONE_PER_DOMAIN, domain="c.test"))

    assert relay.send(a_request(zone, config=ONE_PER_DOMAIN)).is_reused


def test_other_source_for_the_next_host_changes_the_slots(a_relay, limits):
    """Each of our addresses has its own limit; nothing else is let go."""
    addresses = pool_of("192.0.2.10", "2001:db8::10", max_connections=3)
    zone = a_zone(addresses=addresses)
    connector = FakeConnector(unreachable(), FakeSession("mx1.test"))
    targets = FakeTargets("192.0.2.1", "2001:db8::1")

    a_relay(connector, targets).send(a_request(zone))

    assert limits.keys == {ZONE, DOMAIN, "source:2001:db8::10"}
    assert limits.log[1][3] == ["source:192.0.2.10"]
    assert limits.log[0][0] == limits.log[1][0]


def test_session_broken_at_one_host_frees_its_slots_for_the_next(a_relay, limits):
    """Two hosts of one attempt never count twice."""
    connector = FakeConnector(
        FakeSession("mx0.test", failure(StaleSession)), FakeSession("mx1.test")
    )

    request = a_request(a_zone(connections=1), config=ONE_PER_DOMAIN)
    a_relay(connector, config=ONE_PER_DOMAIN).send(request)

    assert (limits.count(ZONE), limits.count(DOMAIN)) == (1, 1)


def test_provider_is_known_by_its_hosts(a_relay, limits):
    """The limit of one who receives for many domains."""
    provider = Provider(name="big", mx=("*.big.test",), max_connections=7)
    config = Config(providers={"big": provider})
    targets = FakeTargets("192.0.2.1", hosts=("mx1.big.test", "mx2.big.test"))
    relay = a_relay(FakeConnector(FakeSession()), targets, config=config)

    relay.send(a_request(config=config))
    relay.send(a_request(config=config))

    assert limits.keys == {ZONE, DOMAIN, "provider:default:big"}
    assert len(limits.log) == 1


@pytest.mark.parametrize(
    ("wanted", "is_kept"),
    [
        pytest.param({ZONE}, False, id="zone"),
        pytest.param({"domain:default:c.test"}, True, id="other domain"),
        pytest.param({DOMAIN}, False, id="this domain"),
    ],
)
def test_wanted_slot_is_not_kept_for_an_idle_session(
    a_relay, limits, freed, wanted, is_kept
):
    """Nobody waits for a session that does nothing."""
    session = FakeSession()
    limits.wanted = wanted

    a_relay(FakeConnector(session)).send(a_request())

    assert session.is_closed != is_kept
    assert freed == ([] if is_kept else [sorted(wanted)])


def test_a_chain_keeps_its_session_to_itself(a_relay, limits, freed):
    """Another delivery waits for the domain: the caller goes on with it."""
    session, chain = FakeSession(), Chain()
    relay = a_relay(FakeConnector(session))
    limits.wanted = {DOMAIN}

    relay.send(a_request(), chain)
    is_left = chain.session is not None
    relay.send(a_request(), chain)
    limits.wanted = set()
    relay.end(chain)

    assert is_left
    assert session.uses == 2
    assert (session.is_closed, freed, chain.session) == (False, [], None)


def test_a_chain_ends_by_giving_its_slots_away(a_relay, limits, freed):
    """Its time is over, and somebody still waits."""
    session, chain = FakeSession(), Chain()
    relay = a_relay(FakeConnector(session))
    limits.wanted = {DOMAIN}
    relay.send(a_request(), chain)

    relay.end(chain)

    assert session.is_ended
    assert freed == [[DOMAIN]]


def test_a_chain_lets_go_of_a_session_that_does_not_fit(a_relay, limits):
    """The next delivery goes elsewhere; nobody is kept waiting meanwhile."""
    first, second, chain = FakeSession(), FakeSession(), Chain()
    relay = a_relay(FakeConnector(first, second))
    limits.wanted = {DOMAIN}
    relay.send(a_request(), chain)

    relay.send(a_request(domain="c.test"), chain)

    assert first.is_ended
    assert second.uses == 1


def test_idle_session_is_yielded_on_demand(a_relay, limits, freed):
    """Somebody has come to wait while it was idle."""
    session = FakeSession()
    relay = a_relay(FakeConnector(session))
    relay.send(a_request())
    limits.wanted = {ZONE}

    relay.yield_idle("zone:other")
    is_kept = not session.is_closed
    relay.yield_idle(ZONE)

    assert is_kept
    assert session.is_ended
    assert freed == [[ZONE]]


def test_trouble_with_a_freed_slot_is_not_the_messages(a_relay, limits):
    """The next hop has taken it: nothing else may be said of it."""
    zone = a_zone(connection_cache=ConnectionCache(reuse_count=1))

    def broken(member, keys):
        raise RuntimeError("no")

    def answer(fuse):
        limits.release = broken
        return OK

    relay = a_relay(FakeConnector(FakeSession("mx0.test", answer)))
    sent = relay.send(a_request(zone))

    assert sent.reply == OK


def test_refusal_does_not_cost_the_slots(a_relay, limits):
    """The session stays, and so do they."""
    session = FakeSession("mx0.test", failure(PermanentFailure, next_host=False))

    with pytest.raises(PermanentFailure):
        a_relay(FakeConnector(session)).send(a_request())

    assert limits.keys == {ZONE, DOMAIN}


def test_a_session_of_another_configuration_is_not_used_again(a_relay, limits):
    """It was opened within limits that may be others now."""
    first, second = FakeSession(), FakeSession()
    relay = a_relay(FakeConnector(first, second), config=ONE_PER_DOMAIN)

    relay.send(a_request(config=Config()))  # a moment before the reload
    relay.send(a_request(config=ONE_PER_DOMAIN))

    assert first.is_ended
    assert (second.uses, limits.count(DOMAIN)) == (1, 1)
