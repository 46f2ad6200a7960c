"""What is held back, as programs see it: measures, warm-up, ZoneMTA's blacklist."""

from datetime import date, timedelta

import pytest

from mta.config.zones import Rate
from mta.operate.measures import NoSuchMail, Wanted, WarmupStatus
from mta.policy.measures import Measure
from mta.policy.warmup import Ration
from tests.unit.api.conftest import NOW

HOUR = timedelta(hours=1)
ASKED = {
    "action": "suspend",
    "site": "b.test",
    "duration": "2h",
    "reason": "they asked",
}


def a_measure(**changes):
    fields = {
        "action": "rest",
        "site": "big",
        "source": "192.0.2.10",
        "since": NOW,
        "until": NOW + HOUR,
        "cause": "554 5.7.1 blacklisted",
        "rule": "blacklist",
        "delivery": "19ab3c5d7e0001c0de.001",
    }
    return Measure(**{**fields, **changes})


def test_measures_say_what_is_held_back_why_and_until_when(client, shaping):
    shaping.measures = [a_measure()]

    answer = client.get("/v1/measures").get_json()

    assert answer == {
        "measures": [
            {
                "id": a_measure().id,
                "action": "rest",
                "site": "big",
                "source": "192.0.2.10",
                "delivery": "19ab3c5d7e0001c0de.001",
                "since": "2026-11-22T10:00:00.123Z",
                "until": "2026-11-22T11:00:00.123Z",
                "pinned": False,
                "cause": "554 5.7.1 blacklisted",
                "rule": "blacklist",
                "hits": 1,
            }
        ]
    }


def test_zonemtas_list_has_the_addresses_that_rest(client, shaping):
    shaping.measures = [a_measure(), a_measure(action="suspend")]

    answer = client.get("/blacklist").get_json()

    assert answer == {
        "list": [
            {
                "id": "19ab3c5d7e0001c0de",
                "seq": "001",
                "address": "192.0.2.10",
                "domain": "big",
                "response": "554 5.7.1 blacklisted",
                "created": "2026-11-22T10:00:00.123Z",
            }
        ]
    }


def test_an_operator_takes_a_measure(client, shaping):
    shaping.measures = [a_measure()]
    asked = {
        **ASKED,
        "action": "slow",
        "rate": "5/minute",
        "maxConnections": 2,
        "source": "2001:DB8::1",
        "tenant": "shop",
    }

    answer = client.post("/v1/measures", json=asked)

    assert answer.status_code == 200
    assert shaping.wanted == [
        Wanted(
            action="slow",
            site="b.test",
            reason="they asked",
            duration=2 * HOUR,
            source="2001:db8::1",
            tenant="shop",
            rate=Rate(5, timedelta(minutes=1)),
            max_connections=2,
        )
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"action": "stop"}, "action"),
        ({"action": "slow"}, "action"),
        ({"rate": "1/minute"}, "action"),
        ({"action": "rest"}, "source"),
        ({"site": ""}, "site"),
        ({"site": "b\nc"}, "site"),
        ({"reason": None}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"duration": "soon"}, "duration"),
        ({"duration": "31d"}, "duration"),
        ({"duration": 60}, "duration"),
        ({"source": "here"}, "source"),
        ({"maxConnections": True}, "maxConnections"),
        ({"maxConnections": 0}, "maxConnections"),
        ({"until": "x"}, "until"),
    ],
)
def test_a_measure_that_cannot_be_names_the_field(client, shaping, changes, field):
    answer = client.post("/v1/measures", json={**ASKED, **changes})

    [error] = answer.get_json()["errors"]
    assert (answer.status_code, error["pointer"]) == (400, f"/{field}")
    assert not shaping.wanted


def test_a_measure_about_no_mail_at_all_names_the_field(client, shaping):
    shaping.error = NoSuchMail("site", "'bigg' is no provider here")

    answer = client.post("/v1/measures", json=ASKED)

    [error] = answer.get_json()["errors"]
    assert (answer.status_code, error["pointer"]) == (400, "/site")


@pytest.mark.parametrize("order", ["clear", "pin", "unpin"])
def test_an_operator_changes_a_measure(client, shaping, order):
    shaping.measures = [a_measure()]

    answer = client.post(f"/v1/measures/{a_measure().id}/{order}", json={})

    assert answer.get_json()["id"] == a_measure().id
    assert shaping.orders == [(order, a_measure().id)]


def test_one_that_is_not_there_cannot_be_changed(client):
    assert client.post("/v1/measures/0/clear", json={}).status_code == 404


def test_one_that_is_pinned_has_no_end(client, shaping):
    shaping.measures = [a_measure(is_pinned=True)]

    [measure] = client.get("/v1/measures").get_json()["measures"]

    assert (measure["pinned"], measure["until"]) == (True, None)


def test_warmup_tells_day_caps_use_and_end(client, shaping):
    status = WarmupStatus(
        pool="p",
        address="192.0.2.10",
        provider="big",
        plan="default",
        day=4,
        ration=Ration(step=3, steps=28, per_day=200, per_hour=25, held=1),
        sent_today=120,
        sent_this_hour=7,
        warm_from=date(2026, 12, 18),
    )
    shaping.statuses = [status]

    answer = client.get("/v1/warmup").get_json()

    assert answer == {
        "addresses": [
            {
                "pool": "p",
                "address": "192.0.2.10",
                "provider": "big",
                "plan": "default",
                "day": 4,
                "warm": False,
                "step": 3,
                "steps": 28,
                "repeated": 1,
                "perDay": 200,
                "perHour": 25,
                "sentToday": 120,
                "sentThisHour": 7,
                "warmFrom": "2026-12-18",
            }
        ]
    }
