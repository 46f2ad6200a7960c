"""``mta measure`` and ``mta warmup`` against a server that answers as the API does."""

import json
from typing import Any

import pytest

MEASURE: dict[str, Any] = {
    "id": "00ff",
    "action": "slow",
    "site": "big",
    "source": "192.0.2.10",
    "tenant": "shop",
    "rate": "5/minute",
    "maxConnections": 2,
    "since": "2026-03-01T12:00:00.000Z",
    "until": "2026-03-01T13:00:00.000Z",
    "pinned": False,
    "cause": "421 4.7.0 slow down",
    "rule": "big-is-busy",
    "hits": 3,
}
COLD: dict[str, Any] = {
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


def test_a_measure_is_told_in_two_lines(api, run_mta):
    api.answers["GET /v1/measures"] = ({"measures": [MEASURE]}, 200)

    result = run_mta("measure", "list")

    assert result.output.splitlines() == [
        "00ff  slow big from 192.0.2.10 for shop at 5/minute on 2 connections, "
        "until 2026-03-01T13:00:00.000Z",
        "    big-is-busy, 3 since 2026-03-01T12:00:00.000Z: 421 4.7.0 slow down",
    ]


def test_a_measure_is_taken_by_hand(api, run_mta):
    api.answers["POST /v1/measures"] = (MEASURE, 200)

    result = run_mta(
        *("measure", "add", "slow", "big", "--for", "6h", "--reason", "they asked"),
        *("--rate", "5/minute", "--max-connections", "2", "--tenant", "shop"),
    )

    assert result.exit_code == 0
    assert api.documents[0] == {
        "action": "slow",
        "site": "big",
        "duration": "6h",
        "reason": "they asked",
        "rate": "5/minute",
        "maxConnections": 2,
        "tenant": "shop",
    }


@pytest.mark.parametrize("order", ["clear", "pin", "unpin"])
def test_a_measure_is_changed_by_its_id(api, run_mta, order):
    api.answers[f"POST /v1/measures/00ff/{order}"] = ({**MEASURE, "pinned": True}, 200)

    result = run_mta("measure", order, "00ff", "--json")

    assert json.loads(result.output)["pinned"] is True


def test_what_is_no_id_is_not_asked_for(api, run_mta):
    result = run_mta("measure", "clear", "../../send")

    assert result.exit_code == 2
    assert not api.asked


@pytest.mark.parametrize(
    ("addresses", "line"),
    [
        (
            [COLD],
            "192.0.2.10 (p) to big: day 4, step 3 of 28, 1 days repeated; 120 of 200 "
            "today, 7 of 25 this hour; warm from 2026-12-18",
        ),
        ([{**COLD, "warm": True, "day": 40}], "192.0.2.10 (p) to big: warm, day 40"),
        ([], "no address warms up"),
    ],
)
def test_warmup_is_told_in_a_line(api, run_mta, addresses, line):
    api.answers["GET /v1/warmup"] = ({"addresses": addresses}, 200)

    assert run_mta("warmup", "status").output == f"{line}\n"
