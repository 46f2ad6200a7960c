"""Limits for domains, providers, addresses and tenants, and pauses by category."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from mta.config.schedule import CATEGORIES
from mta.config.values import Rate
from mta.config.zones import Config, DomainLimits, Provider, QueueConfig, Zone
from mta.policy.classify import classify_reply

ZONES = "zones: {default: {pool: p}, bounces: }\n"
MINUTE = timedelta(minutes=1)


def test_every_kind_of_limit_is_read(load):
    """With rates, patterns and names in their normal form."""
    config = load(
        """
        interfaces: {feeder: {priority: transactional}}
        pools: {p: [{address: 192.0.2.1, max_connections: 3, rate: 10/s}, 192.0.2.2]}
        zones:
          default: {pool: p, throttling: 100/minute, in_doubt: hold}
          bounces:
        domains:
          default: {rate: 5/s}
          Bücher.example: {max_connections: 20, disabled_addresses: [192.0.2.1]}
        providers:
          google: {mx: ["*.Google.com", mx.example.], max_connections: 7}
        tenants: {acme: {weight: 5}, api/Ada Lovelace: }
        queue: {jitter: 20%, in_doubt_wait: 1s, transactional_share: 0.25}
        """
    )

    assert config.interfaces["feeder"].priority == "transactional"
    assert config.pools["p"][0].max_connections == 3
    assert config.pools["p"][0].rate == Rate(10, timedelta(seconds=1))
    assert config.zones["default"].throttling == Rate(100, MINUTE)
    assert config.zones["default"].in_doubt == "hold"
    assert list(config.domains) == ["default", "xn--bcher-kva.example"]
    assert config.providers["google"].name == "google"
    assert config.providers["google"].mx == ("*.google.com", "mx.example")
    assert (config.tenant_weight("acme"), config.tenant_weight("x")) == (5, 1)
    assert config.queue.jitter == 0.2
    assert config.queue.transactional_share == 0.25


def test_a_domain_takes_from_the_default_what_it_does_not_say():
    """Each key by itself."""
    config = Config(
        domains={
            "default": DomainLimits(max_connections=7, rate="1/s"),
            "a.example": DomainLimits(max_connections=5),
        }
    )

    limits = config.domain_limits("a.example")

    assert (limits.max_connections, limits.rate) == (5, Rate(1, timedelta(seconds=1)))
    assert config.domain_limits("b.example").max_connections == 7


def test_a_domain_has_limits_though_nobody_wrote_any():
    """Five connections, as ZoneMTA has it."""
    assert Config().domain_limits("a.example") == DomainLimits(max_connections=5)


@pytest.mark.parametrize(
    ("hosts", "provider"),
    [
        pytest.param(["mx.google.com", "google.com"], "google", id="a name and below"),
        pytest.param(["in.exact.example"], "exact", id="a host"),
        pytest.param(["a.in.exact.example"], None, id="below a mere host"),
        pytest.param(["notgoogle.com"], None, id="the end of another name"),
        pytest.param(["mx.google.com", "mx.other.example"], None, id="not all of them"),
        pytest.param(["mx.google.com", "in.exact.example"], None, id="of two"),
        pytest.param([], None, id="no host at all"),
    ],
)
def test_a_domain_is_a_providers_if_all_its_hosts_are(hosts, provider):
    """A spare at somebody else's would get around the limit."""
    config = Config(
        providers={
            "google": Provider(name="google", mx=("*.google.com",), rate="1/s"),
            "exact": Provider(name="exact", mx=("in.exact.example",), rate="1/s"),
        }
    )

    found = config.provider_of(hosts)

    assert (found and found.name) == provider


def test_a_list_is_the_schedule_of_all_categories(load):
    """What most sites want."""
    config = load("queue: {defer_times: [1m, 2m]}")

    assert config.queue.defer_times == {"default": (MINUTE, 2 * MINUTE)}


def test_a_category_may_have_its_own_schedule(load):
    """Of the queue, of a zone and of a domain."""
    config = load(
        """
        queue: {defer_times: {default: [1m], capacity: [2m]}}
        zones: {default: {defer_times: {default: [3m]}}, bounces: }
        domains: {a.example: {defer_times: {default: [4m], dns: [5m, 6m]}}}
        """
    )

    assert config.queue.defer_times["capacity"] == (2 * MINUTE,)
    assert config.zones["default"].defer_times == {"default": (3 * MINUTE,)}
    assert config.domain_limits("a.example").defer_times["dns"] == (
        5 * MINUTE,
        6 * MINUTE,
    )


def test_a_schedule_cannot_be_changed():
    """Every process has one, for all its greenlets."""
    with pytest.raises(TypeError):
        QueueConfig().defer_times["default"] = ()


def test_a_schedule_built_in_code_passes_the_same_bounds():
    """A pause of no time would be a busy loop."""
    with pytest.raises(ValidationError, match="from 1s to 30d"):
        Zone(name="default", defer_times=(timedelta(0),))


def test_every_category_that_replies_are_sorted_into_can_have_pauses():
    """And no others but those of failures without a reply."""
    statuses = [f"{s}.{d}" for s in range(10) for d in range(40)]
    texts = [f"{code} 5.{status}" for code in (550, 599) for status in statuses]
    texts += [str(code) for code in range(400, 600)]
    texts += ["554 Your address is on our blocklist"]
    own = {"dns", "network", "other", "policy", "protocol", "message", "store"}

    produced = {classify_reply(text).category for text in texts}

    assert produced | own == set(CATEGORIES)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ("{capacity: [1m]}", "1:22: queue.defer_times: this has no default"),
        ("{default: []}", "1:32: queue.defer_times.default: this needs at least one"),
        ("{default: 5m}", "1:32: queue.defer_times.default: '5m' is not a list"),
        ("{default: [1m, 0s]}", "1:37: queue.defer_times.default[1]: '0s' is out"),
        ("[1m, 5]", "1:27: queue.defer_times[1]: '5' has no unit"),
        (
            "{default: [1m], capcity: [1m]}",
            "1:38: queue.defer_times.capcity: this key is no category of failures; "
            "did you mean 'capacity'?",
        ),
        (
            "{default: [1m], greylisting: [1m]}",
            "1:38: queue.defer_times.greylisting: this key is no category of failures; "
            "known are default, auth, blacklist, block",
        ),
    ],
)
def test_a_wrong_schedule_is_told_where_it_is_wrong(only_problem, times, expected):
    """Down to the pause."""
    problem = only_problem(f"queue: {{defer_times: {times}}}")

    assert problem.startswith(f"zones.yaml:{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zones: {default: {throttling: 0/s}, bounces: }", "is a rate of zero"),
        ("zones: {default: {throttling: 100}, bounces: }", "write 100/minute"),
        ("zones: {default: {rate: 1/s}, bounces: }", "is its throttling"),
        ("zones: {default: {in_doubt: no}, bounces: }", "'retry', 'hold' or"),
        ("interfaces: {a: {priority: high}}", "none of 'normal' or 'transactional'"),
        ("queue: {jitter: 2}", "from 0 to 1"),
        ("queue: {in_doubt_wait: 0s}", "from 1s to 30d"),
        ("domains: {a.example: {max_connections: 0}}", "from 1 to 10000"),
        ("domains: {a.example: {maxConnections: 1}}", "did you mean 'max_connections'"),
        ("domains: {a.example: {dns_options: {}}}", "is not available in this version"),
        ("domains: {'*.example': {}}", "domains.*.example: '*.example' is a pattern"),
        ("domains: {'a@b.example': {}}", "write its domain alone"),
        (
            "domains: {bücher.example: , xn--bcher-kva.example: }",
            "is xn--bcher-kva.example, which is there in line 1 already",
        ),
        ("domainConfig: {}", "stands under domains"),
        ("providers: {g: {mx: [a.example]}}", "providers.g: has no limit; give it"),
        ("providers: {g: {rate: 1/s}}", "providers.g.mx: is missing"),
        ("providers: {g: {rate: 1/s, mx: []}}", "needs at least one entry"),
        ("providers: {g: {rate: 1/s, mx: ['mx*.a']}}", "is neither a host name nor"),
        ("providers: {G: {rate: 1/s, mx: [a.example]}}", "write 'g'"),
        ("tenants: {a: {weight: 0}}", "from 1 to 1000"),
        ("tenants: {' a': }", "write 'a'"),
        (f"tenants: {{{'x' * 101}: }}", "is not a name of 1 to 100 printable"),
    ],
)
def test_a_wrong_limit_is_told_in_the_operators_words(only_problem, text, expected):
    """What is wrong, and what would be right."""
    assert expected in only_problem(text)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("mx.google.com", "mx.google.com"),
        ("'*.google.com'", "mx.google.com"),
        ("google.com", "'*.google.com'"),
        ("'*.google.com'", "'*.mx.google.com'"),
    ],
)
def test_two_providers_cannot_have_the_same_host(only_problem, one, two):
    """The order in the file would decide, and nobody would know."""
    problem = only_problem(
        f"providers: {{a: {{rate: 1/s, mx: [{one}]}}, b: {{rate: 1/s, mx: [{two}]}}}}"
    )

    assert " is among " in problem


def test_patterns_of_one_provider_may_overlap(load):
    """They say the same twice, and mean one."""
    load("providers: {a: {rate: 1/s, mx: ['*.a.example', mx.a.example, b.example]}}")


@pytest.mark.parametrize("other", ["192.0.2.1", "{address: 192.0.2.1, rate: 2/s}"])
def test_an_address_has_the_same_limits_in_every_pool(only_problem, load, other):
    """It is one address, whichever zone uses it."""
    pools = "pools: {p: [{address: 192.0.2.1, rate: 1/s}], q: [%s]}\n" + ZONES

    problem = only_problem(pools % other)

    assert "pools.q[0]" in problem
    assert "192.0.2.1 has other limits in pools.p[0]" in problem
    load(pools % "{address: 192.0.2.1, rate: 1/s}")


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param("[192.0.2.1]", id="the only address"),
        pytest.param("[192.0.2.1, {address: 192.0.2.2, ratio: 0}]", id="no share"),
    ],
)
@pytest.mark.parametrize("domain", ["default", "a.example"])
def test_a_domain_must_be_left_an_address(only_problem, domain, pool):
    """Its mail could never leave."""
    problem = only_problem(
        f"pools: {{p: {pool}}}\n{ZONES}"
        f"domains: {{{domain}: {{disabled_addresses: [192.0.2.1]}}}}"
    )

    assert f"domains.{domain}.disabled_addresses: zone default has no other" in problem


def test_an_address_of_the_other_family_is_one_only_where_it_is_used(
    only_problem, load
):
    """A zone that ignores IPv6 has no use for it."""
    text = (
        "pools: {p: [192.0.2.1, 2001:db8::1]}\n"
        "domains: {a.example: {disabled_addresses: [192.0.2.1]}}\n" + ZONES
    )

    load(text)

    assert "has no other address" in only_problem(text + "dns: {ignore_ipv6: true}")


def test_a_zone_without_a_pool_needs_no_address(load):
    """The system chooses for it."""
    load("domains: {a.example: {disabled_addresses: [192.0.2.1]}}")


def test_more_connections_for_a_domain_than_for_a_zone_are_no_mistake(load):
    """The zone's limit holds as well, and another zone's may be wider."""
    load("domains: {a.example: {max_connections: 500}}")


def test_a_limit_that_could_not_be_read_causes_no_second_problem(only_problem):
    """Nobody wrote the default in its place."""
    only_problem("providers: {g: {mx: [a.example], rate: 1}}")
    only_problem("domains: 5")
    only_problem(
        "pools: {p: [{address: 192.0.2.1, rate: 1}], q: [192.0.2.1]}\n" + ZONES
    )
