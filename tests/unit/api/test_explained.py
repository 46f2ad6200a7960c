"""What an answer says of one recipient's copy."""

from datetime import timedelta

import pytest

from mta.api.explained import explained_record
from mta.delivery import DeliveryState, Outcome
from mta.policy.measures import Measure
from mta.reasons import Limit, PassedOver, Reasons, TlsFacts
from mta.relay.security import NOBODY_VALIDATES
from mta.reply import make_reply
from tests.unit.operate.fakes import FIRST, SECOND, Rig, a_row
from tests.unit.relay.fakes import NOW, FakeTargets

HOUR = timedelta(hours=1)


@pytest.fixture
def rig():
    return Rig(targets=FakeTargets("192.0.2.1", hosts=("mx1.big.test",)))


def record_of(rig, found):
    return explained_record(found, rig.config, NOW)


def test_a_stored_copy_is_told_from_its_zone_to_its_time(rig):
    """Nothing has to be asked for elsewhere."""
    row = a_row(zone="news", rule="sender domain news.test", due_at=NOW + HOUR)

    record = record_of(rig, rig.one(row, reverse_path="ada@news.test"))

    delivery, journey = record.pop("delivery"), record.pop("journey")
    reasons = journey.pop("reasons")
    source = journey.pop("source")
    assert record == {
        "recipient": "bob@b.test",
        "next": "sent when its turn comes; due 2026-03-10T13:30:00.000Z",
        "window": {
            "earliest": "2026-03-10T13:30:00.000Z",
            "latest": "2026-03-10T13:31:15.000Z",
            "giveUpAt": "2026-03-11T12:30:00.000Z",
        },
        "route": {
            "zone": "news",
            "rule": "sender domain news.test",
            "place": "zones.yaml:7",
            "lost": [{"zone": "default", "rule": "default zone", "place": ""}],
            "ignored": [],
        },
    }
    assert (delivery["zone"], delivery["rule"]) == ("news", "sender domain news.test")
    assert journey == {
        "zone": "news",
        "receiver": {
            "provider": {
                "name": "big",
                "profile": None,
                "patterns": ["*.big.test"],
                "place": "",
            },
            "site": "mx1.big.test",
            "hosts": ["mx1.big.test"],
        },
        "targets": [{"host": "mx0.test", "address": "192.0.2.1", "port": 25}],
        "problem": "",
        "limits": [
            {
                "key": "domain:news:b.test",
                "what": "connections",
                "allowed": "8",
                "origin": "zones.yaml:13",
                "open": 0,
            },
            {
                "key": "provider:news:big",
                "what": "connections",
                "allowed": "9",
                "origin": "zones.yaml:15",
                "open": 0,
            },
            {
                "key": "zone:news",
                "what": "connections",
                "allowed": "10",
                "origin": "zones.yaml:7",
                "open": 0,
            },
        ],
        "measures": [],
        "tls": {
            "level": "opportunistic",
            "by": "default",
            "place": "",
            "minimum": "1.2",
            "requireTls": False,
            "mtaSts": None,
            "mtaStsProblem": "",
            "hosts": [
                {
                    "host": "mx0.test",
                    "dane": NOBODY_VALIDATES,
                    "problem": "",
                    "policy": "default",
                    "required": False,
                    "verified": "no",
                    "tlsa": [],
                }
            ],
        },
        "holdups": [],
    }
    assert source["keepsBy"] == "ada@news.test"
    assert source["address"] == reasons["poolAddress"]


def test_a_supposed_copy_has_no_delivery_and_no_time(rig):
    """What does not exist is not there to be asked for."""
    record = record_of(rig, rig.supposed())

    assert record.keys() == {"recipient", "route", "journey"}


def test_a_supposed_copy_has_the_shares_of_its_addresses(rig):
    """Which one it would be is not known."""
    source = record_of(rig, rig.supposed())["journey"]["source"]

    assert source == {
        "address": None,
        "keepsBy": "",
        "lastResort": False,
        "shares": [
            {"address": FIRST, "share": 0.5},
            {"address": SECOND, "share": 0.5},
        ],
        "passedOver": [],
    }


def test_what_was_passed_over_and_what_holds_it_up_have_their_causes(rig):
    """And the measures that they come from."""
    facts = {"site": "big", "since": NOW, "until": NOW + HOUR, "rule": "r"}
    rest = Measure(action="rest", source=FIRST, cause="421 no", **facts)
    stop = Measure(action="suspend", cause="as they asked", **facts)
    rig.measures = (rest, stop)

    journey = record_of(rig, rig.one())["journey"]

    assert journey["source"]["passedOver"] == [
        {"address": FIRST, "cause": "rests: 421 no"}
    ]
    assert [one["id"] for one in journey["measures"]] == [rest.id, stop.id]
    [holdup] = journey["holdups"]
    assert (holdup["key"], holdup["until"]) == (
        f"measure:{stop.id}",
        "2026-03-10T13:30:00.000Z",
    )


def test_a_rate_says_when_its_next_turn_is(rig):
    """Of connections it says how many are open; null is: nobody knows."""
    rig.look.waits = {"zone:default": HOUR}
    known = record_of(rig, rig.supposed())["journey"]["limits"][-1]
    rig.look.is_away = True
    unknown = record_of(rig, rig.supposed())["journey"]["limits"]

    assert (known["allowed"], known["nextAt"]) == (
        "500/second",
        "2026-03-10T13:30:00.000Z",
    )
    assert unknown[-1]["nextAt"] is None
    assert unknown[0]["open"] is None


def test_a_zone_that_is_not_there_is_said_to_be_none(rig):
    """In place of one."""
    record = record_of(rig, rig.supposed(requested_zone="Nope"))

    assert record["route"] | {"lost": []} == {
        "zone": None,
        "rule": "requested zone Nope",
        "place": "",
        "error": "no such zone",
        "lost": [],
        "ignored": [],
    }
    assert record["journey"] is None


def test_what_the_submitter_may_not_choose_is_said_to_be_ignored(rig):
    """With the rule that would have chosen it."""
    record = record_of(rig, rig.supposed(interface="inside", requested_zone="news"))

    assert [one["rule"] for one in record["route"]["ignored"]] == [
        "requested zone news"
    ]


def test_a_zone_without_a_pool_has_no_source(rig):
    """The system chooses, and where nobody is asked there is no provider."""
    rig.targets = FakeTargets("192.0.2.1")

    journey = record_of(rig, rig.one(a_row(zone="far")))["journey"]

    assert journey["source"] is None
    assert journey["receiver"]["provider"] is None


def test_an_attempt_says_what_decided_it(rig):
    """An entry that is no attempt has nothing to say."""
    reasons = Reasons(
        provider="big",
        site="mx1.big.test",
        pool_address=SECOND,
        is_last_resort=True,
        passed_over=(PassedOver("rests: 421 no", (FIRST,)),),
        limits=(Limit("zone:default", 20, "500/second"),),
        tls=TlsFacts("mta-sts", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "sts"),
    )
    reply = make_reply(250, "2.0.0", "taken")
    facts = {"at": NOW, "state": DeliveryState.DELIVERED, "reply": reply}
    log = (Outcome(**facts), Outcome(attempt=1, reasons=reasons, **facts))

    record = record_of(rig, rig.one(a_row(state=DeliveryState.DELIVERED, log=log)))

    assert record["journey"] is None
    order, attempt = record["delivery"]["timeline"]
    assert order["reasons"] is None
    assert attempt["reasons"] == {
        "provider": "big",
        "site": "mx1.big.test",
        "poolAddress": SECOND,
        "lastResort": True,
        "passedOver": [{"cause": "rests: 421 no", "addresses": [FIRST]}],
        "limits": [{"key": "zone:default", "connections": 20, "rate": "500/second"}],
        "tls": {
            "policy": "mta-sts",
            "version": "TLSv1.3",
            "cipher": "TLS_AES_128_GCM_SHA256",
            "verified": "sts",
        },
    }


def test_what_puts_it_off_is_said(rig):
    """By its key, and in words."""
    row = a_row(put_off_by="warmup:192.0.2.10:big", due_at=NOW + HOUR)

    record = record_of(rig, rig.one(row))

    assert record["delivery"]["putOffBy"] == "warmup:192.0.2.10:big"
    assert record["next"] == (
        "put off by warmup:192.0.2.10:big; due 2026-03-10T13:30:00.000Z"
    )
