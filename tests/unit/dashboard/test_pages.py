"""The pages: what they show, and that they only show it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import Delivery, DeliveryState, Outcome
from mta.errors import StoreUnavailable
from mta.mail.envelope import Envelope
from mta.operate.look import Doubt, MessageView
from mta.reply import make_reply

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}</script>"
ESCAPED = "&lt;img src=x"


def a_delivery(number: int = 1, **changes) -> Delivery:
    facts = {
        "id": f"m1.{number:03x}",
        "message_id": "m1",
        "zone": "default",
        "recipient": "bob@example.test",
        "domain": "example.test",
        "state": DeliveryState.DEFERRED,
        "created_at": NOW,
        "due_at": NOW,
        "give_up_at": NOW + timedelta(days=30),
    }
    return Delivery(**(facts | changes))


def an_outcome(state: DeliveryState, **changes) -> Outcome:
    facts = {"at": NOW, "state": state, "reply": make_reply(450, "4.4.2", "No answer")}
    return Outcome(**(facts | changes))


def a_message(**changes) -> MessageView:
    facts = {
        "id": "m1",
        "envelope": Envelope(
            reverse_path=HOSTILE,
            recipients=(),
            interface="feeder",
            protocol="ESMTP",
            received_at=NOW,
            session_id="s",
            helo=HOSTILE,
            user=HOSTILE,
        ),
        "header": b"Subject: x\r\n",
        "body_bytes": 10,
        "body_hash": "",
        "body_md5": "",
        "created_at": NOW,
        "message_id": HOSTILE,
        "subject": HOSTILE,
        "recipients": 1,
        "has_content": True,
    }
    return MessageView(**(facts | changes))


def test_front_page_counts_each_zone(pages, queue):
    """Active, deferred, and where it goes."""
    queue.counts = {"default": ([("a.test", 41)], [("b.test", 17)])}

    page = pages.get("/").text

    assert ">41</a>" in page
    assert ">17</a>" in page
    assert "a.test (41)" in page


def test_zone_page_lists_deliveries_by_pages(pages, queue):
    """A hundred a page; one more tells that there is a next page."""
    queue.deliveries = [a_delivery(number) for number in range(1, 200)]

    page = pages.get("/queue/default?type=deferred&start=100").text

    assert queue.asked["start"] == 100
    assert queue.asked["deferred"] is True
    assert "start=200" in page
    assert "start=0" in page
    assert page.count("bob@example.test") == 100


def test_zone_page_tells_what_a_delivery_waits_for(pages, queue):
    """Its state alone does not say for which limit it is parked, or that it may
    arrive twice."""
    parked = a_delivery(1, state=DeliveryState.QUEUED, waits_for="source:192.0.2.1")
    repeated = a_delivery(2, state=DeliveryState.QUEUED, doubts=1)
    queue.deliveries = [parked, repeated, a_delivery(3, state=DeliveryState.IN_DOUBT)]

    page = pages.get("/queue/default").text

    assert "parked for source:192.0.2.1" in page
    assert "repeat after doubt" in page
    assert '<span class="state in_doubt">in doubt</span>' in page


def test_unknown_zone_has_no_page(pages):
    """Nor is it looked for in the store."""
    assert pages.get("/queue/unknown").status_code == 404


def test_message_page_tells_why(pages, queue):
    """Each attempt with the reply it got."""
    outcome = Outcome(
        at=NOW,
        state=DeliveryState.DEFERRED,
        reply=make_reply(451, "4.7.1", "Greylisted"),
        host="mx.example.test",
    )
    queue.messages = {"m1": a_message()}
    queue.deliveries = [a_delivery(log=(outcome,))]

    page = pages.get("/messages/m1").text

    assert "451 4.7.1 Greylisted" in page
    assert "mx.example.test" in page


def test_message_page_marks_doubt_and_repetition(pages, queue):
    """No repetition is silent: who reads the timeline sees both."""
    doubt = an_outcome(DeliveryState.IN_DOUBT, attempt=1, is_doubtful=True)
    again = an_outcome(DeliveryState.DELIVERED, attempt=2)
    queue.messages = {"m1": a_message()}
    queue.deliveries = [
        a_delivery(state=DeliveryState.DELIVERED, doubts=1, log=(doubt, again))
    ]

    page = pages.get("/messages/m1").text

    assert page.count("may have arrived") == 1
    assert page.count("repeat after doubt") == 1
    assert page.count("was in doubt") == 1


@pytest.mark.parametrize("query", ["+m1+", "m1.001"])
def test_message_is_found_by_its_id(pages, query):
    """The form in the page's head leads there; a delivery's id will do."""
    answer = pages.get(f"/messages?id={query}")

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/messages/m1"


@pytest.mark.parametrize(
    "path",
    [
        "/messages?id=//evil.test",
        "/messages?id=",
        "/messages/%2e%2e",
        "/messages/unknown",
        "/inbox/unknown",
        "/inbox/unknown/raw",
        "/inbox/%00",
        "/inbox/" + "a" * 9000,
    ],
)
def test_strange_ids_lead_nowhere(pages, path):
    """No redirect elsewhere, no look-up, no trace."""
    assert pages.get(path).status_code == 404


def test_people_are_refused_on_a_page(pages):
    """Who mistyped an id finds the way back."""
    answer = pages.get("/messages?id=unknown", follow_redirects=True)

    assert answer.status_code == 404
    assert "no message of that id" in answer.text
    assert 'href="/inbox"' in answer.text


def test_programs_are_refused_in_json(pages):
    """They asked for nothing else."""
    assert pages.get("/inbox.json?limit=x").json == {
        "error": "This is no number from 0."
    }


def test_absent_store_has_a_page(pages, queue):
    """Not a line of JSON, and nothing of what went wrong inside."""

    def fail(zone):
        raise StoreUnavailable("mongodb://secret")

    queue.count_by_domain = fail

    answer = pages.get("/")

    assert answer.status_code == 503
    assert "does not answer" in answer.text
    assert "secret" not in answer.text


def test_nothing_from_outside_becomes_markup(pages, queue, inbox):
    """Subjects, replies, addresses and texts are all written by strangers."""
    reply = make_reply(550, None, HOSTILE)
    outcome = Outcome(
        at=NOW, state=DeliveryState.BOUNCED, reply=reply, host=HOSTILE, source=HOSTILE
    )
    queue.counts = {"default": ([(HOSTILE, 1)], [])}
    queue.messages = {"m1": a_message()}
    hostile = a_delivery(
        recipient=HOSTILE, log=(replace(outcome, is_doubtful=True),), waits_for=HOSTILE
    )
    queue.deliveries = [hostile]
    queue.doubted = [Doubt(hostile, NOW)]
    inbox.put(
        f"Subject: {HOSTILE}\r\nX-{HOSTILE[:3]}: x\r\n\r\n{HOSTILE}".encode(),
        subject=HOSTILE,
    )

    paths = ("/", "/queue/default", "/in-doubt", "/messages/m1")
    for path in (*paths, "/inbox", "/inbox/1nb0x"):
        page = pages.get(path).text

        assert "<img" not in page, path
        assert "<script" not in page, path
        assert "{{7*7}}" in page or "49" not in page, path
        assert ESCAPED in page, path


def test_inbox_lists_for_people_and_programs(pages, inbox):
    """The same list twice."""
    inbox.put(b"Subject: Hello\r\n\r\nHi\r\n")

    assert "Hello" in pages.get("/inbox").text
    assert pages.get("/inbox.json?recipient=bob@example.test&limit=5").json == [
        {
            "id": "1nb0x",
            "receivedAt": "2026-11-22T10:00:00.000+00:00",
            "from": "ada@example.test",
            "to": ["bob@example.test"],
            "subject": "Hello",
            "size": 22,
        }
    ]
    assert inbox.asked == (5, "bob@example.test")


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=x", "recipient=a%00b", "recipient=" + "a" * 400, "limit=1.5"],
)
def test_wrong_parameters_are_refused(pages, query):
    """Nothing unchecked reaches the store."""
    assert pages.get(f"/inbox.json?{query}").status_code == 400


def test_received_message_is_shown_as_text(pages, inbox):
    """Decoded header fields, and the text."""
    inbox.put(
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"Sch=C3=B6n\r\n"
    )

    page = pages.get("/inbox/1nb0x").text

    assert "Grüße" in page
    assert "Schön" in page


def test_raw_message_is_a_download(pages, inbox):
    """A browser must not show it, and if it does, then without scripts."""
    inbox.put(b"Subject: x\r\n\r\n<script>alert(1)</script>")

    answer = pages.get("/inbox/1nb0x/raw")

    assert answer.data == b"Subject: x\r\n\r\n<script>alert(1)</script>"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_without_an_inbox_there_is_no_page_for_it(pages_without_inbox):
    """Only the sandbox has one."""
    assert pages_without_inbox.get("/inbox").status_code == 404
    assert "/inbox" not in pages_without_inbox.get("/").text
