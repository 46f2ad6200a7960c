"""What was said, in MongoDB."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mta.store.mongo import TRANSCRIPTS
from mta.store.transcripts import MAX_LISTED, MAX_TEXT, KeptTranscript, Transcripts

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
UNTIL = NOW + timedelta(days=7)
KEPT = KeptTranscript(
    delivery="0123456789abcdef01.001",
    attempt=1,
    at=NOW,
    host="mx.b.test",
    why="failed (smtp)",
    text="   0.000 S 550 5.1.1 nö\n   0.001 C QUIT",
)


@pytest.fixture
def transcripts(db):
    return Transcripts(db)


def test_what_is_kept_is_found_again(transcripts):
    """All of it, with the instant as it was."""
    transcripts.keep(KEPT, until=UNTIL)

    assert transcripts.of_delivery(KEPT.delivery) == [KEPT]


def test_attempts_are_listed_in_their_order(transcripts):
    """By number, whatever their names sort like and whenever they were kept."""
    for attempt in (10, 2, 1):
        transcripts.keep(replace(KEPT, attempt=attempt), until=UNTIL)

    found = transcripts.of_delivery(KEPT.delivery)

    assert [kept.attempt for kept in found] == [1, 2, 10]


def test_an_attempt_has_one(transcripts):
    """Should its outcome be noted twice, the later word counts."""
    transcripts.keep(KEPT, until=UNTIL)
    transcripts.keep(replace(KEPT, text="again"), until=UNTIL)

    assert [kept.text for kept in transcripts.of_delivery(KEPT.delivery)] == ["again"]


@pytest.mark.parametrize("other", ["m.0010", "m.00", "m.002", "m", "n.001", "m.001x"])
def test_those_of_other_deliveries_are_not_among_them(transcripts, other):
    """Also if one id begins like the other."""
    transcripts.keep(replace(KEPT, delivery="m.001"), until=UNTIL)
    transcripts.keep(replace(KEPT, delivery=other), until=UNTIL)

    found = transcripts.of_delivery("m.001")

    assert [kept.delivery for kept in found] == ["m.001"]


def test_a_delivery_that_went_as_usual_has_none(transcripts):
    """That is the usual case, and no error."""
    assert transcripts.of_delivery(KEPT.delivery) == []


def test_it_is_forgotten_in_time(transcripts, db):
    """MongoDB does that, by the time that the row itself names."""
    transcripts.keep(KEPT, until=UNTIL)

    (row,) = db[TRANSCRIPTS].find()
    indexes = db[TRANSCRIPTS].index_information()
    assert row["expires_at"] == UNTIL
    assert [
        index["key"]
        for index in indexes.values()
        if index.get("expireAfterSeconds") == 0
    ] == [[("expires_at", 1)]]


def test_a_long_one_is_cut(transcripts):
    """No server fills our database."""
    transcripts.keep(replace(KEPT, text="x" * 100_000), until=UNTIL)

    (found,) = transcripts.of_delivery(KEPT.delivery)
    assert len(found.text) == MAX_TEXT


def test_of_very_many_the_latest_are_listed(transcripts):
    """Whoever asks wants to know why it does not work now."""
    for attempt in range(1, MAX_LISTED + 10):
        transcripts.keep(replace(KEPT, attempt=attempt), until=UNTIL)

    found = transcripts.of_delivery(KEPT.delivery)

    assert [kept.attempt for kept in found] == list(range(10, MAX_LISTED + 10))
