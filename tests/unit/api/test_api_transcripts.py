"""Transcripts in our own API."""

from datetime import UTC, datetime

import pytest

from mta.store.transcripts import KeptTranscript

MESSAGE_ID = "19ab3c5d7e0001c0de"
KEPT = KeptTranscript(
    delivery=f"{MESSAGE_ID}.001",
    attempt=2,
    at=datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC),
    host="mx.example.test",
    why="failed (smtp)",
    text="   0.000 S 220 <hi>",
)


def test_transcripts_of_a_delivery_are_told(client, look, a_delivery):
    """Which attempt, when, whom with, why it was kept, and what was said."""
    look.deliveries = [a_delivery()]
    look.transcripts = [KEPT]

    answer = client.get(f"/v1/deliveries/{MESSAGE_ID}.001/transcripts").json

    assert look.asked == {"delivery_id": f"{MESSAGE_ID}.001"}
    assert answer == {
        "transcripts": [
            {
                "attempt": 2,
                "at": "2026-11-22T10:00:00.123Z",
                "host": "mx.example.test",
                "why": "failed (smtp)",
                "text": "   0.000 S 220 <hi>",
            }
        ]
    }


def test_a_delivery_that_went_as_usual_has_none(client, look, a_delivery):
    """That is an answer, not an error."""
    look.deliveries = [a_delivery()]

    answer = client.get(f"/v1/deliveries/{MESSAGE_ID}.001/transcripts")

    assert (answer.status_code, answer.json) == (200, {"transcripts": []})


@pytest.mark.parametrize(
    "delivery_id", [f"{MESSAGE_ID}.002", MESSAGE_ID, "%24where", "a" * 5000, "x.001%00"]
)
def test_what_is_no_delivery_has_no_transcripts(client, look, a_delivery, delivery_id):
    """Nor is anything looked for in the store by such an id."""
    look.deliveries = [a_delivery()]
    look.transcripts = [KEPT]

    answer = client.get(f"/v1/deliveries/{delivery_id}/transcripts")

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    assert look.asked == {}
