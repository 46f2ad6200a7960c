"""What follows from replies, for whom, and until when."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.config.shaping import built_in_rules
from mta.config.zones import Rate, ShapingRule
from mta.policy.limits import Pace, Slot
from mta.policy.measures import (
    ANY,
    Board,
    Measure,
    Refusal,
    follow,
    limits_of,
    matching,
    resting,
    site_of,
    suspension,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def a_rule(**changes):
    fields = {"name": "r", "category": ("spam",), "action": "suspend", "duration": HOUR}
    return ShapingRule(**{**fields, **changes})


def a_refusal(**changes):
    fields = {
        "zone": "bulk",
        "site": "mx.b.test",
        "provider": "",
        "source": "192.0.2.10",
        "tenant": "shop",
        "category": "spam",
        "reply": "421 4.7.0 Too many complaints",
        "delivery": "1.001",
    }
    return Refusal(**{**fields, **changes})


def a_measure(**changes):
    fields = {
        "action": "rest",
        "site": "mx.b.test",
        "source": "192.0.2.10",
        "since": NOW,
        "until": NOW + HOUR,
        "cause": "no",
        "rule": "r",
    }
    return Measure(**{**fields, **changes})


def names(rules, refusal):
    by_name = {rule.name: rule for rule in rules}
    return [rule.name for rule in matching(by_name, refusal)]


@pytest.mark.parametrize(
    ("rule", "refusal", "is_for"),
    [
        ({}, {}, True),
        ({}, {"category": "policy"}, False),
        ({"category": ("policy", "spam")}, {}, True),
        ({"reply": "too MANY"}, {}, True),
        ({"reply": "too few"}, {}, False),
        ({"category": (), "reply": r"4\.7\.0"}, {"category": "other"}, True),
        ({"zones": ("bulk",)}, {}, True),
        ({"zones": ("shop",)}, {}, False),
        ({"providers": ("big",)}, {}, False),
        ({"providers": ("big",)}, {"provider": "big"}, True),
        ({"disabled": True}, {}, False),
    ],
)
def test_a_rule_is_for_what_all_its_words_are_about(rule, refusal, is_for):
    assert bool(names([a_rule(**rule)], a_refusal(**refusal))) is is_for


def test_nothing_rests_where_no_pool_has_another_address():
    assert names([a_rule(action="rest")], a_refusal(source="")) == []


def test_a_blacklisted_address_rests_for_six_hours_unless_the_file_says_otherwise():
    refusal = a_refusal(category="blacklist")

    [rule] = matching(built_in_rules(), refusal)
    measure = follow(rule, refusal, NOW)

    assert (measure.action, measure.source) == ("rest", "192.0.2.10")
    assert measure.until == NOW + 6 * HOUR


def test_a_measure_holds_for_as_long_as_its_rule_says():
    """From the reply on; then the address is the pool's again."""
    measure = follow(a_rule(action="rest", duration=90 * MINUTE), a_refusal(), NOW)

    found = [
        bool(Board([measure]).at(["mx.b.test"], tenant="", now=NOW + after))
        for after in (89 * MINUTE, 90 * MINUTE)
    ]

    assert found == [True, False]


def test_a_measure_is_about_all_tenants_unless_its_rule_says_otherwise():
    everybody = follow(a_rule(), a_refusal(), NOW)
    one = follow(a_rule(per_tenant=True), a_refusal(), NOW)

    assert (everybody.tenant, one.tenant) == ("", "shop")
    assert everybody.id != one.id


def test_the_same_reply_again_leads_to_the_same_measure():
    first = follow(a_rule(), a_refusal(), NOW)
    later = follow(a_rule(), a_refusal(reply="421 again"), NOW + HOUR)

    assert first.id == later.id


@pytest.mark.parametrize(
    ("measure", "is_there"),
    [
        ({}, True),
        ({"site": "mx.c.test"}, False),
        ({"site": ANY}, True),
        ({"site": "big"}, True),
        ({"until": NOW}, False),
        ({"until": NOW, "is_pinned": True}, True),
        ({"tenant": "shop"}, True),
        ({"tenant": "news"}, False),
    ],
)
def test_the_board_tells_what_is_in_force_for_a_place_and_a_tenant(measure, is_there):
    board = Board([a_measure(**measure)])

    found = board.at(("big", "mx.b.test"), tenant="shop", now=NOW)

    assert bool(found) is is_there


def test_a_later_word_on_a_measure_takes_the_place_of_the_earlier_one():
    longer = a_measure(until=NOW + 2 * HOUR)

    board = Board([a_measure()]).with_(longer)

    assert board.at(["mx.b.test"], tenant="", now=NOW) == [longer]


def test_an_empty_board_holds_nothing_back():
    assert not Board()
    assert Board([a_measure()])


def test_only_the_addresses_of_measures_that_say_so_rest():
    rest = a_measure()
    others = [a_measure(action="suspend"), a_measure(action="slow", source="::1")]

    assert resting([rest, *others]) == {"192.0.2.10": rest}


def test_the_longest_suspension_of_an_address_counts():
    short = a_measure(action="suspend", source="")
    long = a_measure(action="suspend", until=NOW + 2 * HOUR)

    assert suspension([short, long], "192.0.2.10") == long
    assert suspension([short, long], "192.0.2.11") == short
    assert suspension([], "192.0.2.10") is None


def test_what_is_slowed_counts_against_limits_of_its_own():
    slow = a_measure(action="slow", rate=Rate(1, MINUTE), max_connections=1)
    key = f"measure:{slow.id}"

    slots, paces = limits_of([slow], "192.0.2.10")

    assert slots == (Slot(key, 1),)
    assert paces == (Pace(key, Rate(1, MINUTE)),)
    assert limits_of([slow], "192.0.2.11") == ((), ())


def test_a_site_is_named_by_all_its_hosts_in_any_order():
    assert site_of(["b.test", "a.test"]) == site_of(["a.test", "b.test"])
    assert len(site_of(f"{n:050}.test" for n in range(100))) < 100
