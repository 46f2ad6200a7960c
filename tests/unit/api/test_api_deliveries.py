"""Deliveries in our own API: single ones, lists, and those in doubt."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import LIVE, DeliveryState, Outcome
from mta.operate.look import Doubt
from mta.operate.pages import Place, format_after, format_place
from mta.reply import make_reply

NOW = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)
MESSAGE_ID = "19ab3c5d7e0001c0de"


def an_outcome(state: DeliveryState, **changes) -> Outcome:
    facts = {"at": NOW, "state": state, "reply": make_reply(450, "4.4.2", "No answer")}
    return Outcome(**(facts | changes))


@pytest.fixture
def a_doubted(a_delivery):
    """Builds a delivery that was sent again after a doubt."""

    def build(number: int = 1):
        log = (
            an_outcome(DeliveryState.IN_DOUBT, attempt=1, is_doubtful=True),
            an_outcome(
                DeliveryState.DEFERRED, attempt=2, at=NOW + timedelta(minutes=15)
            ),
        )
        return a_delivery(
            number, state=DeliveryState.DEFERRED, attempts=2, doubts=1, log=log
        )

    return build


def test_one_delivery_is_told_by_its_id(client, look, a_delivery):
    """Whose it is, how urgent, and which limit it waits for."""
    look.deliveries = [
        a_delivery(lane="0:feeder/ada", waits_for="domain:default:example.test")
    ]

    answer = client.get(f"/v1/deliveries/{MESSAGE_ID}.001").json

    assert answer == {
        "id": f"{MESSAGE_ID}.001",
        "messageId": MESSAGE_ID,
        "seq": "001",
        "recipient": "bob@example.test",
        "domain": "example.test",
        "zone": "default",
        "tenant": "feeder/ada",
        "priority": "transactional",
        "state": "queued",
        "attempts": 0,
        "createdAt": "2026-11-22T10:00:00.123Z",
        "dueAt": "2026-11-22T10:00:00.123Z",
        "giveUpAt": "2026-12-22T10:00:00.123Z",
        "waitsFor": "domain:default:example.test",
        "putOffBy": None,
        "rule": "",
        "doubts": 0,
        "doubtedAt": None,
        "timeline": [],
    }


@pytest.mark.parametrize(
    "delivery_id", [f"{MESSAGE_ID}.002", MESSAGE_ID, "%24where", "a" * 5000, "x.001%00"]
)
def test_strange_ids_are_unknown_ids(client, delivery_id):
    """One answer for all that is not there, however it was asked."""
    answer = client.get(f"/v1/deliveries/{delivery_id}")

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


def test_timeline_marks_doubt_and_repetition(client, look, a_message, a_doubted):
    """No repetition is silent: both stand in every answer with a timeline."""
    look.messages = {MESSAGE_ID: a_message()}
    look.deliveries = [a_doubted()]

    (delivery,) = client.get(f"/v1/messages/{MESSAGE_ID}").json["deliveries"]

    assert (delivery["doubts"], delivery["doubtedAt"]) == (
        1,
        "2026-11-22T10:00:00.123Z",
    )
    marks = [(line["isDoubtful"], line["isRepeat"]) for line in delivery["timeline"]]
    assert marks == [(True, False), (False, True)]


def test_list_is_of_all_that_is_not_finished(client, look, a_delivery):
    """Without a question, whatever waits or is being sent."""
    look.deliveries = [a_delivery()]

    answer = client.get("/v1/deliveries").json

    assert [entry["id"] for entry in answer["deliveries"]] == [f"{MESSAGE_ID}.001"]
    assert answer["next"] is None
    assert look.asked == {"states": LIVE, "zone": None, "after": None, "limit": 101}


def test_list_is_of_the_zone_and_state_that_are_asked_for(client, look):
    """Checked values reach the store."""
    cursor = format_after(f"{MESSAGE_ID}.00a")

    client.get(f"/v1/deliveries?zone=bulk&state=in_doubt&limit=5&cursor={cursor}")

    assert look.asked == {
        "states": {DeliveryState.IN_DOUBT},
        "zone": "bulk",
        "after": f"{MESSAGE_ID}.00a",
        "limit": 6,
    }


def test_full_page_has_a_cursor_to_the_next(client, look, a_delivery):
    """It names the last entry that was shown."""
    look.deliveries = [a_delivery(number) for number in range(1, 5)]

    answer = client.get("/v1/deliveries?limit=3").json

    assert len(answer["deliveries"]) == 3
    assert answer["next"] == format_after(f"{MESSAGE_ID}.003")


def test_doubts_are_listed_with_their_time(client, look, a_doubted):
    """Also those whose end is known by now; the cursor holds time and id."""
    since = NOW + timedelta(minutes=1)
    look.doubted = [Doubt(a_doubted(number), since) for number in range(1, 4)]

    answer = client.get("/v1/in-doubt?limit=2").json

    first, second = answer["deliveries"]
    assert (first["state"], first["doubts"]) == ("deferred", 1)
    assert first["doubtedAt"] == "2026-11-22T10:01:00.123Z"
    assert answer["next"] == format_place(Place(since, second["id"]))


def test_next_page_of_doubts_begins_where_the_last_ended(client, look):
    """What was given is what the store is asked for."""
    place = Place(NOW, f"{MESSAGE_ID}.002")

    answer = client.get(f"/v1/in-doubt?cursor={format_place(place)}").json

    assert answer == {"deliveries": [], "next": None}
    assert look.asked == {"before": place, "limit": 101}


def test_page_is_never_longer_than_a_thousand(client, look):
    """Whatever is asked, one answer stays bounded."""
    client.get("/v1/in-doubt?limit=99999")

    assert look.asked["limit"] == 1001


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("deliveries?limit=0", "limit"),
        ("deliveries?limit=-1", "limit"),
        ("deliveries?state=delivered", "state"),
        ("deliveries?state=", "state"),
        ("deliveries?zone=a%00b", "zone"),
        ("deliveries?cursor=", "cursor"),
        ("deliveries?cursor=%00", "cursor"),
        ("in-doubt?limit=0", "limit"),
        ("in-doubt?limit=x", "limit"),
        ("in-doubt?cursor=x", "cursor"),
        (f"in-doubt?cursor={format_after(MESSAGE_ID + '.001')}", "cursor"),
    ],
)
def test_wrong_parameter_is_named(client, path, field):
    """No guessing what was meant; nor does one list take another's cursor."""
    answer = client.get(f"/v1/{path}")

    assert answer.status_code == 400
    assert answer.json["errors"][0]["pointer"] == field
