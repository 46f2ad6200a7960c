import time
from ipaddress import ip_address, ip_network

import pytest

from mta.policy.routing import MatchedBy, Router, RoutingFacts, UnknownZone


@pytest.fixture
def router(a_config):
    """A router over one zone per rule."""
    return Router(
        a_config(
            asked={},
            header={"routing_headers": {"x-user-id": "123"}},
            sender={"sender_domains": ("news.example",)},
            recipient={"recipient_domains": ("gmail.test",)},
            site={"origin_addresses": (ip_network("192.0.2.0/24"),)},
            host={"origin_addresses": (ip_network("192.0.2.7/32"),)},
            off={"disabled": True, "recipient_domains": ("off.test",)},
            second={"recipient_domains": ("gmail.test",)},
        )
    )


EVERYTHING = {
    "requested_zone": "asked",
    "header": (("X-User-Id", "123"),),
    "sender_domain": "news.example",
    "origin": ip_address("192.0.2.1"),
    "may_choose": True,
}


@pytest.mark.parametrize(
    ("without", "domain", "zone", "matched_by"),
    [
        ((), "gmail.test", "asked", MatchedBy.REQUEST),
        (("requested_zone",), "gmail.test", "header", MatchedBy.ROUTING_HEADER),
        (("may_choose",), "gmail.test", "sender", MatchedBy.SENDER_DOMAIN),
        (
            ("may_choose", "sender_domain"),
            "gmail.test",
            "recipient",
            MatchedBy.RECIPIENT_DOMAIN,
        ),
        (("may_choose", "sender_domain"), "d.test", "site", MatchedBy.ORIGIN),
        (
            ("may_choose", "sender_domain", "origin"),
            "d.test",
            "default",
            MatchedBy.DEFAULT,
        ),
    ],
)
def test_first_rule_that_matches_wins(router, without, domain, zone, matched_by):
    """Request, header, sender, recipient, origin, default; in that order."""
    facts = {key: value for key, value in EVERYTHING.items() if key not in without}

    route = router.choose_zone(RoutingFacts(**facts), domain)

    assert (route.zone.name, route.matched_by) == (zone, matched_by)


@pytest.mark.parametrize("name", ["nowhere", "off", ""])
def test_zone_that_is_not_there_is_told(router, name):
    """An unknown zone is an error at acceptance, not a message that waits for ever."""
    facts = RoutingFacts(requested_zone=name, may_choose=True)

    assert router.choose_zone(facts, "d.test") == UnknownZone(name)


def test_requested_zone_is_ignored_where_it_is_not_allowed(router):
    """Not every client may choose how its mail leaves."""
    facts = RoutingFacts(requested_zone="nowhere")

    assert router.choose_zone(facts, "d.test").zone.name == "default"


def test_requested_zone_is_found_in_any_case(router):
    """Header values come as people type them."""
    facts = RoutingFacts(requested_zone=" Asked ", may_choose=True)

    assert router.choose_zone(facts, "d.test").zone.name == "asked"


def test_lowest_routing_header_wins(a_config):
    """Fields are looked at from the bottom up."""
    router = Router(
        a_config(
            one={"routing_headers": {"x-class": "one"}},
            two={"routing_headers": {"x-class": "two"}},
        )
    )
    header = (("X-Class", " TWO "), ("x-class", "one"), ("X-Class", "three"))
    facts = RoutingFacts(header=header, may_choose=True)

    assert router.choose_zone(facts, "d.test").zone.name == "one"
    assert router.header_names == {"x-class"}


def test_first_zone_keeps_what_two_claim(router):
    """Order in zones.yaml decides."""
    assert router.choose_zone(RoutingFacts(), "gmail.test").zone.name == "recipient"


def test_disabled_zone_claims_nothing(router):
    """Its domains go the way of all others."""
    assert router.choose_zone(RoutingFacts(), "off.test").zone.name == "default"


@pytest.mark.parametrize(
    ("origin", "zone"),
    [
        ("192.0.2.7", "host"),
        ("192.0.2.8", "site"),
        ("::ffff:192.0.2.7", "host"),
        ("198.51.100.1", "default"),
        ("2001:db8::1", "default"),
    ],
)
def test_narrowest_network_of_the_origin_wins(router, origin, zone):
    """A single host can be taken out of its network."""
    facts = RoutingFacts(origin=ip_address(origin))

    assert router.choose_zone(facts, "d.test").zone.name == zone


def test_ten_thousand_recipients_are_routed_at_once(router):
    """Routing does not make a large message slow."""
    message = router.for_message(RoutingFacts(origin=ip_address("192.0.2.8")))
    domains = [f"d{n}.test" for n in range(10_000)]
    started = time.perf_counter()

    names = {message.choose_zone(domain).zone.name for domain in domains}

    assert names == {"site"}
    assert time.perf_counter() - started < 0.05
