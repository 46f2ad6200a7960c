"""Asking why mail goes as it goes: of a stored message, or of a supposed one."""

import pytest

from mta.api.v1 import UNKNOWN_DELIVERY
from tests.unit.api.conftest import MESSAGE_ID
from tests.unit.operate.fakes import Rig

SUPPOSED = {"from": "ada@a.test", "to": "bob@b.test"}


def wrong_field(answer):
    """The place of the only mistake in a request that is refused."""
    assert answer.status_code == 400
    [error] = answer.json["errors"]
    return error.get("pointer") or error["parameter"]


@pytest.fixture
def ask(client):
    """Suppose a message."""
    return lambda **said: client.post("/v1/explain", json={**SUPPOSED, **said})


def test_a_message_is_explained_delivery_by_delivery(client, explain):
    """The first ones; more if they are asked for."""
    explain.found = [Rig().one()]

    answer = client.get(f"/v1/messages/{MESSAGE_ID}/explain")

    assert answer.status_code == 200
    assert answer.json["id"] == MESSAGE_ID
    assert [one["recipient"] for one in answer.json["deliveries"]] == ["bob@b.test"]
    assert explain.asked == [{"message_id": MESSAGE_ID, "limit": 20, "only": None}]


def test_one_delivery_is_asked_for_by_its_number(client, explain):
    """As everywhere else it is called seq."""
    explain.found = []

    client.get(f"/v1/messages/{MESSAGE_ID}/explain?seq=00a")

    assert explain.asked[0]["only"] == f"{MESSAGE_ID}.00a"


def test_a_delivery_that_is_not_there_is_unknown(client, explain):
    """The message is, and has no such recipient."""
    explain.found = []

    answer = client.get(f"/v1/messages/{MESSAGE_ID}/explain?seq=00a")

    assert (answer.status_code, answer.json["detail"]) == (404, UNKNOWN_DELIVERY)


@pytest.mark.parametrize(("asked", "limit"), [("5", 5), ("1000", 100)])
def test_a_hundred_are_explained_at_most(client, explain, asked, limit):
    """Each may need DNS, MongoDB and Redis."""
    explain.found = []

    client.get(f"/v1/messages/{MESSAGE_ID}/explain?limit={asked}")

    assert explain.asked[0]["limit"] == limit


@pytest.mark.parametrize(
    "message_id", [MESSAGE_ID, "%24where", "a.b", "a" * 65], ids=lambda text: text[:9]
)
def test_a_message_that_is_not_there_is_unknown(client, message_id):
    """However it was asked for."""
    answer = client.get(f"/v1/messages/{message_id}/explain")

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


def test_a_limit_that_is_no_number_is_refused(client, explain):
    """By its name in the query."""
    answer = client.get(f"/v1/messages/{MESSAGE_ID}/explain?limit=many")

    assert wrong_field(answer) == "limit"
    assert explain.asked == []


def test_a_message_is_supposed_with_all_that_decides(ask, explain):
    """As the doors would take it."""
    answer = ask(
        to=["bob@B.test", "bob@b.test", "eve@c.test"],
        headers={"From": "Ada <ada@shop.test>", "X-Class": "vip"},
        interface="feeder",
        origin="192.0.2.7",
        user="ada",
        zone="Default",
        tenant="acme",
    )

    assert answer.status_code == 200
    [letter] = explain.letters
    envelope = letter.envelope
    assert envelope.recipients == ("bob@b.test", "eve@c.test")
    assert (envelope.interface, envelope.origin) == ("feeder", "192.0.2.7")
    assert (envelope.user, envelope.requested_zone) == ("ada", "Default")
    assert letter.tenant == "acme"
    assert b"X-Class: vip\r\n" in letter.header


def test_what_would_become_of_it_is_answered_for_each_recipient(ask, explain):
    """There is no message, and so no id."""
    explain.found = [Rig().supposed()]

    answer = ask().json

    assert answer.keys() == {"deliveries"}
    assert [one["recipient"] for one in answer["deliveries"]] == ["bob@b.test"]


@pytest.mark.parametrize(
    ("said", "reverse_path"),
    [("", ""), ("<>", ""), ("<Ada@A.test>", "Ada@a.test")],
)
def test_the_reverse_path_is_written_as_in_smtp_or_without_brackets(
    ask, explain, said, reverse_path
):
    """The null path is one."""
    ask(**{"from": said})

    assert explain.letters[0].envelope.reverse_path == reverse_path


def test_what_is_null_is_not_said(ask, explain):
    """As for a message that is sent."""
    answer = ask(zone=None, origin=None, tenant=None)

    assert answer.status_code == 200
    assert explain.letters[-1].envelope.requested_zone is None


def test_a_reverse_path_is_needed(client):
    """To leave it out is not to say that it is null."""
    answer = client.post("/v1/explain", json={"to": "bob@b.test"})

    assert wrong_field(answer) == "/from"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        pytest.param({"subject": "x"}, "/subject", id="an unknown field"),
        pytest.param({"from": "ada"}, "/from", id="no address"),
        pytest.param({"from": None}, "/from", id="null for the null path"),
        pytest.param({"to": "b@b.test, c@c.test"}, "/to/0", id="two in one"),
        pytest.param({"from": 5}, "/from", id="a number for an address"),
        pytest.param({"to": None}, "/to", id="no recipient"),
        pytest.param({"to": []}, "/to", id="an empty list"),
        pytest.param({"to": ["b@b.test"] * 101}, "/to", id="too many recipients"),
        pytest.param({"to": ["b@b.test", "nobody"]}, "/to/1", id="the second is none"),
        pytest.param({"to": ["b@b.test", 7]}, "/to/1", id="the second is a number"),
        pytest.param({"headers": ["X-A: 1"]}, "/headers", id="a list of fields"),
        pytest.param(
            {"headers": {f"X-{n}": "" for n in range(101)}},
            "/headers",
            id="too many fields",
        ),
        pytest.param({"headers": {"X-A": 1}}, "/headers/X-A", id="a number in a field"),
        pytest.param(
            {"headers": {"X-A": "x" * 1001}}, "/headers/X-A", id="a long field"
        ),
        pytest.param({"headers": {"X A": "1"}}, "/headers", id="no name of a field"),
        pytest.param(
            {"headers": {"X-A": "1\r\nX-B: 2"}}, "/headers", id="two fields in one"
        ),
        pytest.param({"interface": "nope"}, "/interface", id="an unknown interface"),
        pytest.param({"origin": "client.test"}, "/origin", id="a name for an address"),
        pytest.param({"user": "a\nb"}, "/user", id="a line break"),
        pytest.param({"user": "x" * 1001}, "/user", id="a long name"),
        pytest.param({"zone": ["a"]}, "/zone", id="a list for a zone"),
        pytest.param({"tenant": "x" * 101}, "/tenant", id="a long tenant"),
    ],
)
def test_what_cannot_be_is_named(ask, explain, said, field):
    """By its place in the request; nothing is asked for it."""
    answer = ask(**said)

    assert wrong_field(answer) == field
    assert explain.letters == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"5"])
def test_a_body_that_is_no_object_is_refused(client, body):
    """As everywhere."""
    answer = client.post("/v1/explain", data=body, content_type="application/json")

    assert answer.status_code == 400


def test_a_zone_that_is_not_there_is_explained_and_not_refused(ask, explain):
    """To find out is what one asks for."""
    assert ask(zone="nope").status_code == 200
    assert explain.letters[0].envelope.requested_zone == "nope"
