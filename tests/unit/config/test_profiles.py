"""What is known of large receivers, and limits that several things share."""

from datetime import timedelta

import pytest

from mta.config.profiles import PROFILES
from mta.config.values import Rate

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_switched_on_by_its_name(load, name):
    """It has hosts and limits of its own."""
    provider = load(f"providers: {{big: {{profile: {name}}}}}").providers["big"]

    assert provider.mx
    assert provider.max_connections
    assert provider.rate == Rate(100, SECOND)
    assert provider.reuse_count


def test_all_profiles_can_be_switched_on_together(load):
    """No host is two providers'."""
    config = load(
        f"providers: {{{', '.join(f'{n}: {{profile: {n}}}' for n in PROFILES)}}}"
    )

    assert list(config.providers) == list(PROFILES)


@pytest.mark.parametrize(
    ("host", "profile"),
    [
        ("gmail-smtp-in.l.google.com", "google"),
        ("aspmx2.googlemail.com", "google"),
        ("example-com.mail.protection.outlook.com", "microsoft"),
        ("hotmail-com.olc.protection.outlook.com", "microsoft"),
        ("example-com.a-v1.mx.microsoft", "microsoft"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "apple"),
        ("mx00.emig.gmx.net", "gmx"),
        ("mx-ha02.web.de", "gmx"),
        ("mx00.t-online.de", "t-online"),
        ("smtp-in.orange.fr", "orange"),
        ("mx1a1.comcast.net", "comcast"),
    ],
)
def test_a_profile_knows_its_hosts(load, host, profile):
    """As their MX records name them."""
    config = load(
        f"providers: {{{', '.join(f'{n}: {{profile: {n}}}' for n in PROFILES)}}}"
    )

    assert config.provider_of([host]).name == profile


def test_the_file_goes_before_the_profile(load):
    """Value by value; hosts are one value."""
    config = load(
        """
        providers:
          google: {profile: google, max_connections: 50, mx: [mx.a.example]}
        """
    )
    google = config.providers["google"]

    assert (google.max_connections, google.mx) == (50, ("mx.a.example",))
    assert google.reuse_count == PROFILES["google"]["reuse_count"]


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("{profile: gogle}", "1:26: providers.g.profile: no profile is called 'gogle'"),
        ("{profile: gogle}", "did you mean 'google'?"),
        ("{profile: x}", "there are google, microsoft, yahoo"),
        ("{profile: google, rate: 0/s}", "1:40: providers.g.rate: '0/s' is a rate of"),
        ("{profile: google, reuse_count: 0}", "it must be from 1 to 1000000"),
    ],
)
def test_a_wrong_profile_is_told(only_problem, provider, expected):
    """Once, whatever it would have said."""
    assert expected in only_problem(f"providers: {{g: {provider}}}")


def test_rules_about_a_provider_with_a_wrong_profile_are_not_blamed(only_problem):
    """It is there, though nobody knows what it is."""
    only_problem(
        """
        providers: {g: {profile: gogle}}
        shaping: {r: {providers: [g], category: [block], action: rest, duration: 1h}}
        """
    )


def test_a_shared_limit_can_be_named_by_all_that_have_limits(load):
    """Zones, domains, providers and addresses."""
    config = load(
        """
        limits:
          office: {max_connections: 9, rate: 10/s}
          line:   {rate: 1/s}
        pools: {p: [{address: 192.0.2.1, limits: [line]}]}
        zones: {default: {pool: p, limits: [office, line]}, bounces: }
        domains: {a.example: {limits: [office]}}
        providers: {g: {mx: [mx.g.example], limits: [office]}}
        """
    )

    assert config.limits["office"].max_connections == 9
    assert config.limits["line"].rate == Rate(1, SECOND)
    assert config.zones["default"].limits == ("office", "line")
    assert config.zones["default"].addresses[0].limits == ("line",)
    assert config.domain_limits("a.example").limits == ("office",)
    assert config.providers["g"].limits == ("office",)


@pytest.mark.parametrize(
    "text",
    [
        "zones: {default: {limits: [ofice]}, bounces: }",
        "domains: {a.example: {limits: [ofice]}}",
        "providers: {g: {mx: [mx.g.example], limits: [ofice]}}",
        "pools: {p: [{address: 192.0.2.1, limits: [ofice]}]}",
    ],
)
def test_a_shared_limit_that_is_not_there_is_told(only_problem, text):
    """With what may have been meant."""
    problem = only_problem(f"limits: {{office: {{rate: 1/s}}}}\n{text}")

    assert "no limit is called 'ofice'; did you mean 'office'?" in problem
    assert "there are none" in only_problem(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limits: {a: }", "limits.a: has no limit; give it max_connections"),
        ("limits: {a: {rate: 5}}", "write 5/minute"),
        ("limits: {a: {rate: 1/s, connections: 5}}", "did you mean 'max_connections'?"),
        ("limits: {A: {rate: 1/s}}", "names of limits have only a to z"),
        (
            "zones: {default: {connection_throttling: 5/h}, bounces: }",
            "rest for more than ten minutes; what is slower is for throttling",
        ),
        ("domains: {a.example: {reuse_count: 0}}", "it must be from 1 to 1000000"),
    ],
)
def test_a_wrong_limit_is_told_in_the_operators_words(only_problem, text, expected):
    """What is wrong, and what would be right."""
    assert expected in only_problem(text)


def test_an_address_names_the_same_limits_in_every_pool(only_problem):
    """It is one address."""
    problem = only_problem(
        """
        limits: {a: {rate: 1/s}}
        pools: {p: [{address: 192.0.2.1, limits: [a]}], q: [192.0.2.1]}
        """
    )

    assert "192.0.2.1 has other limits in pools.p[0]" in problem
