"""What may have arrived twice, for people."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import Delivery, DeliveryState, Outcome
from mta.errors import StoreUnavailable
from mta.operate.look import Doubt
from mta.operate.pages import Place, format_place
from mta.reply import make_reply

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


def a_doubt(number: int = 1, **changes) -> Doubt:
    outcome = Outcome(
        at=NOW,
        state=DeliveryState.IN_DOUBT,
        reply=make_reply(450, "4.4.2", "No answer to the final dot"),
        host="mx.example.test",
        attempt=1,
        is_doubtful=True,
    )
    facts = {
        "id": f"m1.{number:03x}",
        "message_id": "m1",
        "zone": "default",
        "recipient": "bob@example.test",
        "domain": "example.test",
        "state": DeliveryState.IN_DOUBT,
        "created_at": NOW,
        "due_at": NOW + timedelta(minutes=15),
        "give_up_at": NOW + timedelta(days=30),
        "doubts": 1,
        "log": (outcome,),
    }
    return Doubt(Delivery(**(facts | changes)), NOW - timedelta(minutes=number))


def test_page_tells_cause_and_what_happens_next(pages, queue):
    """An operator sees whether to step in."""
    queue.doubted = [a_doubt()]

    page = pages.get("/in-doubt").text

    assert 'href="/messages/m1"' in page
    assert "450 4.4.2 No answer to the final dot" in page
    assert "mx.example.test" in page
    assert "sent again" in page
    assert "2026-11-22 10:15:00" in page


def test_page_tells_that_a_person_has_to_decide(pages, queue):
    """With the policy "hold" nothing happens by itself until the end."""
    end = NOW + timedelta(days=30)
    queue.doubted = [a_doubt(due_at=end, give_up_at=end)]

    assert "waits for an operator" in pages.get("/in-doubt").text


def test_a_full_page_links_to_the_next(pages, queue):
    """The link names the last entry, so that newer ones shift nothing."""
    queue.doubted = [a_doubt(number) for number in range(1, 102)]

    page = pages.get("/in-doubt").text

    cursor = format_place(queue.doubted[99].place)
    assert f'href="/in-doubt?cursor={cursor}"' in page
    assert "m1.065" not in page


def test_the_next_page_begins_where_the_last_ended(pages, queue):
    """What the link says reaches the store as a checked value."""
    place = Place(NOW, "m1.064")

    pages.get(f"/in-doubt?cursor={format_place(place)}")

    assert queue.asked == {"before": place, "limit": 101}


@pytest.mark.parametrize("cursor", ["", "x", "%00", "bTEuMDY0", "a" * 9000])
def test_what_is_no_cursor_is_refused(pages, cursor):
    """Nothing unchecked reaches the store."""
    assert pages.get(f"/in-doubt?cursor={cursor}").status_code == 400


def test_navigation_leads_there_once_there_is_something(pages, queue):
    """Most operators never need the page."""
    before = pages.get("/").text
    queue.doubted = [a_doubt()]

    after = pages.get("/").text

    assert 'href="/in-doubt"' not in before
    assert 'href="/in-doubt"' in after


def test_without_doubts_the_page_says_so(pages):
    """It has an address, so it has an answer."""
    assert "Nothing is, or was, in doubt." in pages.get("/in-doubt").text


def test_navigation_does_not_ask_an_absent_store_again(pages, queue):
    """The page that says so must not fail for the same reason."""

    def fail():
        raise StoreUnavailable("away")

    queue.has_doubts = fail

    answer = pages.get("/")

    assert answer.status_code == 503
    assert "does not answer" in answer.text
