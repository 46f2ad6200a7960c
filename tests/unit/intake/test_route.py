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
def routed():
    """Route a message; each recipient with its zone."""
    config = Config(
        interfaces={"feeder": Interface(name="feeder", allow_routing_headers=True)},
        zones={name: Zone(name=name, **rest) for name, rest in ZONES.items()},
    )
    routing = Routing(config, Router(config))

    def routed(header="", *, reverse_path="ada@a.test", to=("bob@b.test",)):
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
        envelope = envelope.asking_for(prepared.requested_zone)
        return routing.route(to, envelope=envelope, prepared=prepared)

    return routed


@pytest.fixture
def zones_of(routed):
    """Route a message; the zone of each recipient."""
    return lambda *args, **facts: [found.zone for found in routed(*args, **facts)]


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


@pytest.mark.parametrize(
    ("header", "reverse_path", "rule"),
    [
        ("X-Sending-Zone: two\r\n", "ada@a.test", "requested zone two"),
        ("X-A: 1\r\n", "ada@a.test", "routing header x-a: 1"),
        ("", "ada@a.news.example", "sender domain *.news.example"),
        ("From: x@bücher.example\r\n", "", "from domain xn--bcher-kva.example"),
        ("", "ada@a.test", "default zone"),
    ],
)
def test_what_chose_the_zone_is_kept(routed, header, reverse_path, rule):
    """In the words in which it is explained."""
    [recipient] = routed(header, reverse_path=reverse_path)

    assert recipient.rule == rule


def test_the_rule_is_each_recipients_own(routed):
    """As the zone is."""
    to = ("a@xn--bcher-kva.test", "bob@b.test")

    rules = [recipient.rule for recipient in routed(to=to)]

    assert rules == ["recipient domain xn--bcher-kva.test", "default zone"]
