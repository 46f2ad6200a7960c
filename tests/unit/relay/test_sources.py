"""Which address a message leaves from when some of them are held back."""

from contextlib import suppress
from datetime import date, timedelta

import pytest

from mta.config.zones import Config, Provider, Rate, WarmUp, WarmupPlan
from mta.errors import (
    AttemptFailed,
    PermanentFailure,
    RateReached,
    TransientFailure,
)
from mta.policy.measures import Board, Measure
from mta.policy.warmup import DayStats
from tests.unit.relay.fakes import (
    NOW,
    OK,
    Book,
    FakeConnector,
    FakeSession,
    FakeTargets,
    HeldBack,
    a_request,
    a_zone,
    failure,
    pool_of,
    unreachable,
)

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
FIRST, SECOND = "192.0.2.10", "192.0.2.11"
COLD = WarmUp(started=NOW.date() - timedelta(days=1), plan="p")
BIG = Provider(name="big", mx=("*.big.test",), max_connections=7)


def a_measure(**changes):
    fields = {
        "action": "rest",
        "site": "b.test",
        "source": FIRST,
        "since": NOW,
        "until": NOW + HOUR,
        "cause": "421 no",
        "rule": "r",
    }
    return Measure(**{**fields, **changes})


def at_b(*script):
    """A session to somebody, with what they say to each message."""
    return FakeSession("mx0.test", *script)


def refused(kind=TransientFailure, text="IP blacklisted"):
    refusal = failure(kind, text=text, category="smtp", next_host=False)
    refusal.source = FIRST
    return refusal


def sources_of(connector):
    return [str(source.address) if source else None for _, source, _ in connector.calls]


@pytest.fixture
def sent_from(a_relay):
    """The address that a delivery leaves from, with these measures in force."""

    def send(delivery_id, *measures, pool=(FIRST, SECOND), **changes):
        connector = FakeConnector(at_b())
        zone = a_zone(addresses=pool_of(*pool))
        relay = a_relay(connector, measures=measures)
        relay.send(a_request(zone, delivery_id=delivery_id, **changes))
        return sources_of(connector)[0]

    return send


@pytest.fixture
def first_one(sent_from):
    """A delivery that leaves from the first address, if nothing is held back."""
    ids = (f"{number}.001" for number in range(100))
    return next(i for i in ids if sent_from(i) == FIRST)


def test_an_address_that_rests_is_passed_over_for_the_next(sent_from, first_one):
    assert sent_from(first_one, a_measure()) == SECOND


def test_it_goes_on_from_there_to_everybody_else(sent_from, first_one):
    elsewhere = a_measure(site="c.test")

    assert sent_from(first_one, elsewhere) == FIRST


def test_it_comes_back_after_its_rest(sent_from, first_one):
    assert sent_from(first_one, a_measure(until=NOW)) == FIRST


def test_when_all_rest_the_pools_own_choice_is_the_last_resort(sent_from, first_one):
    both = (a_measure(), a_measure(source=SECOND))

    assert sent_from(first_one, *both) == FIRST


@pytest.mark.parametrize(
    ("measures", "reverse_path", "may_move"),
    [
        ([], "ada@a.test", True),
        ([a_measure()], "ada@a.test", False),
        ([], "", False),
    ],
    ids=["another may do better", "it was the last resort", "a bounce"],
)
def test_a_failure_says_whom_it_came_from_and_whether_another_may_do_better(
    a_relay, measures, reverse_path, may_move
):
    relay = a_relay(FakeConnector(at_b(refused())), measures=measures)
    zone = a_zone(addresses=pool_of(FIRST))

    with pytest.raises(TransientFailure) as raised:
        relay.send(a_request(zone, reverse_path=reverse_path))

    told = raised.value
    assert (told.reasons.site, told.reasons.pool_address) == ("b.test", FIRST)
    assert told.may_move is may_move


def test_a_failure_at_a_provider_names_it(a_relay):
    config = Config(providers={"big": BIG})
    targets = FakeTargets("192.0.2.1", hosts=("mx1.big.test",))

    relay = a_relay(FakeConnector(at_b(refused())), targets)

    with pytest.raises(TransientFailure) as raised:
        relay.send(a_request(config=config))

    reasons = raised.value.reasons
    assert (reasons.provider, reasons.site) == ("big", "mx1.big.test")
    assert reasons.pool_address == ""


def test_nobody_is_named_if_nobody_was_talked_to(a_relay):
    relay = a_relay(FakeConnector(unreachable(), unreachable()))

    with pytest.raises(TransientFailure) as raised:
        relay.send(a_request())

    assert raised.value.reasons.site == ""


@pytest.mark.parametrize(
    ("measure", "wait"),
    [
        (a_measure(action="suspend", source=""), HOUR),
        (a_measure(action="suspend", source="", is_pinned=True), HOUR),
    ],
    ids=["until it is over", "until somebody clears it"],
)
def test_mail_to_a_suspended_site_waits_without_an_attempt(a_relay, measure, wait):
    connector = FakeConnector()

    with pytest.raises(RateReached) as raised:
        a_relay(connector, measures=[measure]).send(a_request())

    assert raised.value.wait == wait
    assert not raised.value.is_turn
    assert not connector.calls


def test_an_idle_session_does_not_go_on_to_a_site_that_was_suspended(a_relay):
    held_back = HeldBack()
    relay = a_relay(FakeConnector(at_b()), held_back=held_back)
    relay.send(a_request())
    held_back.board = Board([a_measure(action="suspend", source="")])

    with pytest.raises(RateReached):
        relay.send(a_request())


def test_what_is_slowed_counts_against_a_limit_of_its_own(a_relay, limits):
    slow = a_measure(action="slow", source="", rate=Rate(1, MINUTE), max_connections=1)

    a_relay(FakeConnector(at_b()), measures=[slow]).send(a_request())

    (_, slots, paces, _), *_ = limits.log
    assert f"measure:{slow.id}" in slots
    assert f"measure:{slow.id}" in paces


# Warming up.


def a_cold_pool(*addresses):
    return tuple(
        entry.model_copy(update={"warmup": COLD}) if text == FIRST else entry
        for text, entry in zip(addresses, pool_of(*addresses), strict=True)
    )


def a_plan(*daily, **changes):
    plan = WarmupPlan(name="p", daily=(1, *daily), **changes)
    return Config(warmup={"p": plan})


def test_a_message_counts_against_the_ration_of_its_address(a_relay):
    book = Book()
    zone = a_zone(addresses=a_cold_pool(FIRST))

    a_relay(FakeConnector(at_b()), book=book).send(a_request(zone, config=a_plan(5)))

    assert book.sent == {(FIRST, "others"): 1}


def test_each_message_of_a_session_counts(a_relay):
    book = Book()
    zone, config = a_zone(addresses=a_cold_pool(FIRST)), a_plan(5)
    relay = a_relay(FakeConnector(at_b()), book=book, config=config)

    for _ in range(3):
        relay.send(a_request(zone, config=config))

    assert book.sent == {(FIRST, "others"): 3}


def test_what_is_more_leaves_from_the_next_address(a_relay, first_one):
    book = Book()
    connector = FakeConnector(at_b(), at_b(), at_b())
    zone = a_zone(addresses=a_cold_pool(FIRST, SECOND))
    relay = a_relay(connector, book=book)

    for _ in range(3):
        relay.send(a_request(zone, config=a_plan(1), delivery_id=first_one))

    assert sources_of(connector)[:2] == [FIRST, SECOND]
    assert book.sent == {(FIRST, "others"): 1}


def test_a_ration_that_is_used_up_is_asked_for_no_more(a_relay, first_one):
    """Every message that would like to leave from there would cost round trips."""
    book, config = Book(), a_plan(1)
    zone = a_zone(addresses=a_cold_pool(FIRST, SECOND))
    relay = a_relay(FakeConnector(at_b(), at_b()), book=book, config=config)

    for _ in range(10):
        relay.send(a_request(zone, config=config, delivery_id=first_one))

    assert (book.sent[FIRST, "others"], book.asked) == (1, 2)


@pytest.mark.parametrize(
    ("pool", "overflow"), [((FIRST,), "next"), ((FIRST, SECOND), "wait")]
)
def test_what_is_more_waits_for_the_next_ration(a_relay, first_one, pool, overflow):
    connector = FakeConnector(at_b())
    zone = a_zone(addresses=a_cold_pool(*pool))
    relay = a_relay(connector)
    config = a_plan(1, overflow=overflow)
    relay.send(a_request(zone, config=config, delivery_id=first_one))

    with pytest.raises(RateReached) as raised:
        relay.send(a_request(zone, config=config, delivery_id=first_one))

    assert raised.value.wait == timedelta(hours=11, minutes=30)
    assert raised.value.key == f"warmup:{FIRST}:others"


@pytest.mark.parametrize(
    ("script", "sent", "deferred"),
    [
        ([OK], 1, 0),
        ([refused()], 1, 1),
        ([refused(PermanentFailure)], 1, 0),
    ],
    ids=["taken", "deferred", "refused"],
)
def test_what_was_heard_of_counts(a_relay, script, sent, deferred):
    book = Book()
    zone = a_zone(addresses=a_cold_pool(FIRST))
    relay = a_relay(FakeConnector(at_b(*script)), book=book)

    with suppress(AttemptFailed):
        relay.send(a_request(zone, config=a_plan(5)))

    assert book.sent[FIRST, "others"] == sent
    assert book.deferred[FIRST, "others"] == deferred


def test_what_nobody_heard_of_is_given_back(a_relay):
    book = Book()
    zone = a_zone(addresses=a_cold_pool(FIRST))
    relay = a_relay(FakeConnector(unreachable(), unreachable()), book=book)

    with pytest.raises(TransientFailure):
        relay.send(a_request(zone, config=a_plan(5)))

    assert book.sent[FIRST, "others"] == 0


def test_a_bad_day_is_repeated(a_relay):
    book = Book({COLD.started: DayStats(sent=10, deferred=90)})
    zone = a_zone(addresses=a_cold_pool(FIRST))
    relay = a_relay(FakeConnector(at_b()), book=book)
    config = a_plan(1000)
    relay.send(a_request(zone, config=config))

    with pytest.raises(RateReached):
        relay.send(a_request(zone, config=config))


def test_an_address_that_is_warm_is_not_counted(a_relay):
    book = Book()
    warm = WarmUp(started=date(2020, 1, 1), plan="p")
    pool = tuple(e.model_copy(update={"warmup": warm}) for e in pool_of(FIRST))

    a_relay(FakeConnector(at_b()), book=book).send(
        a_request(a_zone(addresses=pool), config=a_plan(1))
    )

    assert not book.sent
