"""Who steps in for an address whose ration is used up, and when that is counted."""

from datetime import timedelta
from ipaddress import ip_address

import pytest

from mta.config.zones import Config, PoolAddress, WarmUp, WarmupPlan
from mta.errors import RateReached, SlotsTaken
from mta.policy.limits import Full
from mta.relay.rations import Rations
from mta.relay.sources import Sources, Use
from tests.unit.relay.fakes import (
    NOW,
    Book,
    FakeConnector,
    FakeSession,
    FakeTargets,
    HeldBack,
    a_request,
    a_zone,
    failure,
    later,
    pool_of,
)

DAY = timedelta(days=1)
FIRST, SECOND, THIRD = "192.0.2.10", "192.0.2.11", "192.0.2.12"
COLD = WarmUp(started=NOW.date() - DAY, plan="p")
IDS = [f"{number}.001" for number in range(60)]


def a_cold_pool(*others):
    first = PoolAddress(address=ip_address(FIRST), warmup=COLD)
    return (first, *pool_of(*others))


def a_plan(per_day=1, **changes):
    plan = WarmupPlan(name="p", daily=(1, per_day, 1000), **changes)
    return Config(warmup={"p": plan})


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def sources(book):
    return Sources(
        targets=FakeTargets("192.0.2.1"),
        held_back=HeldBack(),
        rations=Rations(book, lambda: NOW),
        now=lambda: NOW,
    )


@pytest.fixture
def chosen(sources):
    """The address that a delivery leaves from, as an attempt finds it."""

    def choose(delivery_id, zone, config):
        request = a_request(zone, config=config, delivery_id=delivery_id)
        use = Use()
        while True:
            source = sources.choose(request, sources.targets.targets[0], use)
            if sources.take_ration(request, use):
                return str(source.address)

    return choose


@pytest.fixture
def first_one(chosen):
    """A delivery that leaves from the first address of two while it may."""
    zone, config = a_zone(addresses=pool_of(FIRST, SECOND)), a_plan()
    return next(one for one in IDS if chosen(one, zone, config) == FIRST)


def test_a_delivery_that_finds_no_slot_counts_nothing(a_relay, limits, book):
    """It leaves some other time, and would keep another message from leaving now."""
    limits.answers = [Full("zone:default", 1)]
    zone = a_zone(addresses=a_cold_pool())

    with pytest.raises(SlotsTaken):
        a_relay(FakeConnector(), book=book).send(a_request(zone, config=a_plan()))

    assert book.asked == 0


def test_a_delivery_that_has_no_turn_counts_nothing(a_relay, limits, book):
    """Rates are asked before rations."""
    limits.answers = [later()]
    zone = a_zone(addresses=a_cold_pool())

    with pytest.raises(RateReached):
        a_relay(FakeConnector(), book=book).send(a_request(zone, config=a_plan()))

    assert book.asked == 0


def test_an_idle_session_without_a_turn_counts_nothing(a_relay, limits, book):
    """On a session that is open already it is the same."""
    config, zone = a_plan(5), a_zone(addresses=a_cold_pool())
    relay = a_relay(FakeConnector(FakeSession()), book=book, config=config)
    relay.send(a_request(zone, config=config))
    limits.answers = [later()]
    measured = a_zone(addresses=a_cold_pool(), throttling="1/s")

    with pytest.raises(RateReached):
        relay.send(a_request(measured, config=config))

    assert book.asked == 1


def test_where_the_ration_is_used_up_the_slots_are_those_of_the_next(
    a_relay, limits, book
):
    """The slot of the address that was passed over is given back."""
    book.sent[FIRST, "others"] = 1
    pool = tuple(
        entry.model_copy(update={"max_connections": 3})
        for entry in a_cold_pool(SECOND, THIRD)
    )
    relay = a_relay(FakeConnector(*(FakeSession() for _ in IDS)), book=book)
    zone = a_zone(connections=99, addresses=pool)

    for delivery_id in IDS[:8]:
        relay.send(a_request(zone, config=a_plan(), delivery_id=delivery_id))

    assert book.asked == 1
    assert limits.count(f"source:{FIRST}") == 0
    assert limits.count(f"source:{SECOND}") + limits.count(f"source:{THIRD}") == (
        limits.count("zone:default")
    )


def test_a_used_up_ration_changes_nobody_elses_choice(chosen, book):
    """Deliveries keep their addresses, which greylisting wants."""
    zone, config = a_zone(addresses=a_cold_pool(SECOND, THIRD)), a_plan(1000)
    before = {one: chosen(one, zone, config) for one in IDS}
    book.sent[FIRST, "others"] = 1000

    after = {one: chosen(one, zone, config) for one in IDS}

    assert set(before.values()) == {FIRST, SECOND, THIRD}
    assert set(after.values()) == {SECOND, THIRD}
    assert all(after[one] == before[one] for one in IDS if before[one] != FIRST)


def test_a_delivery_that_would_not_leave_from_there_does_not_ask(chosen, book):
    """Not even where the plan is to wait."""
    config = a_plan(overflow="wait")
    zone = a_zone(addresses=a_cold_pool(SECOND))
    warm = a_zone(addresses=pool_of(FIRST, SECOND))
    book.sent[FIRST, "others"] = 1
    elsewhere = next(one for one in IDS if chosen(one, warm, config) == SECOND)

    assert chosen(elsewhere, zone, config) == SECOND
    assert book.asked == 0


def test_an_idle_session_of_the_substitute_is_used(a_relay, book, first_one):
    """Else each of thousands would open one of its own."""
    config, zone = a_plan(), a_zone(addresses=a_cold_pool(SECOND))
    connector = FakeConnector(FakeSession(), FakeSession())
    relay = a_relay(connector, book=book, config=config)

    sent = [
        relay.send(a_request(zone, config=config, delivery_id=first_one))
        for _ in range(4)
    ]

    left_from = [one.reasons.pool_address for one in sent]
    assert left_from == [FIRST, SECOND, SECOND, SECOND]
    assert len(connector.calls) == 2


def test_what_was_passed_over_is_kept_with_the_message(a_relay, book, first_one):
    """The same cause, whether it was asked for or known already."""
    config, zone = a_plan(), a_zone(addresses=a_cold_pool(SECOND))
    connector = FakeConnector(FakeSession(), FakeSession())
    relay = a_relay(connector, book=book, config=config)

    sent = [
        relay.send(a_request(zone, config=config, delivery_id=first_one))
        for _ in range(3)
    ]

    assert [one.reasons.passed_over for one in sent] == [
        (),
        (("its ration is used up", (FIRST,)),),
        (("its ration is used up", (FIRST,)),),
    ]


def test_a_family_that_must_wait_does_not_hide_the_other(sources, book):
    """Targets of the other family may have idle sessions."""
    book.sent[FIRST, "others"] = 1
    zone = a_zone(addresses=a_cold_pool("2001:db8::1"))
    request = a_request(zone, config=a_plan(overflow="wait"))
    use = Use()
    sources.choose(request, sources.targets.targets[0], use)
    with pytest.raises(RateReached):
        sources.take_ration(request, use)

    idle = list(sources.idle(request, Use()))

    assert [str(source.address) for source in idle] == ["2001:db8::1"]


def test_a_message_is_counted_once_however_many_hosts_are_tried(a_relay, book):
    """The second host hears of the same message."""
    zone, config = a_zone(addresses=a_cold_pool()), a_plan(5)
    busy = failure(next_host=True, category="smtp")
    connector = FakeConnector(FakeSession("mx0.test", busy), FakeSession("mx1.test"))

    a_relay(connector, book=book).send(a_request(zone, config=config))

    assert book.sent == {(FIRST, "others"): 1}
