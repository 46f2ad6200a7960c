"""Who says what a limit allows."""

from datetime import UTC, datetime

import pytest

from mta.config.load import parse_config
from mta.policy.measures import MANUAL, Measure
from mta.policy.origins import BUILT_IN, origin_of, origin_of_measure

FILE = """\
pools:
  p:
    - {address: 192.0.2.1, max_connections: 3}
    - 192.0.2.2
zones:
  default: {pool: p}
  bulk: {connections: 10, throttling: 5/s, pool: p}
limits:
  all:
    max_connections: 9
    rate: 9/s
domains:
  default: {max_connections: 8}
  a.example: {max_connections: 2}
  bücher.example: {rate: 3/s}
providers:
  big:
    mx: ["*.big.test"]
    rate: 50/s
  google: {profile: google, rate: 7/s}
"""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def config():
    return parse_config("zones.yaml", FILE.encode(), {})


@pytest.fixture
def origin(config):
    """Ask for the origin of one limit of a session."""

    def origin(
        key, what="connections", *, domain="b.example", provider="", source="", zone=""
    ):
        pool = {str(entry.address): entry for entry in config.pools["p"]}
        return origin_of(
            config,
            key,
            what,
            zone=config.zones[zone or "bulk"],
            domain=domain,
            provider=config.providers.get(provider),
            source=pool.get(source),
        )

    return origin


@pytest.mark.parametrize(
    ("domain", "what", "place"),
    [
        pytest.param("a.example", "connections", "zones.yaml:14", id="says it itself"),
        pytest.param("xn--bcher-kva.example", "rate", "zones.yaml:15", id="an IDN"),
        pytest.param("b.example", "connections", "zones.yaml:13", id="as all others"),
        pytest.param(
            "xn--bcher-kva.example", "connections", "zones.yaml:13", id="says less"
        ),
        pytest.param("a.example", "rate", BUILT_IN, id="nobody says it"),
    ],
)
def test_a_domain_says_it_itself_or_the_default_does(origin, domain, what, place):
    """Each key by itself, as limits are put together."""
    assert origin(f"domain:bulk:{domain}", what, domain=domain) == place


def test_what_no_file_says_of_domains_is_built_in(config, origin):
    """Without a section there is a number all the same."""
    nothing = parse_config("zones.yaml", b"zones: {default: {}}", {})

    found = origin_of(
        nothing,
        "domain:default:b.example",
        "connections",
        zone=nothing.zones["default"],
        domain="b.example",
        provider=None,
        source=None,
    )

    assert found == BUILT_IN


@pytest.mark.parametrize(
    ("provider", "what", "expected"),
    [
        ("big", "rate", "zones.yaml:19"),
        ("google", "rate", "zones.yaml:20"),
        ("google", "connections", "profile google"),
        ("big", "connections", BUILT_IN),
    ],
    ids=["the file", "the file, before the profile", "the profile", "nobody"],
)
def test_a_provider_is_said_by_the_file_or_by_its_profile(
    origin, provider, what, expected
):
    """What the file says holds, where both speak."""
    assert origin(f"provider:bulk:{provider}", what, provider=provider) == expected


@pytest.mark.parametrize(
    ("address", "place"), [("192.0.2.1", "zones.yaml:3"), ("192.0.2.2", "zones.yaml:4")]
)
def test_an_address_is_said_where_its_pool_has_it(origin, address, place):
    """Its limits stand in the same entry."""
    assert origin(f"source:{address}", source=address) == place


@pytest.mark.parametrize(
    ("what", "place"), [("connections", "zones.yaml:10"), ("rate", "zones.yaml:11")]
)
def test_a_shared_limit_is_said_where_it_is_named(origin, what, place):
    """Not where others name it."""
    assert origin("shared:all", what) == place


@pytest.mark.parametrize(
    ("zone", "what", "place"),
    [
        ("bulk", "connections", "zones.yaml:7"),
        ("bulk", "rate", "zones.yaml:7"),
        ("default", "connections", BUILT_IN),
    ],
)
def test_a_zone_says_it_itself_or_nobody_does(origin, zone, what, place):
    """By its own words for the two: connections and throttling."""
    assert origin(f"zone:{zone}", what, zone=zone) == place


@pytest.mark.parametrize("key", ["provider:bulk:gone", "source:192.0.2.9", "odd:#00"])
def test_what_nobody_knows_any_more_is_built_in(origin, key):
    """A session may be older than the configuration."""
    assert origin(key) == BUILT_IN


@pytest.mark.parametrize(
    ("rule", "words"),
    [("big-is-busy", "by rule big-is-busy"), (MANUAL, "taken by hand")],
)
def test_a_measure_follows_from_a_rule_or_is_taken_by_hand(rule, words):
    """With its id, by which it is cleared."""
    measure = Measure(
        action="slow", site="big", since=NOW, until=NOW, cause="421", rule=rule
    )

    assert origin_of_measure(measure) == f"measure {measure.id}, {words}"
