"""Measures and warm-up by hand, on a real database."""

from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address

import pytest

from mta.config.live import Live
from mta.config.zones import (
    Config,
    PoolAddress,
    Provider,
    Rate,
    WarmUp,
    WarmupPlan,
    Zone,
)
from mta.operate.measures import NoSuchMail, Shaping, Wanted
from mta.policy.warmup import Ration
from mta.store.measures import Measures
from mta.store.warmup import WarmupBook

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
WARMUP = WarmUp(started=date(2026, 3, 1), plan="slow")
ADDRESS = PoolAddress(address=ip_address("192.0.2.10"), warmup=WARMUP)
CONFIG = Config(
    providers={"big": Provider(name="big", mx=("*.big.test",), max_connections=1)},
    zones={"default": Zone(name="default", host="relay.test")},
    pools={"p": (ADDRESS, PoolAddress(address=ip_address("192.0.2.11")))},
    warmup={"slow": WarmupPlan(name="slow", daily=(10, 20, 40), hourly=0.5)},
)


@pytest.fixture
def book(db):
    return WarmupBook(db)


@pytest.fixture
def woken():
    return []


@pytest.fixture
def shaping(db, book, woken):
    return Shaping(
        config=Live(CONFIG),
        measures=Measures(db),
        book=book,
        now=lambda: NOW,
        others="others",
        wake=lambda: woken.append(True),
    )


def wanted(**changes):
    fields = {
        "action": "suspend",
        "site": "b.test",
        "reason": "they asked",
        "duration": HOUR,
    }
    return Wanted(**{**fields, **changes})


def test_a_measure_by_hand_is_in_force_until_it_is_over(shaping):
    taken = shaping.take(wanted())

    assert (taken.rule, taken.cause) == ("manual", "they asked")
    assert (taken.since, taken.until) == (NOW, NOW + HOUR)
    assert shaping.in_force() == [taken]


def test_it_may_slow_one_tenant_from_one_address(shaping):
    rate = Rate(5, timedelta(minutes=1))

    taken = shaping.take(
        wanted(action="slow", rate=rate, source="192.0.2.10", tenant="shop")
    )

    assert (taken.rate, taken.source, taken.tenant) == (rate, "192.0.2.10", "shop")


@pytest.mark.parametrize(
    ("site", "understood"),
    [
        ("*", "*"),
        ("big", "big"),
        ("relay.test", "relay.test"),
        ("B.Example.", "b.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("mx2.b.test+mx1.b.test", "mx1.b.test+mx2.b.test"),
    ],
)
def test_a_place_is_a_provider_a_relay_a_domain_or_its_hosts(shaping, site, understood):
    assert shaping.take(wanted(site=site)).site == understood


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"site": "bigg"}, "site"),
        ({"site": "bob@b.test"}, "site"),
        ({"source": "192.0.2.99"}, "source"),
    ],
)
def test_what_could_never_be_about_any_mail_is_refused(shaping, changes, field):
    with pytest.raises(NoSuchMail) as raised:
        shaping.take(wanted(**changes))

    assert raised.value.field == field
    assert shaping.in_force() == []


def test_what_waits_is_woken_when_it_need_not_wait_any_more(shaping, woken):
    taken = shaping.take(wanted())
    shaping.pin(taken.id, is_pinned=True)

    assert not woken

    shaping.pin(taken.id, is_pinned=False)
    shaping.clear(taken.id)
    shaping.clear(taken.id)

    assert len(woken) == 2


def test_pinned_it_holds_and_cleared_it_is_gone(shaping):
    taken = shaping.take(wanted())

    assert shaping.pin(taken.id, is_pinned=True).is_pinned
    assert not shaping.pin(taken.id, is_pinned=False).is_pinned
    assert shaping.clear(taken.id).id == taken.id
    assert shaping.in_force() == []
    assert shaping.clear(taken.id) is None


def test_warmup_tells_of_each_provider_that_had_mail(shaping, book):
    ration = Ration(step=2, steps=3, per_day=20, per_hour=10, held=0)
    for _ in range(3):
        book.reserve("192.0.2.10", "big", ration, NOW)

    [status] = shaping.warmup()

    assert (status.pool, status.provider, status.day) == ("p", "big", 2)
    assert status.ration == ration
    assert (status.sent_today, status.sent_this_hour) == (3, 3)
    assert status.warm_from == date(2026, 3, 4)


def test_an_address_that_had_no_mail_today_has_its_day_all_the_same(shaping):
    [status] = shaping.warmup()

    assert (status.provider, status.sent_today) == ("others", 0)
    assert status.ration.per_day == 20
