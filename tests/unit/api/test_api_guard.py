"""Who may ask, and what every answer carries."""

import base64

import pytest

KEY = "k3y"


@pytest.fixture
def locked(make_app):
    """A client of an API with a key."""
    return make_app(environ={"MTA_API_KEY": KEY}).test_client()


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


ROUTES = [
    ("POST", "/send"),
    ("POST", "/send-raw"),
    ("GET", "/message/x"),
    ("GET", "/fetch/x"),
    ("GET", "/zones"),
    ("GET", "/counter/zone/"),
    ("GET", "/queued/queued/default"),
    ("GET", "/v1/messages/x"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/inbox"),
    ("GET", "/nothing"),
    ("OPTIONS", "/send"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "shown", [None, "Bearer wrong", "Bearer", "Basic !", _basic("wrong"), "k3y"]
)
def test_without_the_key_there_is_no_answer(locked, method, path, shown):
    """Unknown routes included: a stranger cannot even learn what there is."""
    headers = {"Authorization": shown} if shown else {}

    answer = locked.open(path, method=method, headers=headers)

    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize("shown", [f"Bearer {KEY}", f"bearer {KEY}", _basic(KEY)])
def test_with_the_key_there_is(locked, shown):
    """Basic is for browsers, with the key as password."""
    answer = locked.get("/zones", headers={"Authorization": shown})

    assert answer.status_code == 200


def test_liveness_is_open_to_all(locked):
    """Whoever watches the process has no key."""
    assert locked.get("/healthz").json == {"status": "ok"}


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://localhost:1"])
def test_pages_of_other_sites_cannot_post(client, intake, origin):
    """A browser needs no permission for a post without a content type."""
    answer = client.post("/send-raw", data=b"x", headers={"Origin": origin})

    assert answer.status_code == 403
    assert intake.submissions == []


def test_pages_of_our_own_may_post(client, a_mail):
    """Same host and port: same origin."""
    answer = client.post("/send", json=a_mail, headers={"Origin": "http://localhost"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:12080", 200),
        ("[::1]:12080", 200),
        ("localhost:12080", 200),
        ("MTA.test", 200),
        ("192.0.2.1", 200),
        ("rebound.evil.test:12080", 403),
    ],
)
def test_without_a_key_only_our_own_names_are_answered(client, host, status):
    """A name of a web page's owner may point to 127.0.0.1 (DNS rebinding)."""
    assert client.get("/zones", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("api", [{"host": "0.0.0.0"}, {"host": "192.0.2.1"}])
def test_on_other_addresses_any_name_is_answered(make_app, api):
    """Behind a proxy or in a container we cannot know our names."""
    client = make_app(**api).test_client()

    assert client.get("/zones", headers={"Host": "mta.example"}).status_code == 200


def test_unknown_route_is_json(client):
    """Programs read this."""
    answer = client.get("/nothing")

    assert answer.status_code == 404
    assert answer.json == {
        "code": "ResourceNotFound",
        "message": "There is no such route",
    }


def test_wrong_method_is_json_and_names_the_right_ones(client):
    """With Allow, as HTTP wants it."""
    answer = client.get("/send")

    assert answer.status_code == 405
    assert answer.json["code"] == "MethodNotAllowed"
    assert "POST" in answer.headers["Allow"]


def test_invented_method_is_refused_before_it_is_counted(client):
    """Else every invention would be one more label in the metrics."""
    answer = client.open("/zones", method="BREW")

    assert answer.status_code == 405
    assert answer.json["code"] == "MethodNotAllowed"
    assert "BREW" not in client.get("/metrics").text


def test_head_has_no_body(client):
    """And the headers of a GET."""
    answer = client.head("/zones")

    assert answer.status_code == 200
    assert answer.data == b""
    assert answer.mimetype == "application/json"


@pytest.mark.parametrize("path", ["/", "/zones", "/nothing", "/static/dashboard.css"])
def test_every_answer_carries_the_policy(client, path):
    """No scripts, no frames, no guessing of types, no caching."""
    with client.get(path) as answer:
        headers = answer.headers

    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_readiness_tells_what_is_missing(client, look):
    """503 keeps a balancer from sending mail here."""
    assert client.get("/readyz").status_code == 200

    look.checks = [("mongo", True, ""), ("broker", False, "does not answer")]
    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json["checks"][1] == {
        "name": "broker",
        "ok": False,
        "detail": "does not answer",
    }


def test_metrics_name_routes_and_not_paths(client):
    """A label per message would be a label per message."""
    client.get("/message/19ab3c5d7e0001")
    client.get("/nothing/at/all")

    text = client.get("/metrics").text

    assert "mta_http_request_duration_seconds" in text
    assert "/message/<message_id>" in text
    assert "19ab3c5d7e0001" not in text
    assert "/nothing" not in text
