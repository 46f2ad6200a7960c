import itertools
from ipaddress import ip_address, ip_network

import pytest

from mta.config.load import load_config
from mta.config.zones import QueueConfig
from mta.policy.routing import (
    MatchedBy,
    Router,
    RoutingFacts,
    UnknownZone,
)

# In order: what has to be so for a rule to match, and the rule's name. Each one's
# zone is called as its key.
RULES = {
    "request": ({"requested_zone": "request"}, MatchedBy.REQUEST),
    "header": ({"header": (("X-User-Id", "123"),)}, MatchedBy.ROUTING_HEADER),
    "sender": ({"sender_domain": "news.example"}, MatchedBy.SENDER_DOMAIN),
    "author": ({"from_domain": "shop.example"}, MatchedBy.FROM_DOMAIN),
    "recipient": ({"recipient_domain": "gmail.test"}, MatchedBy.RECIPIENT_DOMAIN),
    "site": ({"origin": ip_address("192.0.2.1")}, MatchedBy.ORIGIN),
    "default": ({}, MatchedBy.DEFAULT),
}


@pytest.fixture
def router(a_config):
    """A router over one zone per rule."""
    return Router(
        a_config(
            request={},
            header={"routing_headers": {"x-user-id": "123"}},
            sender={"sender_domains": ("news.example",)},
            author={"from_domains": ("shop.example",)},
            recipient={"recipient_domains": ("gmail.test",)},
            site={"origin_addresses": (ip_network("192.0.2.0/24"),)},
            host={"origin_addresses": (ip_network("192.0.2.7/32"),)},
            off={"disabled": True, "recipient_domains": ("off.test",)},
            second={"recipient_domains": ("gmail.test",)},
        )
    )


def facts_for(*rules):
    """What a message and its recipient are like for which all these rules match."""
    said = {"may_choose": True, "recipient_domain": "d.test"}
    for rule in rules:
        said |= RULES[rule][0]
    recipient_domain = said.pop("recipient_domain")
    return RoutingFacts(**said), recipient_domain


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_alone_chooses_its_zone(router, rule):
    """And says that it was the one."""
    route = router.choose_zone(*facts_for(rule))

    assert (route.zone.name, route.matched_by) == (rule, RULES[rule][1])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, id=" before ".join(pair))
        for pair in itertools.combinations(RULES, 2)
    ],
)
def test_of_two_rules_the_first_one_wins(router, first, second):
    """Request, header, sender, author, recipient, origin, default."""
    facts, domain = facts_for(first, second)

    explanation = router.explain(facts, domain)

    assert router.choose_zone(facts, domain).zone.name == first
    assert explanation.result.zone.name == first
    assert second in [route.zone.name for route in explanation.lost]


def test_all_rules_that_lost_are_told_in_their_order(router):
    """The next best zone is the first one of them."""
    explanation = router.explain(*facts_for(*RULES))

    zones = [route.zone.name for route in explanation.lost]
    assert [explanation.result.zone.name, *zones] == list(RULES)
    assert explanation.ignored == ()


@pytest.mark.parametrize("rule", RULES)
def test_a_message_decides_for_each_recipient_as_for_one_alone(router, rule):
    """What depends on the message is found once, by the same rules."""
    facts, domain = facts_for(rule)

    assert router.for_message(facts).choose_zone(domain) == router.choose_zone(
        facts, domain
    )


def test_one_message_can_use_several_zones(router):
    """Its recipients are routed one by one."""
    message = router.for_message(RoutingFacts())

    zones = [message.choose_zone(d).zone.name for d in ("gmail.test", "d.test")]

    assert zones == ["recipient", "default"]


@pytest.mark.parametrize("name", ["nowhere", "off", ""])
def test_zone_that_is_not_there_is_told(router, name):
    """An unknown zone is an error at acceptance, not a message that waits for ever."""
    facts = RoutingFacts(requested_zone=name, may_choose=True)

    assert router.choose_zone(facts, "d.test") == UnknownZone(name)
    assert router.for_message(facts) == UnknownZone(name)
    assert router.explain(facts, "d.test").result == UnknownZone(name)


def test_requested_zone_is_ignored_where_it_is_not_allowed(router):
    """Not every client may choose how its mail leaves; the explanation says so."""
    facts = RoutingFacts(requested_zone="nowhere", header=(("X-User-Id", "123"),))

    explanation = router.explain(facts, "d.test")

    assert router.choose_zone(facts, "d.test").zone.name == "default"
    assert list(map(str, explanation.ignored)) == [
        "requested zone nowhere -> there is no such zone",
        "routing header x-user-id: 123 -> header",
    ]


def test_requested_zone_is_found_in_any_case(router):
    """Header values come as people type them."""
    facts = RoutingFacts(requested_zone=" Request ", may_choose=True)

    assert router.choose_zone(facts, "d.test").zone.name == "request"


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

    lost = router.explain(facts, "d.test").lost

    assert router.choose_zone(facts, "d.test").zone.name == "one"
    assert [route.zone.name for route in lost] == ["two", "default"]
    assert router.header_names == {"x-class"}


def test_what_no_zone_claims_goes_to_the_one_that_the_queue_names(a_config):
    """Whatever it is called."""
    config = a_config(rest={}, books={"recipient_domains": ("b.test",)})
    queue = QueueConfig(default_zone="rest")
    router = Router(config.model_copy(update={"queue": queue}))

    zones = [
        router.choose_zone(RoutingFacts(), domain).zone.name
        for domain in ("b.test", "d.test")
    ]

    assert zones == ["books", "rest"]


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


@pytest.mark.parametrize(
    ("key", "fact"),
    [
        ("sender_domains", "sender_domain"),
        ("from_domains", "from_domain"),
        ("recipient_domains", None),
    ],
)
@pytest.mark.parametrize(
    ("domain", "zones"),
    [
        pytest.param("a.example", ["whole", "default"], id="a whole name"),
        pytest.param("x.a.example", ["wide", "default"], id="one label below"),
        pytest.param("y.x.a.example", ["wide", "default"], id="two labels below"),
        pytest.param("b.a.example", ["both", "wide", "default"], id="named as well"),
        pytest.param("x.b.a.example", ["narrow", "wide", "default"], id="longer"),
        pytest.param("xa.example", ["default"], id="the end of another name"),
        pytest.param("example", ["default"], id="above"),
        pytest.param("", ["default"], id="no domain"),
        pytest.param("[192.0.2.1]", ["default"], id="a literal"),
        pytest.param("x..a.example", ["wide", "default"], id="nonsense"),
    ],
)
def test_a_whole_name_goes_before_a_longer_pattern_before_a_shorter_one(
    a_config, key, fact, domain, zones
):
    """A pattern is about the names below it alone."""
    router = Router(
        a_config(
            wide={key: ("*.a.example",)},
            narrow={key: ("*.b.a.example",)},
            whole={key: ("a.example",)},
            both={key: ("b.a.example",)},
        )
    )
    facts = RoutingFacts(**{fact: domain} if fact else {})

    explanation = router.explain(facts, "d.test" if fact else domain)

    assert [explanation.result.zone.name] == zones[:1]
    assert [route.zone.name for route in explanation.lost] == zones[1:]


@pytest.mark.parametrize("said", ["*.bücher.example", "*.XN--BCHER-KVA.example"])
def test_international_names_may_be_written_either_way(a_config, said):
    """In the file; what is compared are A-labels."""
    router = Router(a_config(books={"recipient_domains": (said,)}))

    route = router.choose_zone(RoutingFacts(), "shop.xn--bcher-kva.example")

    assert (route.zone.name, route.pattern) == ("books", "*.xn--bcher-kva.example")


def test_a_route_says_what_matched_and_where_the_file_says_so(tmp_path, monkeypatch):
    """Whoever asks why finds the line to change."""
    monkeypatch.chdir(tmp_path)
    path = (tmp_path / "zones.yaml").relative_to(tmp_path)
    path.write_text(
        "zones:\n"
        "  default:\n"
        "  bulk:\n"
        "    routing_headers: {X-Other: a,\n"
        "      X-Class: Bulk}\n"
        "    recipient_domains:\n"
        "      - b.example\n"
        "      - '*.Example.com'\n"
        "    origin_addresses: [192.0.2.1]\n"
    )
    router = Router(load_config(path, {}))
    facts = RoutingFacts(
        requested_zone="Bulk",
        header=(("X-CLASS", "bulk"),),
        origin=ip_address("192.0.2.1"),
        may_choose=True,
    )

    explanation = router.explain(facts, "a.example.com")

    assert list(map(str, (explanation.result, *explanation.lost))) == [
        "requested zone bulk -> bulk",
        "routing header x-class: Bulk -> bulk, zones.yaml:5",
        "recipient domain *.example.com -> bulk, zones.yaml:8",
        "origin address 192.0.2.1/32 -> bulk, zones.yaml:9",
        "default zone -> default",
    ]


def test_ten_thousand_recipients_look_at_the_message_once(router):
    """Routing does not make a large message slow."""

    class Header(list):
        looks = 0

        def __reversed__(self):
            self.looks += 1
            return super().__reversed__()

    header = Header([("X-Other", "1")])
    message = router.for_message(RoutingFacts(header=header, may_choose=True))

    names = {message.choose_zone(f"d{n}.test").zone.name for n in range(10_000)}

    assert names == {"default"}
    assert header.looks == 1
