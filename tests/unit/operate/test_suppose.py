"""A message that does not exist, made as real mail is made."""

import pytest

from mta.config.load import parse_config
from mta.errors import Rejected
from mta.intake.route import Routing
from mta.mail.header import HeaderSection
from mta.operate.suppose import Supposed, to_letter
from mta.policy.routing import Router
from tests.unit.operate.fakes import NOW, TEXT

CONFIG = parse_config("zones.yaml", TEXT.encode(), {})


def letter_of(**changes):
    facts = {"reverse_path": "ada@a.test", "recipients": ("bob@b.test",)}
    supposed = Supposed(**{**facts, **changes})
    return to_letter(supposed, CONFIG, now=NOW, hostname="mta.test")


def facts_of(letter):
    section = HeaderSection.parse(letter.header)
    return Routing(CONFIG, Router(CONFIG)).facts(letter.envelope, section)


def test_it_routes_by_what_is_said_of_it():
    """Reverse path, author, client and zone."""
    letter = letter_of(
        fields=[("From", "Ada <ada@shop.test>")], origin="192.0.2.7", zone="News"
    )

    facts = facts_of(letter)

    assert (facts.sender_domain, facts.from_domain) == ("a.test", "shop.test")
    assert (str(facts.origin), facts.requested_zone) == ("192.0.2.7", "News")
    assert facts.may_choose


@pytest.mark.parametrize(
    ("reverse_path", "author"), [("ada@a.test", "a.test"), ("", "")]
)
def test_its_author_is_the_reverse_path_unless_another_is_named(reverse_path, author):
    """As mail programs have it; the null path is nobody's."""
    assert facts_of(letter_of(reverse_path=reverse_path)).from_domain == author


def test_an_author_is_named_in_any_case():
    """Names of fields are."""
    letter = letter_of(fields=[("FROM", "ada@shop.test")])

    assert facts_of(letter).from_domain == "shop.test"


def test_what_its_header_section_asks_for_is_asked_for():
    """And is gone from there, as in what is stored."""
    letter = letter_of(fields=[("X-Sending-Zone", "news"), ("X-Tenant", "acme")])

    assert (letter.envelope.requested_zone, letter.tenant) == ("news", "acme")
    assert b"X-Sending-Zone" not in letter.header


def test_what_the_door_says_goes_before_the_header_section():
    """As at the doors."""
    letter = letter_of(
        zone="far",
        tenant="shop",
        fields=[("X-Sending-Zone", "news"), ("X-Tenant", "acme")],
    )

    assert (letter.envelope.requested_zone, letter.tenant) == ("far", "shop")


def test_an_interface_that_may_not_choose_has_the_tenant_it_gives():
    """Whatever the header section says."""
    letter = letter_of(interface="inside", fields=[("X-Tenant", "acme")])

    assert letter.tenant == "inside"


@pytest.mark.parametrize(
    "field",
    [
        ("Sub ject", "x"),
        ("", "x"),
        ("Subject", "x\r\nBcc: eve@e.test"),
        ("Sübject", "x"),
    ],
    ids=["a blank", "no name", "a line break", "not ASCII"],
)
def test_a_field_that_cannot_be_is_refused(field):
    """It would be another header section than was said."""
    with pytest.raises(Rejected) as raised:
        letter_of(fields=[field])

    assert raised.value.pointer == "/headers"
