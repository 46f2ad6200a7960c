"""When there is no room for more mail: later, before anything of it is read."""

import io

import pytest

from mta.reply import make_reply

REFUSAL = make_reply(452, "4.3.1", "Too much mail is waiting, try later")
KEY = "k3y"


class FakePressure:
    """Says what it is told to."""

    def __init__(self):
        self.reply = None
        self.checks = [("queue", True, "3 of 5"), ("memory", True, "")]

    def refusal(self):
        return self.reply

    def readiness(self):
        return self.checks


class Unread(io.BytesIO):
    """A body that nobody may read."""

    def read(self, size=-1):
        raise AssertionError("it was read")

    readline = readlines = readinto = read1 = read


@pytest.fixture
def pressure():
    return FakePressure()


@pytest.fixture
def app(make_app, pressure):
    return make_app(pressure=pressure)


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/send", "application/json"), ("/send-raw", "message/rfc822")],
)
def test_under_pressure_mail_has_to_come_later(
    client, intake, pressure, path, media_type
):
    """503 and when to come back, before a byte of the body."""
    pressure.reply = REFUSAL

    answer = client.post(
        path, input_stream=Unread(b"x" * 1000), content_type=media_type
    )

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "60"
    assert answer.json == {"error": "Too much mail is waiting, try later"}
    assert intake.submissions == []


def test_when_the_pressure_is_gone_mail_comes_in(client, intake, pressure, a_mail):
    """It is asked about each message anew."""
    pressure.reply = REFUSAL
    before = client.post("/send", json=a_mail)
    pressure.reply = None
    after = client.post("/send", json=a_mail)

    assert (before.status_code, after.status_code) == (503, 200)
    assert intake.last.is_committed


def test_strangers_are_not_told_that_we_are_busy(make_app, pressure):
    """Who may not send hears that first."""
    pressure.reply = REFUSAL
    locked = make_app(pressure=pressure, environ={"MTA_API_KEY": KEY}).test_client()

    assert locked.post("/send", json={}).status_code == 401


@pytest.mark.parametrize("path", ["/zones", "/healthz", "/"])
def test_looking_at_the_queue_is_always_possible(client, pressure, path):
    """Most of all when there is too much of it."""
    pressure.reply = REFUSAL

    assert client.get(path).status_code == 200


def test_readiness_tells_that_there_is_no_room(client, pressure):
    """A balancer sends mail elsewhere, and the operator sees why."""
    before = client.get("/readyz")
    pressure.checks[0] = ("queue", False, "6 deliveries wait; 5 are allowed")
    after = client.get("/readyz")

    assert (before.status_code, after.status_code) == (200, 503)
    assert after.json["status"] == "not ready"
    assert [check["name"] for check in after.json["checks"] if not check["ok"]] == [
        "queue"
    ]
    assert after.json["checks"][2]["detail"] == "6 deliveries wait; 5 are allowed"


def test_who_asks_whether_the_process_is_up_may_leave_checks_out(client, pressure):
    """A supervisor that waits for it must not wait until the queue is shorter."""
    pressure.checks = [("queue", False, ""), ("memory", False, "")]

    without_one = client.get("/readyz?exclude=queue")
    without_both = client.get("/readyz?exclude=queue&exclude=memory")

    assert (without_one.status_code, without_both.status_code) == (503, 200)
    assert [check["name"] for check in without_both.json["checks"]] == [
        "mongo",
        "broker",
    ]
