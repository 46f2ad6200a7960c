"""What a request says of its message: zone, tenant, priority, and when."""

from datetime import UTC, datetime, timedelta

import pytest

RAW = b"From: ada@example.test\r\nTo: bob@example.test\r\n\r\nHi\r\n"
MESSAGE = {"Content-Type": "message/rfc822"}
NOW = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)


def test_send_hands_the_terms_to_intake(client, intake, a_mail):
    """They are facts of the submission, not fields of the message."""
    answer = client.post(
        "/send",
        json=a_mail
        | {
            "tenant": " acme ",
            "priority": "Transactional",
            "deliver_after": 3600,
            "expires_at": "2026-12-24T18:00:00.5+01:00",
        },
    )

    envelope = intake.last.envelope
    assert answer.status_code == 200
    assert (envelope.tenant, envelope.priority) == ("acme", "transactional")
    assert envelope.deliver_after == NOW + timedelta(hours=1)
    assert envelope.expires_at == datetime(2026, 12, 24, 17, 0, 0, 500_000, tzinfo=UTC)
    assert b"acme" not in intake.last.content


def test_send_raw_has_them_in_the_query(client, intake):
    """Its body is the message and nothing else."""
    client.post(
        "/send-raw?tenant=acme&priority=normal&deliver_after=60"
        "&expires_at=2026-12-24T18:00:00%2B01:00",
        data=RAW,
        headers=MESSAGE,
    )

    envelope = intake.last.envelope
    assert (envelope.tenant, envelope.priority) == ("acme", "normal")
    assert envelope.deliver_after == NOW + timedelta(minutes=1)
    assert envelope.expires_at == datetime(2026, 12, 24, 17, tzinfo=UTC)


def test_a_zone_may_be_asked_for(client, intake, a_mail):
    """By its name, in any case; it is no field of the message."""
    client.post("/send", json=a_mail | {"zone": " Bounces "})
    by_json = intake.last
    client.post("/send-raw?zone=BOUNCES", data=RAW, headers=MESSAGE)

    assert by_json.envelope.requested_zone == "bounces"
    assert b"ounces" not in by_json.content
    assert intake.last.envelope.requested_zone == "bounces"


def test_no_zone_is_asked_for_unless_somebody_does(client, intake, a_mail):
    """Then the rules choose."""
    client.post("/send", json=a_mail | {"zone": None})

    assert intake.last.envelope.requested_zone is None


@pytest.mark.parametrize("zone", ["nope", "", "default.", "x" * 5000])
def test_a_zone_that_is_not_there_is_refused(client, intake, a_mail, zone):
    """At the door: it would lie in the queue for ever."""
    by_json = client.post("/send", json=a_mail | {"zone": zone})
    by_query = client.post(
        "/send-raw", query_string={"zone": zone}, data=RAW, headers=MESSAGE
    )

    assert (by_json.status_code, by_json.json["field"]) == (400, "/zone")
    assert (by_query.status_code, by_query.json["field"]) == (400, "zone")
    assert intake.submissions == []


@pytest.mark.parametrize("value", [5, True, ["default"]])
def test_a_zone_in_json_is_text(client, a_mail, value):
    """A name that is quoted elsewhere would be another one."""
    answer = client.post("/send", json=a_mail | {"zone": value})

    assert (answer.status_code, answer.json["field"]) == (400, "/zone")


def test_a_plus_in_a_query_may_stand_as_it_is(client, intake):
    """There it means a blank, which no time has."""
    client.post(
        "/send-raw?expires_at=2026-12-24T18:00:00+01:00", data=RAW, headers=MESSAGE
    )

    assert intake.last.envelope.expires_at == datetime(2026, 12, 24, 17, tzinfo=UTC)


def test_nothing_said_is_nothing_decided(client, intake, a_mail):
    """Null is nothing, too."""
    nothing = dict.fromkeys(("tenant", "priority", "deliver_after", "expires_at"))

    client.post("/send", json=a_mail | nothing)

    envelope = intake.last.envelope
    assert (envelope.tenant, envelope.priority) == ("", None)
    assert (envelope.deliver_after, envelope.expires_at) == (None, None)


def test_they_may_stand_beside_a_raw_message(client, intake):
    """They are not about what is in it."""
    client.post("/send", json={"raw": RAW.decode(), "tenant": "acme"})

    assert intake.last.envelope.tenant == "acme"


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("high", (b"X-Priority: 1 (Highest)", b"Importance: High")),
        ("Low", (b"X-MSMail-Priority: Low", b"Importance: Low")),
    ],
)
def test_nodemailers_priorities_are_header_fields(client, intake, a_mail, word, fields):
    """For the recipient's eyes; they go nowhere first."""
    client.post("/send", json=a_mail | {"priority": word})

    header = intake.last.content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert all(field in header for field in fields)
    assert intake.last.envelope.priority is None


WRONG = [
    pytest.param("tenant", "", id="an empty tenant"),
    pytest.param("tenant", "a\nb", id="a line break"),
    pytest.param("tenant", "x" * 101, id="a long tenant"),
    pytest.param("priority", "urgent", id="an unknown priority"),
    pytest.param("deliver_after", "tomorrow", id="a word"),
    pytest.param("deliver_after", "2026-12-24", id="a day"),
    pytest.param("deliver_after", "2026-12-24T18:00:00", id="no offset"),
    pytest.param("deliver_after", "2026-13-24T18:00:00Z", id="no such month"),
    pytest.param("deliver_after", "-5", id="a time ago"),
    pytest.param("expires_at", "0001-01-01T00:00:00+23:00", id="before time"),
    pytest.param("expires_at", "٣", id="digits of other scripts"),
    pytest.param("expires_at", "9" * 15, id="after time"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_cannot_be_is_named_in_json(client, intake, a_mail, name, value):
    """By its place in the request."""
    answer = client.post("/send", json=a_mail | {name: value})

    assert answer.status_code == 400
    assert answer.json["field"] == f"/{name}"
    assert answer.json["error"].startswith(f"{name}: ")
    assert intake.submissions == []


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_cannot_be_is_named_in_a_query(client, intake, name, value):
    """By its name there, before the body is read."""
    answer = client.post(
        "/send-raw", query_string={name: value}, data=RAW, headers=MESSAGE
    )

    assert answer.status_code == 400
    assert answer.json["field"] == name
    assert intake.submissions == []


@pytest.mark.parametrize("value", [True, 1.5, -1, 10**30, [], {}])
def test_a_time_in_json_is_text_or_whole_seconds(client, a_mail, value):
    """Half a second is nobody's intention."""
    answer = client.post("/send", json=a_mail | {"deliver_after": value})

    assert answer.status_code == 400
    assert answer.json["field"] == "/deliver_after"


@pytest.mark.parametrize("value", [5, True, ["acme"]])
def test_a_tenant_in_json_is_text(client, a_mail, value):
    """A number that is quoted elsewhere would be another tenant."""
    answer = client.post("/send", json=a_mail | {"tenant": value})

    assert answer.json["field"] == "/tenant"


def test_a_header_priority_cannot_stand_beside_a_raw_message(client):
    """Its header section is complete."""
    answer = client.post("/send", json={"raw": RAW.decode(), "priority": "high"})

    assert answer.json["field"] == "/priority"
