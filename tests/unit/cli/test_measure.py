"""``mta measure`` and ``mta warmup`` against a server that answers as the API does."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

from mta.cli.main import cli

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


class FakeApi:
    """Answers what it is told to; notes what it is asked."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.url = ""

    def answer(self, path: str = "") -> Any:
        key = f"{request.method} {request.path}"
        self.asked.append((key, request.get_json(silent=True)))
        return jsonify(self.answers[key])


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi()
    app = Flask("api")
    app.add_url_rule("/<path:path>", view_func=fake.answer, methods=["GET", "POST"])
    server = make_server("127.0.0.1", 0, app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.port}"
    yield fake
    server.shutdown()


@pytest.fixture
def run(api):
    def run_command(*arguments: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "--api", api.url])

    return run_command


def test_a_measure_is_told_in_two_lines(api, run):
    api.answers["GET /v1/measures"] = {"measures": [MEASURE]}

    result = run("measure", "list")

    assert result.output.splitlines() == [
        "00ff  slow big from 192.0.2.10 for shop at 5/minute on 2 connections, "
        "until 2026-03-01T13:00:00.000Z",
        "    big-is-busy, 3 since 2026-03-01T12:00:00.000Z: 421 4.7.0 slow down",
    ]


def test_a_measure_is_taken_by_hand(api, run):
    api.answers["POST /v1/measures"] = MEASURE

    result = run(
        *("measure", "add", "slow", "big", "--for", "6h", "--reason", "they asked"),
        *("--rate", "5/minute", "--max-connections", "2", "--tenant", "shop"),
    )

    assert result.exit_code == 0
    [(_, document)] = api.asked
    assert document == {
        "action": "slow",
        "site": "big",
        "duration": "6h",
        "reason": "they asked",
        "rate": "5/minute",
        "maxConnections": 2,
        "tenant": "shop",
    }


@pytest.mark.parametrize("order", ["clear", "pin", "unpin"])
def test_a_measure_is_changed_by_its_id(api, run, order):
    api.answers[f"POST /v1/measures/00ff/{order}"] = {**MEASURE, "pinned": True}

    result = run("measure", order, "00ff", "--json")

    assert json.loads(result.output)["pinned"] is True


def test_what_is_no_id_is_not_asked_for(api, run):
    result = run("measure", "clear", "../../send")

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
def test_warmup_is_told_in_a_line(api, run, addresses, line):
    api.answers["GET /v1/warmup"] = {"addresses": addresses}

    assert run("warmup", "status").output == f"{line}\n"
