"""Submission over HTTP."""

import json

import pytest

from mta.errors import Rejected, StoreUnavailable
from mta.reply import make_reply

RAW = b"From: ada@example.test\r\nTo: bob@example.test\r\n\r\nHi\r\n"
MESSAGE = {"Content-Type": "message/rfc822"}


def test_send_answers_in_the_words_of_zonemta(client, intake, a_mail):
    """Existing clients read id, from, to and response."""
    answer = client.post("/send", json=a_mail)

    assert answer.status_code == 200
    assert answer.json == {
        "id": intake.last.commit().id,
        "from": "ada@example.test",
        "to": ["bob@example.test"],
        "response": f"Message queued as {intake.last.commit().id}",
    }


def test_send_hands_over_a_whole_message(client, intake, a_mail):
    """Header, empty line and body arrive at intake as one stream."""
    client.post("/send", json=a_mail | {"subject": "Hello"})

    header, _, body = intake.last.content.partition(b"\r\n\r\n")
    assert b"Subject: Hello\r\n" in header + b"\r\n"
    assert body == b"Hi\r\n" or body == b"Hi"
    assert intake.last.is_committed


def test_send_hands_over_a_large_message_in_blocks(client, intake, a_mail):
    """No write is so large that the store would have to cut it."""
    client.post("/send", json=a_mail | {"text": "x" * 70 + "\n" * 300_000})

    assert max(map(len, intake.last.chunks)) <= 64 * 1024


def test_envelope_tells_where_the_mail_came_from(client, intake, a_mail):
    """Routing and logs rest on interface, protocol, origin and user."""
    headers = {"X-Originating-IP": "[192.0.2.7]", "X-Authenticated-User": "jörg"}

    client.post(
        "/send",
        json=a_mail,
        headers={
            key: value.encode().decode("latin-1") for key, value in headers.items()
        },
    )

    envelope = intake.last.envelope
    assert envelope.interface == "api"
    assert envelope.protocol == "HTTP"
    assert envelope.origin == "192.0.2.7"
    assert envelope.user == "jörg"
    assert not envelope.from_header


def test_zone_wish_stays_in_the_header(client, intake, a_mail):
    """X-Sending-Zone is read by intake, which knows who may wish."""
    client.post("/send", json=a_mail | {"headers": {"X-Sending-Zone": "bulk"}})

    assert b"X-Sending-Zone: bulk\r\n" in intake.last.content


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X-Originating-IP", "example.test", id="a name as origin"),
        pytest.param("X-Originating-IP", "fe80::1%eth0", id="an origin with a zone"),
        pytest.param("X-Authenticated-User", "a" * 300, id="a user without end"),
        pytest.param("X-Authenticated-User", "a\x7fb", id="a control in a user"),
    ],
)
def test_wrong_header_fields_are_named(client, intake, a_mail, name, value):
    """A fact that would go to logs and headers is checked first."""
    answer = client.post("/send", json=a_mail, headers={name: value})

    assert answer.status_code == 400
    assert answer.json["field"] == name
    assert intake.submissions == []


def test_wrong_field_of_the_mail_is_named(client, intake, a_mail):
    """The client is told which value to mend."""
    answer = client.post("/send", json=a_mail | {"subject": {"$gt": ""}})

    assert answer.status_code == 400
    assert answer.json["field"] == "/subject"
    assert intake.submissions == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
    ],
)
def test_nothing_is_fetched_for_an_attachment(client, intake, a_mail, url):
    """Nodemailer's path and href would read our files and our network."""
    answer = client.post("/send", json=a_mail | {"attachments": [{"path": url}]})

    assert answer.status_code == 400
    assert answer.json["field"].startswith("/attachments/0")


def test_too_many_recipients_are_refused(make_app, intake, a_mail):
    """The limit of the configuration is the composer's."""
    client = make_app(max_recipients=2).test_client()
    to = [f"r{number}@example.test" for number in range(3)]

    answer = client.post("/send", json=a_mail | {"to": to})

    assert answer.status_code in {400, 413}
    assert intake.submissions == []


def test_too_large_a_composed_message_is_refused(make_app, intake, a_mail):
    """max_size is about the message as stored, not about the JSON."""
    client = make_app(max_size=1000).test_client()

    answer = client.post("/send", json=a_mail | {"text": "x " * 600})

    assert answer.status_code == 413
    assert intake.submissions == []


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "", "text/json"]
)
def test_send_takes_json_only(client, a_mail, media_type):
    """A form on a web page can post these without asking; JSON it cannot."""
    answer = client.post("/send", data=json.dumps(a_mail), content_type=media_type)

    assert answer.status_code == 415


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
def test_send_takes_an_object_only(client, body):
    """Anything else describes no mail."""
    answer = client.post("/send", data=body, content_type="application/json")

    assert answer.status_code == 400


def test_compressed_body_is_refused(client, a_mail):
    """What is never inflated cannot be a bomb."""
    answer = client.post("/send", json=a_mail, headers={"Content-Encoding": "gzip"})

    assert answer.status_code == 415
    assert answer.json["field"] == "Content-Encoding"


@pytest.mark.parametrize(
    "media_type", ["message/rfc822", "application/octet-stream", None]
)
def test_send_raw_streams_the_message_as_it_came(client, intake, media_type):
    """Intake takes the envelope from the header section."""
    answer = client.post("/send-raw", data=RAW, content_type=media_type)

    assert answer.json["from"] == "ada@example.test"
    assert answer.json["to"] == ["bob@example.test"]
    assert intake.last.content == RAW
    assert intake.last.envelope.from_header
    assert intake.last.envelope.recipients == ()


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ],
)
def test_send_raw_refuses_other_types(client, media_type):
    """Three of these a page in a browser may post across sites."""
    answer = client.post("/send-raw", data=RAW, content_type=media_type)

    assert answer.status_code == 415


def test_announced_size_over_the_limit_is_refused_unread(make_app, intake):
    """Nobody has to upload a gigabyte to hear no."""
    client = make_app(max_size=10).test_client()

    answer = client.post("/send-raw", data=RAW, headers=MESSAGE)

    assert answer.status_code == 413
    assert answer.headers["Connection"] == "close"
    assert intake.submissions == []


def test_empty_message_is_refused(client, intake):
    """There is nothing to send, and no envelope to take from it."""
    answer = client.post("/send-raw", data=b"", headers=MESSAGE)

    assert answer.status_code == 400
    assert intake.submissions == []


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        pytest.param(make_reply(554, "5.6.0", "No"), 400, id="a bad message"),
        pytest.param(make_reply(552, "5.3.4", "No"), 413, id="a large message"),
        pytest.param(make_reply(550, "5.7.1", "No"), 403, id="policy"),
        pytest.param(make_reply(450, "4.7.1", "No"), 429, id="a rate"),
        pytest.param(make_reply(451, "4.3.0", "No"), 503, id="trouble of ours"),
        pytest.param(make_reply(550, None, "No"), 400, id="no status"),
    ],
)
def test_refusal_by_intake_becomes_an_http_status(client, intake, reply, status):
    """4yz may be tried again, 5yz not: HTTP's numbers say the same."""
    intake.write_error = Rejected(reply, detail="rule 7 of customer x", pointer="/to")

    answer = client.post("/send-raw", data=RAW, headers=MESSAGE)

    assert answer.status_code == status
    assert answer.json == {"error": "No", "field": "/to"}
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert intake.last.is_aborted


def test_store_that_is_away_is_503_and_tells_no_names(client, intake, a_mail):
    """The client tries again later; hosts and rules stay in our log."""
    intake.commit_error = StoreUnavailable("mongodb://secret@db.internal")

    answer = client.post("/send", json=a_mail)

    assert answer.status_code == 503
    assert b"secret" not in answer.data
    assert answer.headers["Retry-After"]


def test_failed_commit_is_not_aborted_by_the_door(client, intake, a_mail):
    """A commit without an answer may be done: its body must not be deleted."""
    intake.commit_error = StoreUnavailable("lost the answer")

    client.post("/send", json=a_mail)

    assert not intake.last.is_aborted


def test_surprise_is_500_without_a_trace_and_leaves_nothing(client, intake, a_mail):
    """What we did not foresee is in the log, not in the answer."""
    intake.write_error = RuntimeError("inner workings")

    answer = client.post("/send", json=a_mail)

    assert answer.status_code == 500
    assert answer.json["code"] == "InternalError"
    assert b"inner" not in answer.data
    assert intake.last.is_aborted
