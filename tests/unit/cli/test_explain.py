"""``mta explain`` against a server that answers as the API does."""

import json
from typing import Any

import pytest

MESSAGE_ID = "19ab3c5d7e0001c0de"
PATH = f"/v1/messages/{MESSAGE_ID}/explain"
NOON = "2026-03-10T12:00:00.000Z"
ONE = "2026-03-10T13:00:00.000Z"
TOMORROW = "2026-03-11T12:00:00.000Z"

ROUTE: dict[str, Any] = {
    "zone": "news",
    "rule": "sender domain news.test",
    "place": "zones.yaml:7",
    "lost": [{"zone": "default", "rule": "default zone", "place": ""}],
    "ignored": [],
}
TLS: dict[str, Any] = {
    "level": "opportunistic",
    "by": "default",
    "place": "",
    "minimum": "1.2",
    "mtaSts": {"mode": "enforce", "mx": ["mx1.big.test"], "until": ONE},
    "mtaStsProblem": "",
    "hosts": [
        {
            "host": "mx1.big.test",
            "dane": "no records for mx1.big.test",
            "problem": "",
            "policy": "mta-sts",
            "required": True,
            "verified": "sts",
        },
        {
            "host": "mx2.big.test",
            "dane": "no records for mx2.big.test",
            "problem": "450 4.7.0 no host of the policy",
        },
    ],
}
JOURNEY: dict[str, Any] = {
    "zone": "news",
    "receiver": {
        "provider": {"name": "big", "profile": None, "patterns": [], "place": ""},
        "site": "mx1.big.test",
        "hosts": ["mx1.big.test", "mx2.big.test"],
    },
    "targets": [{"host": "mx1.big.test", "address": "192.0.2.1", "port": 25}],
    "problem": "",
    "source": {
        "address": "192.0.2.10",
        "keepsBy": "ada@news.test",
        "lastResort": True,
        "shares": [{"address": "192.0.2.10", "share": 1.0}],
        "passedOver": [{"address": "192.0.2.11", "cause": "its ration is used up"}],
    },
    "limits": [
        {
            "key": "domain:news:b.test",
            "what": "connections",
            "allowed": "8",
            "origin": "zones.yaml:13",
            "open": 8,
        },
        {
            "key": "zone:news",
            "what": "rate",
            "allowed": "500/second",
            "origin": "built in",
            "nextAt": ONE,
        },
    ],
    "measures": [],
    "tls": TLS,
    "holdups": [
        {"text": "all 8 connections of x are in use", "key": "x", "until": None},
        {"text": "the rate of y is reached", "key": "y", "until": ONE},
    ],
}
STORED: dict[str, Any] = {
    "recipient": "bob@b.test",
    "delivery": {
        "zone": "news",
        "rule": "sender domain news.test",
        "state": "deferred",
        "attempts": 1,
        "timeline": [
            {
                "at": NOON,
                "state": "deferred",
                "code": 451,
                "status": "4.7.1",
                "text": "later",
            }
        ],
    },
    "next": f"tried again {ONE}",
    "window": {"earliest": ONE, "latest": ONE, "giveUpAt": TOMORROW},
    "route": ROUTE,
    "journey": JOURNEY,
}
SUPPOSED: dict[str, Any] = {
    "recipient": "bob@b.test",
    "route": {**ROUTE, "ignored": [{"zone": "vip", "rule": "x", "place": ""}]},
    "journey": {
        **JOURNEY,
        "receiver": {"provider": None, "site": "", "hosts": []},
        "targets": [],
        "problem": "550 5.1.2 no such domain",
        "source": {
            "address": None,
            "keepsBy": "",
            "lastResort": False,
            "shares": [
                {"address": "192.0.2.10", "share": 0.6667},
                {"address": "192.0.2.11", "share": 0.3333},
            ],
            "passedOver": [],
        },
        "limits": [],
        "tls": {**TLS, "mtaSts": None, "mtaStsProblem": "no answer", "hosts": []},
        "holdups": [],
    },
}


def answer_with(api, *found):
    api.answers[f"GET {PATH}"] = ({"id": MESSAGE_ID, "deliveries": list(found)}, 200)
    api.answers["POST /v1/explain"] = ({"deliveries": list(found)}, 200)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (MESSAGE_ID, "--to", "bob@b.test"),
        ("--from", "ada@a.test"),
        ("--to", "bob@b.test"),
        (MESSAGE_ID, "--zone", "news"),
    ],
    ids=["neither", "both", "no recipient", "no reverse path", "more than both"],
)
def test_a_message_is_named_or_supposed(api, run_mta, arguments):
    """One of the two; nobody is asked otherwise."""
    result = run_mta("explain", *arguments)

    assert result.exit_code == 2
    assert "either the ID of a message, or --from and --to" in result.output
    assert api.asked == []


def test_a_stored_message_is_told_from_its_zone_to_its_next_try(api, run_mta):
    """For people: why, and what it waits for."""
    answer_with(api, STORED)

    result = run_mta("explain", MESSAGE_ID)

    assert result.output.splitlines() == [
        "bob@b.test",
        "  zone      news, by sender domain news.test",
        "            not default, by default zone",
        "  receiver  big (mx1.big.test, mx2.big.test)",
        "            mx1.big.test [192.0.2.1]:25",
        "  source    192.0.2.10, the last resort, kept by ada@news.test",
        "            192.0.2.10 has 100.0%",
        "            not 192.0.2.11: its ration is used up",
        "  tls       opportunistic (default), 1.2 or later",
        f"            mta-sts enforce until {ONE}: mx1.big.test",
        "            mx1.big.test: required, verified by sts (mta-sts)",
        "            dane: no records for mx1.big.test",
        "            mx2.big.test: 450 4.7.0 no host of the policy",
        "            dane: no records for mx2.big.test",
        "  limits    domain:news:b.test: 8 connections, 8 open (zones.yaml:13)",
        f"            zone:news: 500/second, next {ONE} (built in)",
        "  held up   all 8 connections of x are in use",
        f"            the rate of y is reached, until {ONE}",
        "  state     deferred, 1 attempts",
        f"            {NOON} deferred: 451 4.7.1 later",
        f"  next      tried again {ONE}",
        f"            {ONE} to {ONE} if nothing else happens, given up {TOMORROW}",
    ]


def test_a_supposed_message_is_told_as_far_as_it_can_be(api, run_mta):
    """No address, no time, and what it asked for in vain."""
    answer_with(api, SUPPOSED)

    result = run_mta("explain", "--from", "ada@a.test", "--to", "bob@b.test")

    assert result.output.splitlines() == [
        "bob@b.test",
        "  zone      news, by sender domain news.test, zones.yaml:7",
        "            not default, by default zone",
        "            ignored: vip, by x; the interface does not allow it",
        "  receiver  no provider that is known (DNS is not asked)",
        "            550 5.1.2 no such domain",
        "  source    by the delivery's id, which does not exist yet",
        "            192.0.2.10 has 66.7%",
        "            192.0.2.11 has 33.3%",
        "  tls       opportunistic (default), 1.2 or later",
        "            mta-sts: no answer",
    ]


def test_what_the_rules_of_now_would_choose_is_told_if_it_is_another_zone(api, run_mta):
    """A zone that is kept is kept; also from before rules were."""
    moved = {**STORED["delivery"], "zone": "old", "rule": ""}
    answer_with(api, {**STORED, "delivery": moved, "journey": None, "window": None})

    result = run_mta("explain", MESSAGE_ID)

    assert result.output.splitlines()[1:3] == [
        "  zone      old, by not kept",
        "            now it would be news, by sender domain news.test, zones.yaml:7",
    ]


def test_a_zone_that_is_not_there_is_told(api, run_mta):
    """And nothing after it."""
    nowhere = {
        "zone": None,
        "rule": "requested zone nope",
        "place": "",
        "error": "no such zone",
        "lost": [],
        "ignored": [],
    }
    answer_with(api, {"recipient": "bob@b.test", "route": nowhere, "journey": None})

    result = run_mta("explain", "--from", "", "--to", "bob@b.test")

    assert result.output.splitlines() == [
        "bob@b.test",
        "  zone      requested zone nope: no such zone",
    ]


def test_a_window_that_is_open_has_a_beginning(api, run_mta):
    """Nobody knows when a slot gets free."""
    window = {"earliest": ONE, "latest": None, "giveUpAt": TOMORROW}
    answer_with(api, {**STORED, "window": window})

    result = run_mta("explain", MESSAGE_ID)

    assert result.output.splitlines()[-1].strip() == (
        f"from {ONE}, given up {TOMORROW}"
    )


def test_what_is_supposed_is_sent_as_it_is_said(api, run_mta):
    """Nothing of what is not said."""
    answer_with(api, SUPPOSED)

    run_mta(
        *("explain", "--from", "ada@a.test", "--to", "bob@b.test", "--to", "c@c.test"),
        *("--header", "From: Ada <ada@shop.test>", "--header", "X-Url: http://a"),
        *("--interface", "feeder", "--origin", "192.0.2.7", "--zone", "news"),
    )

    assert api.documents == [
        {
            "from": "ada@a.test",
            "to": ["bob@b.test", "c@c.test"],
            "headers": {"From": "Ada <ada@shop.test>", "X-Url": "http://a"},
            "interface": "feeder",
            "origin": "192.0.2.7",
            "zone": "news",
        }
    ]


def test_more_deliveries_are_told_if_they_are_asked_for(api, run_mta):
    """Twenty otherwise."""
    answer_with(api)

    run_mta("explain", MESSAGE_ID)
    run_mta("explain", MESSAGE_ID, "--limit", "100")

    assert [query["limit"] for query in api.queries] == ["20", "100"]


@pytest.mark.parametrize(
    "arguments", [(MESSAGE_ID,), ("--from", "ada@a.test", "--to", "bob@b.test")]
)
def test_programs_get_the_answer_as_it_is(api, run_mta, arguments):
    """In one line of JSON."""
    answer_with(api, STORED)

    result = run_mta("explain", *arguments, "--json")

    assert json.loads(result.output)["deliveries"] == [STORED]


def test_a_message_that_is_not_there_is_an_error(api, run_mta):
    """In the server's words."""
    result = run_mta("explain", MESSAGE_ID)

    assert result.exit_code == 1
    assert "unknown" in result.output


def test_others_words_cannot_harm_the_terminal(api, run_mta):
    """A reply may hold anything."""
    journey = {**JOURNEY, "problem": "550 \x1b[2Jgone"}
    answer_with(api, {**SUPPOSED, "journey": journey})

    result = run_mta("explain", "--from", "", "--to", "bob@b.test")

    assert "\x1b" not in result.output
