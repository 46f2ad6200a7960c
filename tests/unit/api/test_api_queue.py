"""The queue as ZoneMTA's clients read it."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.delivery import DeliveryState, Outcome
from mta.errors import StoreUnavailable
from mta.reply import make_reply

NOW = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)
MESSAGE_ID = "19ab3c5d7e0001c0de"


def test_zones_are_objects_with_a_name(client):
    """ZoneMTA's shape."""
    assert client.get("/zones").json == [{"name": "bounces"}, {"name": "default"}]


@pytest.mark.parametrize("word", ["true", "yes", "1", "Y"])
def test_disabled_zones_are_listed_on_request(client, word):
    """ZoneMTA takes any word for yes."""
    answer = client.get(f"/zones?includeDisabled={word}")

    assert {"name": "old"} in answer.json


def test_counter_counts_per_zone(client, look):
    """Entries are zones and rows is their sum, as in ZoneMTA."""
    look.counts = {
        "default": ([("a.test", 2), ("b.test", 1)], [("a.test", 5)]),
        "bounces": ([], [("c.test", 1)]),
    }

    answer = client.get("/counter/zone/").json

    assert answer == {
        "zone": "all",
        "active": {
            "entries": [
                {"key": "bounces", "value": 0},
                {"key": "default", "value": 3},
            ],
            "rows": 3,
        },
        "deferred": {
            "entries": [
                {"key": "bounces", "value": 1},
                {"key": "default", "value": 5},
            ],
            "rows": 6,
        },
    }


def test_counter_of_one_zone_names_it_alone(client, look):
    """A zone that nobody configured has no mail."""
    look.counts = {"default": ([("a.test", 2)], [])}

    assert client.get("/counter/zone/default").json["active"]["rows"] == 2
    assert client.get("/counter/zone/unknown").json["active"] == {
        "entries": [{"key": "unknown", "value": 0}],
        "rows": 0,
    }


def test_counter_by_domain_sums_over_zones(client, look):
    """Most first: where is the mail going?"""
    look.counts = {
        "default": ([("a.test", 2), ("b.test", 1)], []),
        "bounces": ([("b.test", 3)], []),
    }

    answer = client.get("/counter/domain").json

    assert answer["active"]["entries"] == [
        {"key": "b.test", "value": 4},
        {"key": "a.test", "value": 2},
    ]


def test_queued_lists_recipients(client, look, a_delivery):
    """ZoneMTA's fields; dates as JavaScript writes them."""
    look.deliveries = [
        a_delivery(
            state=DeliveryState.DEFERRED,
            attempts=2,
            due_at=NOW + timedelta(minutes=5),
        )
    ]

    answer = client.get("/queued/deferred/default").json

    assert answer == {
        "zone": "default",
        "type": "deferred",
        "list": [
            {
                "id": MESSAGE_ID,
                "zone": "default",
                "recipient": "bob@example.test",
                "created": "2026-11-22T10:00:00.123Z",
                "queued": "2026-11-22T10:05:00.123Z",
                "deferred": 2,
            }
        ],
    }


def test_any_other_type_means_queued(client, look):
    """As in ZoneMTA, where active, queued and typos are one."""
    answer = client.get("/queued/active/default").json

    assert answer["type"] == "queued"
    assert look.asked["deferred"] is False


def test_page_is_as_asked(client, look):
    """Sorting and paging reach the store as checked values."""
    client.get("/queued/queued/default?sort=created&order=asc&start=10&pageSize=5")

    assert look.asked == {
        "zone": "default",
        "deferred": False,
        "sort": "created",
        "descending": False,
        "start": 10,
        "limit": 5,
    }


def test_page_is_never_longer_than_a_thousand(client, look):
    """Whatever is asked, one answer stays bounded."""
    client.get("/queued/queued/default?pageSize=99999999")

    assert look.asked["limit"] == 1000


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("pageSize=-1", "pageSize"),
        ("start=-1", "start"),
        ("start=1e3", "start"),
        ("start=", "start"),
        ("start=%D9%A1", "start"),
        ("start=" + "9" * 5000, "start"),
        ("sort=password", "sort"),
        ("sort[$ne]=x&sort=$where", "sort"),
        ("order=sideways", "order"),
    ],
)
def test_wrong_parameter_is_named(client, query, field):
    """No guessing what was meant."""
    answer = client.get(f"/queued/queued/default?{query}")

    assert answer.status_code == 400
    assert answer.json["field"] == field


@pytest.mark.parametrize("zone", ["z" * 300, "a%0Ab", "a%00b"])
def test_what_names_no_zone_is_refused(client, zone):
    """Control characters and novels go nowhere near a query."""
    assert client.get(f"/queued/queued/{zone}").status_code == 400


def test_message_shows_envelope_and_recipients(client, look, a_message, a_delivery):
    """meta and messages, as in ZoneMTA."""
    look.messages = {MESSAGE_ID: a_message()}
    look.deliveries = [a_delivery()]

    answer = client.get(f"/message/{MESSAGE_ID}").json

    meta = answer["meta"]
    assert meta["from"] == "ada@example.test"
    assert meta["to"] == ["bob@example.test"]
    assert meta["time"] == 1795341600123
    assert meta["parsedEnvelope"] == {
        "from": "ada@example.test",
        "to": ["bob@example.test", "carl@example.test"],
        "cc": False,
        "bcc": False,
        "replyTo": False,
        "sender": False,
    }
    assert meta["headers"][1] == {
        "key": "to",
        "line": "To: bob@example.test,\r\n Carl <carl@example.test>",
    }
    assert meta["dkim"] == {"hashAlgo": "sha256", "bodyHash": "aGFzaA=="}
    assert answer["messages"] == [
        {
            "id": MESSAGE_ID,
            "seq": "001",
            "zone": "default",
            "recipient": "bob@example.test",
            "status": "QUEUED",
        }
    ]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (DeliveryState.QUEUED, "QUEUED"),
        (DeliveryState.SENDING, "QUEUED"),
        (DeliveryState.DEFERRED, "DEFERRED"),
        (DeliveryState.IN_DOUBT, "DEFERRED"),
        (DeliveryState.HELD, "DEFERRED"),
        (DeliveryState.DELIVERED, "DELIVERED"),
        (DeliveryState.BOUNCED, "BOUNCED"),
        (DeliveryState.EXPIRED, "EXPIRED"),
        (DeliveryState.CANCELLED, "CANCELLED"),
    ],
)
def test_every_state_has_a_status(client, look, a_message, a_delivery, state, status):
    """Finished recipients are listed, too: ZoneMTA forgets them."""
    look.messages = {MESSAGE_ID: a_message()}
    look.deliveries = [a_delivery(state=state)]

    (entry,) = client.get(f"/message/{MESSAGE_ID}").json["messages"]

    assert entry["status"] == status


def test_claimed_delivery_has_a_lock(client, look, a_message, a_delivery):
    """Who holds it, and until when."""
    look.messages = {MESSAGE_ID: a_message()}
    look.deliveries = [
        a_delivery(state=DeliveryState.SENDING, owner="host/7", lease_until=NOW)
    ]

    (entry,) = client.get(f"/message/{MESSAGE_ID}").json["messages"]

    assert entry["lock"]["lockOwner"] == "host/7"
    assert entry["lock"]["expires"] == 1795341600123


def test_deferred_delivery_tells_why_and_until_when(
    client, look, a_message, a_delivery
):
    """First, last, next, count, the reply, and the log so far."""
    outcomes = [
        Outcome(
            at=NOW + timedelta(minutes=number),
            state=DeliveryState.DEFERRED,
            reply=make_reply(451, "4.7.1", "Later"),
            host="mx.example.test",
        )
        for number in range(2)
    ]
    look.messages = {MESSAGE_ID: a_message()}
    look.deliveries = [
        a_delivery(
            state=DeliveryState.DEFERRED,
            attempts=2,
            due_at=NOW + timedelta(minutes=10),
            log=tuple(outcomes),
        )
    ]

    (entry,) = client.get(f"/message/{MESSAGE_ID}").json["messages"]

    deferred = entry["deferred"]
    assert deferred["count"] == 2
    assert deferred["first"] == 1795341600123
    assert deferred["last"] == 1795341600123 + 60_000
    assert deferred["next"] == 1795341600123 + 600_000
    assert deferred["response"] == "451 4.7.1 Later"
    assert [line["host"] for line in deferred["log"]] == ["mx.example.test"] * 2


@pytest.mark.parametrize("route", ["message", "fetch", "v1/messages"])
@pytest.mark.parametrize(
    "message_id",
    [
        "unknown",
        "..%5c..%5cetc",
        "%00",
        "a" * 10_000,
        "%24where",
        "507f1f77bcf86cd799439011x",
    ],
)
def test_strange_ids_are_unknown_ids(client, route, message_id):
    """One answer for all that is not there, however it was asked."""
    answer = client.get(f"/{route}/{message_id}")

    assert answer.status_code == 404
    assert "Selected message does not exist" in answer.text


def test_fetch_gives_header_and_body(client, look):
    """As stored: no Received, no signature."""
    look.contents = {MESSAGE_ID: [b"Subject: x\r\n\r\n", b"Hi", b"\r\n"]}

    answer = client.get(f"/fetch/{MESSAGE_ID}")

    assert answer.data == b"Subject: x\r\n\r\nHi\r\n"
    assert answer.mimetype == "message/rfc822"
    assert client.get(f"/fetch/{MESSAGE_ID}?body=yes").data == b"Hi\r\n"


def test_store_away_at_the_first_chunk_is_503(client, look):
    """A cut answer would look like a short message."""

    def broken():
        raise StoreUnavailable("away")
        yield b""

    look.open_content = lambda message_id, body_only: broken()

    assert client.get(f"/fetch/{MESSAGE_ID}").status_code == 503


def test_v1_shows_the_timeline(client, look, a_message, a_delivery):
    """Every attempt with its reply: you can always ask why."""
    outcome = Outcome(
        at=NOW,
        state=DeliveryState.DELIVERED,
        reply=make_reply(250, "2.0.0", "ok"),
        attempt=1,
        tls="TLSv1.3",
    )
    look.messages = {MESSAGE_ID: a_message()}
    look.deliveries = [a_delivery(state=DeliveryState.DELIVERED, log=(outcome,))]

    answer = client.get(f"/v1/messages/{MESSAGE_ID}").json

    (delivery,) = answer["deliveries"]
    assert delivery["state"] == "delivered"
    assert delivery["dueAt"] is None
    (line,) = delivery["timeline"]
    assert line["at"] == "2026-11-22T10:00:00.123Z"
    assert (line["code"], line["tls"]) == (250, "TLSv1.3")


def test_v1_answers_problems(client):
    """RFC 9457, with a pointer where a value is wrong."""
    answer = client.get(f"/v1/messages/{MESSAGE_ID}?limit=x")

    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert answer.json["errors"][0]["pointer"] == "limit"
    assert client.get("/v1/nothing").mimetype == "application/problem+json"
