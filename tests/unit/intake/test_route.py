"""From recipients to routed recipients."""

from datetime import UTC, datetime

import pytest

from mta.config.zones import Config, Interface, Zone
from mta.intake.route import Routing
from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection
from mta.mail.submit import prepare_header
from mta.policy.routing import Router

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = {
    "authors": {"from_domains": ("xn--bcher-kva.example",)},
    "senders": {"sender_domains": ("*.news.example",)},
    "books": {"recipient_domains": ("bücher.test", "*.bücher.test")},
    "one": {"routing_headers": {"x-a": "1"}},
    "two": {"routing_headers": {"x-b": "2"}},
    "default": {},
}


@pytest.fixture
def zones_of():
    """Route a message; the zone of each recipient."""
    config = Config(
        interfaces={"feeder": Interface(name="feeder", allow_routing_headers=True)},
        zones={name: Zone(name=name, **rest) for name, rest in ZONES.items()},
    )
    routing = Routing(config, Router(config))

    def zones_of(header="", *, reverse_path="ada@a.test", to=("bob@b.test",)):
        envelope = Envelope(
            reverse_path=reverse_path,
            recipients=to,
            interface="feeder",
            protocol="ESMTP",
            received_at=NOW,
            session_id="s",
        )
        section = HeaderSection.parse(header.encode())
        prepared = prepare_header(
            section, envelope=envelope, now=NOW, hostname="mta.test"
        )
        routed = routing.route(to, envelope=envelope, prepared=prepared)
        return [recipient.zone for recipient in routed]

    return zones_of


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("From: Ada <ada@Bücher.example>\r\n", id="Unicode"),
        pytest.param("From: ada@XN--BCHER-KVA.example, x@y.test\r\n", id="A-labels"),
        pytest.param("From: staff: ada@b\u00fccher.example;\r\n", id="in a group"),
    ],
)
def test_the_first_author_routes(zones_of, header):
    """Its domain, however it is written."""
    assert zones_of(header) == ["authors"]


@pytest.mark.parametrize(
    "header",
    ["", "From: nobody\r\n", "From: x@y.test, ada@xn--bcher-kva.example\r\n"],
)
def test_no_other_author_does(zones_of, header):
    """Nor does a field without an address."""
    assert zones_of(header) == ["default"]


def test_the_reverse_path_goes_before_the_author(zones_of):
    """It is who the mail is from on its way."""
    header = "From: ada@bücher.example\r\n"

    assert zones_of(header, reverse_path="x@a.news.example") == ["senders"]
    assert zones_of(header, reverse_path="") == ["authors"]


def test_each_recipient_has_its_own_zone(zones_of):
    """By its domain, in whatever form it came."""
    to = ("a@xn--bcher-kva.test", "ä@shop.bücher.test", "bob@b.test")

    assert zones_of(to=to) == ["books", "books", "default"]


def test_the_lowest_routing_header_wins_among_several_names(zones_of):
    """Also where one of the names is there twice."""
    assert zones_of("X-B: 2\r\nX-A: 1\r\nX-B: 3\r\n") == ["one"]
    assert zones_of("X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n") == ["two"]
