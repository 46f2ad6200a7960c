"""Rules of shaping and plans of warm-up: how they are read, and what is refused."""

from datetime import date, timedelta

import pytest

from mta.config.zones import Rate

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
POOL = "pools: {p: [192.0.2.1]}\nzones: {default: {pool: p}}\n"
PROVIDERS = "providers: {big: {mx: [mx.big.test], rate: 1/s}}\n"


def a_rule(text):
    return f"{POOL}{PROVIDERS}shaping: {{r: {{{text}}}}}"


def test_a_rule_is_read(load):
    config = load(
        a_rule(
            'category: [spam, blacklist], reply: "4\\\\.7\\\\.28", zones: [default], '
            "providers: [big], after: 10/hour, action: slow, rate: 1/minute, "
            "max_connections: 2, per_tenant: true, duration: 90m"
        )
    )

    rule = config.shaping["r"]
    assert rule.name == "r"
    assert (rule.category, rule.reply) == (("spam", "blacklist"), r"4\.7\.28")
    assert (rule.after, rule.rate) == (Rate(10, HOUR), Rate(1, MINUTE))
    assert (rule.max_connections, rule.per_tenant) == (2, True)
    assert rule.duration == 90 * MINUTE


def test_the_rule_for_blacklists_is_there_unless_the_file_has_its_own(load):
    built_in = load(POOL).shaping["blacklist"]
    other = load(
        f"{POOL}shaping: {{blacklist: {{category: [block], action: rest, "
        "duration: 1h}}"
    ).shaping["blacklist"]

    assert (built_in.action, built_in.duration) == ("rest", 6 * HOUR)
    assert (other.category, other.duration) == (("block",), HOUR)


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ("action: rest, duration: 1h", "shaping.r", "says of no reply"),
        ("reply: x, action: slow, duration: 1h", "shaping.r", "slows nothing"),
        (
            "reply: x, action: rest, rate: 1/s, duration: 1h",
            "shaping.r.rate",
            "for action: slow",
        ),
        (
            "reply: x, action: slow, rate: 1/hour, duration: 1h",
            "shaping.r.rate",
            "below 1/minute",
        ),
        ("reply: x, action: stop, duration: 1h", "shaping.r.action", "is none of"),
        ("reply: x, action: rest, duration: 1s", "shaping.r.duration", "from 1m"),
        ("reply: x, action: rest", "shaping.r.duration", "is missing"),
        ('reply: "(", action: rest, duration: 1h', "shaping.r.reply", "expression"),
        ("category: [rude], action: rest, duration: 1h", "shaping.r.category[0]", "no"),
        (
            "reply: x, zones: [defalt], action: rest, duration: 1h",
            "shaping.r.zones[0]",
            "did you mean 'default'",
        ),
        (
            "reply: x, providers: [bigg], action: rest, duration: 1h",
            "shaping.r.providers[0]",
            "did you mean 'big'",
        ),
        (
            "reply: x, after: 1001/hour, action: rest, duration: 1h",
            "shaping.r.after",
            "to 1000 at most",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_told_where_it_is_wrong(
    only_problem, rule, path, words
):
    problem = only_problem(a_rule(rule))

    assert f": {path}: " in problem
    assert words in problem


def test_an_address_warms_up_by_a_plan(load):
    config = load(
        """
        pools: {p: [{address: 192.0.2.1, warmup: {started: 2026-03-01, plan: slow}}]}
        zones: {default: {pool: p}}
        warmup: {slow: {daily: [10, 20], hourly: 50%, overflow: wait, hold_from: 5}}
        """
    )

    warmup, plan = config.pools["p"][0].warmup, config.warmup["slow"]
    assert (warmup.started, warmup.plan) == (date(2026, 3, 1), "slow")
    assert (plan.daily, plan.hourly, plan.overflow) == ((10, 20), 0.5, "wait")
    assert (plan.hold_above, plan.hold_from) == (0.05, 5)
    assert "default" in config.warmup


@pytest.mark.parametrize(
    ("warmup", "path", "words"),
    [
        ("{started: 2026-13-01}", "started", "is not a date"),
        ("{started: 20260301, plan: slow}", "started", "is not a date"),
        ("{started: 2026-03-01, plan: slwo}", "plan", "did you mean 'slow'"),
        ("{plan: slow}", "started", "is missing"),
    ],
)
def test_a_warmup_that_cannot_be_is_told_where_it_is_wrong(
    only_problem, warmup, path, words
):
    problem = only_problem(
        f"pools: {{p: [{{address: 192.0.2.1, warmup: {warmup}}}]}}\n"
        "zones: {default: {pool: p}}\nwarmup: {slow: {daily: [1]}}"
    )

    assert f": pools.p[0].warmup.{path}: " in problem
    assert words in problem


@pytest.mark.parametrize("daily", ["[]", "[0]", "[1.5]", "[100000001]"])
def test_a_plan_has_a_number_for_each_day(only_problem, daily):
    problem = only_problem(f"{POOL}warmup: {{slow: {{daily: {daily}}}}}")

    assert ": warmup.slow.daily" in problem
