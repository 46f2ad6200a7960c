"""What may be said of TLS with other servers."""

import pytest

from mta.config.difference import compare
from mta.config.load import parse_config
from mta.errors import ConfigError


def load(text):
    return parse_config("zones.yaml", text.encode(), {})


def problems_of(text):
    with pytest.raises(ConfigError) as error:
        load(text)
    return [(p.path, p.message) for p in error.value.problems]


def test_the_defaults_are_as_ever():
    """Opportunistic, from 1.2 on; what others publish is followed; no reports."""
    config = load("{}")

    assert config.tls.model_dump() == {"minimum": "1.2", "mta_sts": True, "dane": True}
    assert config.tls_report.sender is None
    assert config.dns.trust_ad == "loopback"
    assert (config.zones["default"].tls, config.zones["default"].ignore_tls) == (
        *(None, False),
    )


@pytest.mark.parametrize("said", ["1.3", '"1.3"', "TLSv1.3", "TLS 1.3"])
def test_the_minimum_can_be_raised(said):
    """YAML takes 1.3 for a number."""
    assert load(f"tls: {{minimum: {said}}}").tls.minimum == "1.3"


@pytest.mark.parametrize("said", ["1.1", "1.0", "SSLv3", "1.4", "true", "1"])
def test_the_minimum_cannot_be_lowered(said):
    """RFC 8996."""
    [(path, message)] = problems_of(f"tls: {{minimum: {said}}}")

    assert path == "tls.minimum"
    assert "there are 1.2 and 1.3" in message


@pytest.mark.parametrize("level", ["ignore", "opportunistic", "require", "verify"])
def test_zones_and_domains_have_levels(level):
    """With the place where each is said."""
    config = load(
        f"zones:\n  default:\n    tls: {level}\ndomains:\n  d.test: {{tls: {level}}}\n"
    )

    assert config.zones["default"].tls == config.domain_limits("d.test").tls == level
    assert config.place_of("zones", "default", "tls") == "zones.yaml:3"
    assert config.place_of("domains", "d.test", "tls") == "zones.yaml:5"


@pytest.mark.parametrize("level", ["required", "true", "dane", "1"])
def test_other_levels_are_unknown(level):
    """Each mistake names those there are."""
    [(path, message)] = problems_of(f"zones: {{default: {{tls: {level}}}}}")

    assert path == "zones.default.tls"
    assert "'opportunistic'" in message


def test_zonemtas_word_is_another_for_ignore():
    """And says the same as the level beside it, if there is one."""
    assert load("zones: {default: {ignore_tls: true, tls: ignore}}")

    assert problems_of("zones: {default: {ignore_tls: true, tls: verify}}") == [
        (
            "zones.default.tls",
            "is verify, and ignore_tls: true says the opposite; remove one",
        )
    ]


def test_reports_have_a_sender():
    """And an organization, which is nobody's without one."""
    config = load("tls_report: {from: TLS@Us.Test, organization: Us Inc.}")

    assert config.tls_report.sender == "TLS@us.test"
    assert problems_of("tls_report: {organization: Us Inc.}") == [
        ("tls_report", "needs from: an address that reports are sent from")
    ]


@pytest.mark.parametrize("said", ["us.test", "a@", "@us.test", "a b@us.test", "5"])
def test_what_is_no_address_sends_no_reports(said):
    """It would be one of ours that they come back to."""
    [(path, _)] = problems_of(f"tls_report: {{from: '{said}'}}")

    assert path == "tls_report.from"


@pytest.mark.parametrize(
    ("said", "value"), [("true", True), ("false", False), ("loopback", "loopback")]
)
def test_whose_word_counts_is_said(said, value):
    """Of answers that were validated."""
    assert load(f"dns: {{trust_ad: {said}}}").dns.trust_ad == value


def test_changes_are_shown_by_the_keys_of_the_file():
    """Not by our own names for them."""
    old, new = load("{}"), load("tls_report: {from: a@us.test}\ntls: {minimum: 1.3}")

    assert [str(change) for change in compare(old, new)] == [
        "tls.minimum: 1.2 -> 1.3",
        "tls_report.from: none -> a@us.test",
    ]


def test_a_key_that_comes_from_elsewhere_has_a_hint():
    """ZoneMTA has mtaSts at the top."""
    [(_, message)] = problems_of("mta_sts: true")

    assert message == "unknown key; write tls: {mta_sts: true}"
    [(_, message)] = problems_of("tls_report: {form: a@us.test}")
    assert "'from'" in message
