"""``mta queue`` against a server that answers as the API does."""

import functools
import json
from typing import Any

import pytest
from click.testing import CliRunner

from mta.cli.main import cli
from mta.cli.queue import describe, fetch, path_of, summary

DELIVERY: dict[str, Any] = {
    "id": "m1.001",
    "recipient": "bob@example.test",
    "zone": "default",
    "state": "in_doubt",
    "attempts": 1,
    "dueAt": "2026-11-22T10:15:00.000Z",
    "waitsFor": None,
    "doubts": 1,
    "doubtedAt": "2026-11-22T10:00:00.000Z",
    "timeline": [
        {
            "at": "2026-11-22T10:00:00.000Z",
            "state": "in_doubt",
            "code": 450,
            "status": "4.4.2",
            "text": "No answer",
            "host": "mx.example.test",
            "isDoubtful": True,
            "isRepeat": False,
        }
    ],
}


@pytest.fixture
def mta(run_mta):
    """Runs ``mta queue ...`` on a server."""
    return functools.partial(run_mta, "queue")


def test_list_asks_for_zone_and_state(mta, api):
    """A line for each delivery."""
    api.answers["GET /v1/deliveries"] = ({"deliveries": [DELIVERY], "next": None}, 200)

    result = mta("list", "--zone", "news letter", "--state", "in_doubt")

    assert result.exit_code == 0
    assert result.stdout == (
        "m1.001  bob@example.test  default  in doubt  1 attempt  "
        "due 2026-11-22T10:15:00.000Z  in doubt 1 time  "
        "last 2026-11-22T10:00:00.000Z\n"
    )
    assert api.queries == [{"zone": "news letter", "state": "in_doubt", "limit": "100"}]


def test_a_list_that_is_cut_says_so(mta, api):
    """On stderr, so that the list itself stays one."""
    page = {"deliveries": [DELIVERY], "next": "bTEuMDAx"}
    api.answers["GET /v1/deliveries"] = (page, 200)

    result = mta("list", "--limit", "1")

    assert result.stdout.count("\n") == 1
    assert "--limit" in result.stderr


def test_doubts_are_printed_as_json(mta, api):
    """The API's answer, for programs."""
    page = {"deliveries": [DELIVERY], "next": None}
    api.answers["GET /v1/in-doubt"] = (page, 200)

    result = mta("doubts", "--json")

    assert json.loads(result.stdout) == page


def test_show_tells_the_timeline(mta, api):
    """What happened, and that it may have arrived."""
    api.answers["GET /v1/deliveries/m1.001"] = (DELIVERY, 200)

    result = mta("show", "m1.001")

    assert result.stdout.splitlines()[1] == (
        "    2026-11-22T10:00:00.000Z  in doubt  450 4.4.2 No answer  "
        "by mx.example.test  may have arrived"
    )


def test_show_of_a_message_tells_all_its_deliveries(mta, api):
    """And how many recipients there are, if not all are shown."""
    message = {"id": "m1", "recipients": 2, "deliveries": [DELIVERY]}
    api.answers["GET /v1/messages/m1"] = (message, 200)

    result = mta("show", "m1")

    assert result.stdout.startswith("m1.001  bob@example.test")
    assert "of 2 recipients" in result.stderr


@pytest.mark.parametrize(
    "order", ["hold", "release", "retry", "cancel", "assume-delivered"]
)
def test_an_order_tells_the_new_state(mta, api, order):
    """The API has done it by then."""
    answer = {**DELIVERY, "state": "held"}
    api.answers[f"POST /v1/deliveries/m1.001/{order}"] = (answer, 200)

    result = mta(order, "m1.001")

    assert result.exit_code == 0
    assert result.stdout == "m1.001 is held\n"


def test_an_order_about_a_message_tells_what_became_of_it(mta, api):
    """How many obeyed, and where all are now."""
    api.answers["POST /v1/messages/m1/hold"] = (
        {"id": "m1", "changed": 2, "states": {"held": 2, "sending": 1}},
        200,
    )

    result = mta("hold", "m1")

    assert result.stdout == "m1: 2 changed; now 2 held, 1 sending\n"


def test_an_order_is_answered_in_json_on_request(mta, api):
    """The delivery as it is then."""
    api.answers["POST /v1/deliveries/m1.001/retry"] = (DELIVERY, 200)

    assert json.loads(mta("retry", "m1.001", "--json").stdout) == DELIVERY


def test_a_refused_order_fails(mta, api):
    """Exit status 1, nothing on stdout, and the API's reason on stderr."""
    problem = {"detail": "It is being sent right now", "state": "sending"}
    api.answers["POST /v1/deliveries/m1.001/cancel"] = (problem, 409)

    result = mta("cancel", "m1.001")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "409: It is being sent right now" in result.stderr


class Pages:
    """A client whose list is as long as you like."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.asked: list[str] = []

    def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        limit = int(path.partition("limit=")[2].partition("&")[0])
        start = int(path.partition("cursor=")[2] or 0)
        end = min(start + limit, self.length)
        cursor = str(end) if end < self.length else None
        return {"deliveries": list(range(start, end)), "next": cursor}


@pytest.mark.parametrize(
    ("length", "limit", "pages", "cursor"),
    [(0, 10, 1, None), (2500, 5000, 3, None), (2500, 1200, 2, "1200")],
    ids=["nothing", "all", "cut"],
)
def test_long_lists_are_fetched_page_by_page(length, limit, pages, cursor):
    """As many as are wanted, a thousand at a time."""
    client = Pages(length)

    found = fetch(client, "/v1/deliveries", {}, limit=limit)

    assert found["deliveries"] == list(range(min(length, limit)))
    assert found["next"] == cursor
    assert len(client.asked) == pages


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ("m1", "/v1/messages/m1"),
        ("m1.001", "/v1/deliveries/m1.001"),
        ("../x?y", "/v1/deliveries/..%2Fx%3Fy"),
    ],
)
def test_an_id_tells_what_it_names(item, path):
    """Whatever is typed stays one segment of the path."""
    assert path_of(item) == path


def test_a_parked_delivery_tells_for_what():
    """When it is due means nothing then."""
    line = summary({**DELIVERY, "state": "queued", "waitsFor": "zone:default"})

    assert "parked for zone:default" in line
    assert "due" not in line


def test_a_repetition_is_told():
    """No repetition is silent."""
    entry = {**DELIVERY["timeline"][0], "isDoubtful": False, "isRepeat": True}

    lines = list(describe({**DELIVERY, "timeline": [entry]}))

    assert lines[1].endswith("  repeat after doubt")


def test_a_reply_cannot_command_the_terminal(mta, api):
    """What a server says is shown, not obeyed."""
    entry = {**DELIVERY["timeline"][0], "text": "\x1b]0;owned\x07"}
    api.answers["GET /v1/deliveries/m1.001"] = ({**DELIVERY, "timeline": [entry]}, 200)

    assert "\\x1b]0;owned\\x07" in mta("show", "m1.001").stdout


KEPT = {
    "attempt": 2,
    "at": "2026-11-22T10:00:00.000Z",
    "host": "mx.example.test",
    "why": "failed (smtp)",
    "text": "   0.000 S 220 hi\n   0.100 C EHLO us.test",
}


def test_a_transcript_is_told_below_its_attempt(mta, api):
    """Whom with, when, and why it was kept."""
    answer = {"transcripts": [KEPT, {**KEPT, "attempt": 3, "text": "more"}]}
    api.answers["GET /v1/deliveries/m1.001/transcripts"] = (answer, 200)

    result = mta("transcript", "m1.001")

    assert result.exit_code == 0
    assert result.stdout == (
        "attempt 2, 2026-11-22T10:00:00.000Z, with mx.example.test: failed (smtp)\n"
        "   0.000 S 220 hi\n"
        "   0.100 C EHLO us.test\n"
        "attempt 3, 2026-11-22T10:00:00.000Z, with mx.example.test: failed (smtp)\n"
        "more\n"
    )


def test_a_transcript_cannot_command_the_terminal(mta, api):
    """All of it was said by somebody else."""
    kept = {**KEPT, "host": "mx\x1b[2J", "text": "\x1b]0;owned\x07"}
    api.answers["GET /v1/deliveries/m1.001/transcripts"] = (
        {"transcripts": [kept]},
        200,
    )

    result = mta("transcript", "m1.001")

    assert "\x1b" not in result.stdout
    assert "\\x1b]0;owned\\x07" in result.stdout


@pytest.mark.parametrize(
    ("option", "told"), [((), "none was kept"), (("--json",), "[]")]
)
def test_where_no_transcript_was_kept_that_is_told(mta, api, option, told):
    """It went as usual, or it is too long ago; that is no error."""
    api.answers["GET /v1/deliveries/m1.001/transcripts"] = ({"transcripts": []}, 200)

    result = mta("transcript", "m1.001", *option)

    assert (result.exit_code, told in result.stdout) == (0, True)


def test_a_transcript_of_nothing_fails(mta):
    """There is no delivery of that id."""
    result = mta("transcript", "m1.002")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "404" in result.stderr


@pytest.mark.parametrize("path", [("--help",), ("hold", "--help"), ("list", "--help")])
def test_every_command_has_help(path):
    """With the question it answers."""
    result = CliRunner().invoke(cli, ["queue", *path])

    assert result.exit_code == 0
    assert "Usage:" in result.output
