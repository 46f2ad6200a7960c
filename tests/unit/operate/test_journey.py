"""How a copy would go now from its zone on, and what would hold it up."""

from datetime import timedelta

import pytest

from mta.config.zones import Rate
from mta.errors import PermanentFailure, TransientFailure
from mta.policy.limits import PATIENCE, Trouble
from mta.policy.measures import Measure
from mta.reply import make_reply
from tests.unit.operate.fakes import (
    FIRST,
    MORE_AFTER,
    SECOND,
    FullBook,
    a_row,
)
from tests.unit.relay.fakes import NOW, FakeTargets

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NO_MX = make_reply(550, "5.1.2", "DNS: the domain does not exist")


def a_measure(**changes):
    facts = {
        "action": "rest",
        "site": "b.test",
        "source": FIRST,
        "since": NOW,
        "until": NOW + HOUR,
        "cause": "421 no",
        "rule": "r",
    }
    return Measure(**{**facts, **changes})


def suspended(**changes):
    return a_measure(action="suspend", source="", **changes)


def warming(rig, overflow="next"):
    """Have the first address warm up."""
    cold = f"{{address: {FIRST}, warmup: {{started: 2026-03-10, plan: slow}}}}"
    rig.text = rig.text.replace(f"[{FIRST}", f"[{cold}") + (
        f"warmup:\n  slow: {{daily: [1, 5], overflow: {overflow}}}\n"
    )


@pytest.fixture
def from_first(rig):
    """A delivery that leaves from the first address, if nothing is held back."""
    rows = [a_row(n) for n in range(1, 50)]
    rig.store(*rows)
    found = rig.explain.message("m", limit=50)
    rig.census.rows.clear()
    return next(
        row
        for row, one in zip(rows, found, strict=True)
        if one.journey.reasons.pool_address == FIRST
    )


def test_hosts_targets_and_receiver_are_those_of_an_attempt(rig):
    """As DNS says them now."""
    rig.targets = FakeTargets("192.0.2.1", "192.0.2.2", hosts=("mx1.big.test",))

    journey = rig.one().journey

    assert journey.hosts == ("mx1.big.test",)
    assert [str(target.address) for target in journey.targets] == [
        "192.0.2.1",
        "192.0.2.2",
    ]
    assert (journey.reasons.provider, journey.reasons.site) == ("big", "mx1.big.test")


def test_of_many_targets_the_first_ones_are_told(rig):
    """A domain may name a hundred."""
    rig.targets = FakeTargets(*(f"192.0.2.{n}" for n in range(1, 9)))

    assert len(rig.one().journey.targets) == 5


@pytest.mark.parametrize("kind", [TransientFailure, PermanentFailure])
def test_what_dns_cannot_tell_is_a_problem(rig, kind):
    """In the words an attempt would fail with; an answer all the same."""

    class NoDns(FakeTargets):
        def find_hosts(self, zone, domain):
            raise self.failure

    rig.targets = NoDns(failure=kind(NO_MX, category="dns"))

    journey = rig.one().journey

    assert journey.problem == str(NO_MX)
    assert (journey.hosts, journey.targets, journey.holdups) == ((), (), ())


def test_limits_are_told_with_their_origin_and_what_is_in_use(rig):
    """The narrowest first, as an attempt asks for them."""
    rig.look.open = {"domain:default:b.test": 3}

    limits = rig.one().journey.limits

    assert [(one.key, one.allowed, one.open, one.origin) for one in limits] == [
        ("domain:default:b.test", "8", 3, "zones.yaml:13"),
        ("zone:default", "20", 0, "zones.yaml:6"),
        ("zone:default", "500/second", None, "zones.yaml:6"),
    ]


def test_without_redis_nobody_knows_what_is_in_use(rig):
    """The limits are the same; nothing is said to hold it up."""
    rig.look.is_away = True

    journey = rig.one().journey

    assert [one.open for one in journey.limits] == [None, None, None]
    assert journey.holdups == ()


def test_a_full_limit_holds_it_up_for_nobody_knows_how_long(rig):
    """Until one of the connections ends."""
    rig.look.open = {"domain:default:b.test": 8}

    [holdup] = rig.one().journey.holdups

    assert (holdup.key, holdup.wait) == ("domain:default:b.test", None)
    assert holdup.text == "all 8 connections of domain:default:b.test are in use"


def test_a_rate_that_is_reached_holds_it_up_until_its_turn(rig):
    """As long as one waits who comes now."""
    rig.look.waits = {"zone:default": MINUTE}

    [holdup] = rig.one().journey.holdups

    assert (holdup.key, holdup.wait) == ("zone:default", MINUTE)


def test_a_wait_that_an_attempt_itself_waits_holds_nothing_up(rig):
    """A moment later it is sent, without going back to the queue."""
    rig.look.waits = {"zone:default": PATIENCE}

    assert rig.one().journey.holdups == ()


def test_a_destination_in_trouble_is_left_alone_for_a_while(rig):
    """It is asked for by the name that attempts remember it by."""
    rig.look.trouble = Trouble("450 4.4.1 nobody there", MINUTE)

    [holdup] = rig.one().journey.holdups

    assert (holdup.text, holdup.wait) == ("450 4.4.1 nobody there", MINUTE)
    assert rig.look.asked == ["default:b.test"]


@pytest.mark.parametrize(
    ("measure", "wait"),
    [(suspended(), HOUR), (suspended(is_pinned=True, until=NOW), HOUR)],
    ids=["until it is over", "until somebody clears it"],
)
def test_a_suspended_site_holds_it_up(rig, measure, wait):
    """By the measure's key, with which it would be put off."""
    rig.measures = (measure,)

    journey = rig.one().journey

    assert [(one.key, one.wait) for one in journey.holdups] == [
        (f"measure:{measure.id}", wait)
    ]
    assert journey.measures == (measure,)


def test_a_measure_about_one_tenant_holds_up_its_mail(rig):
    """The message's own, as it was stored."""
    rig.measures = (suspended(tenant="shop"),)

    assert [one.key for one in rig.one().journey.holdups] == [
        f"measure:{rig.measures[0].id}"
    ]


def test_what_it_would_count_against_is_told_though_it_is_held_up(rig, from_first):
    """Those of the address that it would leave from, too."""
    rig.text = rig.text.replace(
        f"[{FIRST}", f"[{{address: {FIRST}, max_connections: 3}}"
    )
    rig.measures = (suspended(),)

    limits = rig.one(from_first).journey.limits

    assert f"source:{FIRST}" in [one.key for one in limits]


@pytest.mark.parametrize(
    "changes",
    [{"tenant": "other"}, {"site": "c.test"}, {"until": NOW}],
    ids=["another tenant's", "another site", "over"],
)
def test_a_measure_about_other_mail_holds_nothing_up(rig, changes):
    """As an attempt would see it."""
    rig.measures = (suspended(**changes),)

    journey = rig.one().journey

    assert (journey.holdups, journey.measures) == ((), ())


def test_what_is_slowed_counts_against_the_measures_own_limit(rig):
    """Whose origin is the rule that led to it."""
    slow = a_measure(action="slow", source="", rate=Rate(1, MINUTE))
    rig.measures = (slow,)

    limits = {one.key: one for one in rig.one().journey.limits}

    own = limits[f"measure:{slow.id}"]
    assert (own.allowed, own.origin) == ("1/minute", f"measure {slow.id}, by rule r")


def test_an_address_that_rests_is_passed_over(rig, from_first):
    """With the reply that it rests for."""
    rig.measures = (a_measure(),)

    journey = rig.one(from_first).journey

    assert journey.reasons.pool_address == SECOND
    assert not journey.reasons.is_last_resort
    assert journey.reasons.passed_over == (("rests: 421 no", (FIRST,)),)


def test_where_all_rest_the_pools_choice_is_the_last_resort(rig, from_first):
    """Nothing is passed over then."""
    rig.measures = (a_measure(), a_measure(source=SECOND))

    reasons = rig.one(from_first).journey.reasons

    assert (reasons.pool_address, reasons.is_last_resort) == (FIRST, True)
    assert reasons.passed_over == ()


def test_where_a_ration_is_used_up_another_address_steps_in(rig, from_first):
    """If the plan says so."""
    warming(rig)
    rig.book = FullBook(FIRST)

    journey = rig.one(from_first).journey

    assert journey.reasons.pool_address == SECOND
    assert journey.reasons.passed_over == (("its ration is used up", (FIRST,)),)
    assert journey.holdups == ()


def test_where_a_ration_is_to_be_waited_for_it_holds_up(rig, from_first):
    """Until counting begins anew."""
    warming(rig, overflow="wait")
    rig.book = FullBook(FIRST)

    [holdup] = rig.one(from_first).journey.holdups

    assert (holdup.key, holdup.wait) == (f"warmup:{FIRST}:others", MORE_AFTER)


def test_a_pool_without_an_address_of_the_family_holds_it_up(rig):
    """Mail never leaves from an address that is not in its pool."""
    rig.targets = FakeTargets("2001:db8::1")

    journey = rig.one().journey

    assert "no address of the target's family" in journey.holdups[0].text
    assert journey.choice.address is None


def test_a_supposed_message_has_shares_where_each_goes_its_own_way(rig):
    """By an id that does not exist yet."""
    journey = rig.supposed().journey

    assert (journey.keeps_by, journey.reasons.pool_address) == ("", "")
    assert [share for _, share in journey.choice.shares] == [0.5, 0.5]


def test_a_supposed_message_has_its_address_where_senders_keep_to_one(rig):
    """The next message of that sender will leave from there."""
    journey = rig.supposed(reverse_path="ada@news.test").journey

    assert journey.keeps_by == "ada@news.test"
    assert journey.reasons.pool_address == str(journey.choice.address.address)


def test_a_stored_delivery_keeps_to_its_address_by_its_id(rig, from_first):
    """Over all its attempts."""
    assert rig.one(from_first).journey.keeps_by == from_first.id


def test_a_zone_without_a_pool_has_no_choice(rig):
    """The system chooses."""
    journey = rig.one(a_row(zone="far")).journey

    assert journey.choice is None
    assert journey.reasons.pool_address == ""
