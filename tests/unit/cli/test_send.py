import io
import json

import pytest

from mta.cli.send import compose, follow, is_delivered, is_finished, timeline

QUEUED = {"at": "2026-01-01T00:00:00Z", "state": "queued", "code": 0}
DEFERRED = {
    "at": "2026-01-01T00:00:01Z",
    "state": "deferred",
    "code": 451,
    "status": "4.7.1",
    "text": "Greylisted",
    "host": "mx.example.test",
    "dueAt": "2026-01-01T00:05:01Z",
}
DELIVERED = {
    "at": "2026-01-01T00:05:02Z",
    "state": "delivered",
    "code": 250,
    "text": "OK",
    "host": "",
    "address": "192.0.2.1",
    "dueAt": None,
}


def a_message(*logs: list[dict[str, object]], **fields: object) -> dict[str, object]:
    deliveries = [
        {
            "id": f"m.{number:03x}",
            "recipient": f"r{number}@example.test",
            "state": log[-1]["state"],
            "timeline": log,
        }
        for number, log in enumerate(logs, 1)
    ]
    return {"id": "m", "deliveries": deliveries, **fields}


def test_entries_are_shown_as_they_come():
    """Each entry is shown once, whatever the number of questions."""
    answers = iter(
        [
            a_message([QUEUED]),
            a_message([QUEUED]),
            a_message([QUEUED, DEFERRED]),
            a_message([QUEUED, DEFERRED, DELIVERED]),
        ]
    )
    shown: list[str] = []

    last = follow(
        lambda: next(answers),
        shown.append,
        until=60,
        clock=lambda: 0,
        pause=lambda _: None,
    )

    assert is_delivered(last)
    assert shown == [
        "2026-01-01T00:00:00Z  r1@example.test  queued",
        "2026-01-01T00:00:01Z  r1@example.test  deferred  451 4.7.1 Greylisted  "
        "by mx.example.test  next attempt 2026-01-01T00:05:01Z",
        "2026-01-01T00:05:02Z  r1@example.test  delivered  250 OK  by 192.0.2.1",
    ]


def test_following_ends_when_time_is_up():
    """What is not finished by then is given back as it is."""
    now = iter([0.0, 0.5, 1.0])

    last = follow(
        lambda: a_message([DEFERRED]),
        lambda _: None,
        until=1.0,
        clock=lambda: next(now),
        pause=lambda _: None,
    )

    assert not is_finished(last)


def test_entries_of_all_recipients_are_in_order_of_time():
    """The timelines of one message are woven into one."""
    message = a_message([QUEUED, DELIVERED], [QUEUED, DEFERRED])

    states = [line.split()[2] for _, line in timeline(message)]

    assert states == ["queued", "queued", "deferred", "delivered"]


def test_a_reply_cannot_command_the_terminal():
    """What a server says is shown, not obeyed."""
    hostile = {**DEFERRED, "text": "\x1b]0;owned\x07"}

    [(_, line)] = timeline(a_message([hostile]))

    assert "\\x1b]0;owned\\x07" in line


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (a_message(), False),
        (a_message([DELIVERED]), True),
        (a_message([DELIVERED], recipients=2), False),
        (a_message([DELIVERED], [DEFERRED], recipients=2), False),
        (a_message([DELIVERED], [DELIVERED], recipients=2), True),
    ],
    ids=["no rows yet", "one", "a row is missing", "one is deferred", "both"],
)
def test_delivered_means_to_every_recipient(message, expected):
    """A recipient whose row is not written yet counts, too."""
    assert is_delivered(message) is expected


def test_the_zone_is_asked_for_in_a_header():
    """X-Sending-Zone is how a message of the API names its zone."""
    message = compose(
        author="a@example.test",
        recipients=("b@example.test",),
        subject="s",
        text="t",
        zone="bulk",
    )

    assert message == {
        "from": "a@example.test",
        "to": ["b@example.test"],
        "subject": "s",
        "text": "t",
        "headers": {"X-Sending-Zone": "bulk"},
    }


def test_a_dash_reads_the_text_from_stdin(monkeypatch):
    """Bytes that are no UTF-8 are replaced, not refused."""
    stdin = io.TextIOWrapper(io.BytesIO(b"hi \xff"))
    monkeypatch.setattr("sys.stdin", stdin)

    message = compose(
        author="a@example.test", recipients=(), subject="", text="-", zone=None
    )

    assert json.dumps(message["text"]) == '"hi \\ufffd"'
