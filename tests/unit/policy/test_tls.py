"""Which TLS policy applies, and what is tried when TLS fails."""

import pytest

from mta.config.limits import DomainLimits
from mta.config.tls import TlsConfig
from mta.config.zones import Config, Zone
from mta.errors import PermanentFailure, TransientFailure
from mta.policy.dane import Tlsa
from mta.policy.mta_sts import MAX_AGE, Mode, StsPolicy
from mta.policy.tls import (
    IN_CLEAR,
    Check,
    DomainPolicy,
    HostPolicy,
    Level,
    Rung,
    follows,
    level_of,
    next_rung,
    policy_for,
)

HOST = "mx.d.test"
TLSA = Tlsa(3, 1, 1, bytes(32))
UNVERIFIED = Rung(encrypts=True)
BY_NAME = Rung(encrypts=True, check=Check.NAME)


def sts(mode, *mx):
    return StsPolicy(Mode(mode), mx or (HOST,), MAX_AGE)


def a_domain(level="opportunistic", **changes):
    return DomainPolicy(level=Level(level, ("zones", "z", "tls")), **changes)


def decide(domain, tlsa=None, names=()):
    return policy_for(domain, HOST, tlsa, names)


@pytest.mark.parametrize(
    ("domain", "default", "zone", "ignores", "found"),
    [
        (None, None, None, False, ("opportunistic", "default")),
        (None, None, None, True, ("ignore", "zones.z.ignore_tls")),
        (None, None, "require", False, ("require", "zones.z.tls")),
        (None, "verify", "require", False, ("verify", "domains.default.tls")),
        ("ignore", "verify", "require", False, ("ignore", "domains.d.test.tls")),
        ("require", None, None, True, ("require", "domains.d.test.tls")),
    ],
)
def test_the_domain_goes_before_the_zone(domain, default, zone, ignores, found):
    """And before what holds for all domains."""
    said = {"default": default, "d.test": domain}
    domains = {name: DomainLimits(tls=tls) for name, tls in said.items() if tls}
    level = level_of(
        Config(domains=domains), Zone(name="z", tls=zone, ignore_tls=ignores), "d.test"
    )

    assert (level.value, level.by) == found


def test_a_domain_may_be_excepted_from_what_it_publishes():
    """When it is broken, and mail has to go."""
    domains = {"d.test": DomainLimits(mta_sts=False, dane=False)}
    config = Config(domains=domains)

    assert follows(config, "d.test") == (False, False)
    assert follows(config, "e.test") == (True, True)
    assert follows(Config(tls=TlsConfig(dane=False)), "e.test") == (True, False)


@pytest.mark.parametrize(
    ("level", "ladder"),
    [
        ("ignore", (IN_CLEAR,)),
        ("opportunistic", (UNVERIFIED, IN_CLEAR)),
        ("require", (UNVERIFIED,)),
        ("verify", (BY_NAME,)),
    ],
)
def test_only_who_is_opportunistic_falls_back_to_clear(level, ladder):
    """The operator's own word, where nobody else has one."""
    assert decide(a_domain(level)).ladder == ladder


@pytest.mark.parametrize("level", ["opportunistic", "require", "verify"])
@pytest.mark.parametrize("policy", [None, sts("enforce"), sts("enforce", "x.test")])
def test_dane_goes_before_all_others(level, policy):
    """Who publishes his certificate in DNS has said which it is (RFC 8461 §2)."""
    found = decide(a_domain(level, sts=policy), [TLSA], ["base.test", HOST, "d.test"])

    assert found.by == "dane"
    assert found.ladder == (Rung(encrypts=True, check=Check.DANE),)
    assert found.names == ("base.test", HOST, "d.test")


def test_records_that_nobody_can_use_demand_tls():
    """With whoever it is (RFC 7672 §2.2)."""
    found = decide(a_domain(), [])

    assert (found.by, found.ladder) == ("dane", (UNVERIFIED,))


def test_records_that_nobody_can_use_do_not_outweigh_a_policy():
    """TLS alone is less than what the domain demands."""
    assert decide(a_domain(sts=sts("enforce")), []).check is Check.STS
    assert decide(a_domain("verify"), []).check is Check.NAME


def test_enforce_demands_the_hosts_own_certificate():
    """RFC 8461 §4.2; no clear text, whatever fails."""
    found = decide(a_domain(sts=sts("enforce")))

    assert (found.by, found.is_required, found.check) == ("mta-sts", True, Check.STS)


def test_a_host_that_the_policy_does_not_name_gets_nothing_yet():
    """§5: the next one may, and by itself it is never for good."""
    with pytest.raises(TransientFailure, match=r"450 4\.7\.0") as failure:
        decide(a_domain(sts=sts("enforce", "other.test")))

    assert failure.value.is_next_host_worth_trying


@pytest.mark.parametrize("mode", ["testing", "none"])
def test_what_is_not_enforced_lets_mail_through(mode):
    """§5: testing only tells; a host that it does not name is no trouble either."""
    for policy in (sts(mode), sts(mode, "other.test")):
        assert not decide(a_domain(sts=policy)).is_required


def test_testing_tries_and_falls_back_step_by_step():
    """First as if it were enforced, then with whoever it is, then in clear."""
    ladder = decide(a_domain(sts=sts("testing"))).ladder

    assert ladder == (BY_NAME, UNVERIFIED, IN_CLEAR)
    assert next_rung(ladder, BY_NAME, was_untrusted=True) == UNVERIFIED
    assert next_rung(ladder, BY_NAME, was_untrusted=False) == IN_CLEAR
    assert next_rung(ladder, UNVERIFIED, was_untrusted=False) == IN_CLEAR
    assert next_rung(ladder, IN_CLEAR, was_untrusted=False) is None


@pytest.mark.parametrize(
    "domain",
    [a_domain("require"), a_domain("verify"), a_domain(sts=sts("enforce"))],
    ids=["require", "verify", "enforce"],
)
@pytest.mark.parametrize("was_untrusted", [False, True])
def test_who_demands_tls_never_falls_back(domain, was_untrusted):
    """Not to another certificate, and not to clear text."""
    ladder = decide(domain).ladder

    assert next_rung(ladder, ladder[0], was_untrusted=was_untrusted) is None


def test_ignoring_tls_goes_before_what_others_demand():
    """It is the operator who says it."""
    assert decide(a_domain("ignore", sts=sts("enforce"))).ladder == (IN_CLEAR,)


@pytest.mark.parametrize(
    ("domain", "tlsa", "passes"),
    [
        (a_domain(require_tls=True), None, False),
        (a_domain("require", require_tls=True), None, False),
        (a_domain("ignore", require_tls=True), None, False),
        (a_domain(require_tls=True, sts=sts("testing")), None, False),
        (a_domain(require_tls=True), [], False),
        (a_domain("verify", require_tls=True), None, True),
        (a_domain(require_tls=True, sts=sts("enforce")), None, True),
        (a_domain(require_tls=True), [TLSA], True),
    ],
)
def test_requiretls_needs_somebody_who_vouches_for_the_host(domain, tlsa, passes):
    """RFC 8689 §4.2.1."""
    if passes:
        assert decide(domain, tlsa).check is not Check.NO
        return
    with pytest.raises(PermanentFailure, match=r"550 5\.7\.30") as failure:
        decide(domain, tlsa)
    assert failure.value.is_next_host_worth_trying


def test_the_minimum_holds_for_all():
    """Whoever decided the rest."""
    for domain in (a_domain(minimum="1.3"), a_domain("verify", minimum="1.3")):
        assert decide(domain).minimum == "1.3"
    assert decide(a_domain(minimum="1.3"), [TLSA]).minimum == "1.3"


def test_policies_are_keys():
    """Of sessions that are kept: what differs in anything is another."""
    policies = {
        a_domain(),
        a_domain("require"),
        a_domain(minimum="1.3"),
        a_domain(uses_dane=True),
        a_domain(require_tls=True),
        a_domain(sts=sts("enforce")),
        a_domain(sts=sts("enforce", "x.test")),
        a_domain(sts=sts("testing")),
    }

    assert len(policies) == 8
    assert HostPolicy(by="dane") != HostPolicy(by="default")
