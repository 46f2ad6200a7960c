"""The page that shows what was said for a delivery."""

import pytest

from mta.delivery import DeliveryState
from mta.store.transcripts import KeptTranscript
from tests.unit.dashboard.test_pages import (
    ESCAPED,
    HOSTILE,
    NOW,
    a_delivery,
    a_message,
    an_outcome,
)

PAGE = "/deliveries/m1.001/transcripts"


def a_transcript(**changes) -> KeptTranscript:
    facts = {
        "delivery": "m1.001",
        "attempt": 2,
        "at": NOW,
        "host": "mx.example.test",
        "why": "failed (smtp)",
        "text": "   0.000 S 220 hi\n   0.100 C EHLO us.test",
    }
    return KeptTranscript(**(facts | changes))


def test_page_tells_what_was_said(pages, queue):
    """Line by line, below the attempt, its host and why it was kept."""
    queue.deliveries = [a_delivery()]
    queue.transcripts = [a_transcript()]

    page = pages.get(PAGE).text

    assert "Attempt 2, 2026-11-22 10:00:00: mx.example.test" in page
    assert "failed (smtp)" in page
    assert "<pre>   0.000 S 220 hi\n   0.100 C EHLO us.test</pre>" in page


def test_page_leads_back_to_the_message(pages, queue):
    """Where the other recipients are."""
    queue.deliveries = [a_delivery()]

    assert '<a href="/messages/m1">' in pages.get(PAGE).text


def test_what_a_server_said_becomes_no_markup(pages, queue):
    """Nor anything else that came from outside."""
    queue.deliveries = [a_delivery(recipient=HOSTILE)]
    queue.transcripts = [a_transcript(text=HOSTILE, host=HOSTILE, why=HOSTILE)]

    page = pages.get(PAGE).text

    assert "<img" not in page
    assert "</script>" not in page
    assert page.count(ESCAPED) == 4


def test_without_a_transcript_the_page_says_so(pages, queue):
    """It went as usual, or it is too long ago."""
    queue.deliveries = [a_delivery()]

    answer = pages.get(PAGE)

    assert answer.status_code == 200
    assert "There is no transcript" in answer.text


@pytest.mark.parametrize("delivery_id", ["m1.002", "m1", "%24where", "a" * 5000])
def test_what_is_no_delivery_has_no_page(pages, queue, delivery_id):
    """One answer, however it was asked."""
    queue.deliveries = [a_delivery()]

    assert pages.get(f"/deliveries/{delivery_id}/transcripts").status_code == 404


@pytest.mark.parametrize("was_tried", [True, False])
def test_message_page_leads_to_what_was_said(pages, queue, was_tried):
    """Of a delivery that was tried at all."""
    outcome = an_outcome(DeliveryState.DEFERRED, attempt=1)
    queue.messages = {"m1": a_message()}
    queue.deliveries = [a_delivery(log=(outcome,) if was_tried else ())]

    page = pages.get("/messages/m1").text

    assert (f'<a href="{PAGE}">' in page) == was_tried
