"""Who is asked for a session's policy, and what is told of it."""

from ipaddress import ip_address

import pytest

from mta.config.limits import DomainLimits
from mta.config.tls import TlsReportConfig
from mta.config.zones import Config
from mta.delivery import Wishes
from mta.errors import PermanentFailure, TransientFailure
from mta.policy.dane import Tlsa
from mta.policy.mta_sts import MAX_AGE, Mode, StsPolicy
from mta.policy.tls import Check
from mta.policy.tls_results import TlsResult
from mta.relay.hosts import Target
from mta.relay.mta_sts import Found
from mta.relay.security import NOBODY_VALIDATES, Security
from mta.relay.tlsa import Published
from mta.reply import make_reply
from tests.unit.relay.fakes import (
    FakeConnector,
    FakeSession,
    FakeTargets,
    a_request,
    a_zone,
    failure,
)

ENFORCE = StsPolicy(Mode.ENFORCE, ("mx0.test",), MAX_AGE)
OTHERS = StsPolicy(Mode.ENFORCE, ("mx1.test",), MAX_AGE)
RECORD = Tlsa(3, 1, 1, bytes(32))
TARGET = Target("mx0.test", ip_address("192.0.2.1"), 25)
REPORTING = Config(tls_report=TlsReportConfig(**{"from": "tls@us.test"}))


class Sts:
    def __init__(self, policy=None):
        self.policy = policy
        self.asked = []

    def look(self, domain):
        self.asked.append(domain)
        return Found(self.policy)


class Hosts:
    """What hosts publish; ``failure`` is what DNS says instead."""

    def __init__(self, *records, failure=None, can_be_used=True):
        self.published = Published(records, ("mx0.test",)) if records else None
        self.failure = failure
        self.can_be_used = can_be_used
        self.asked = []

    def look(self, domain, host, port):
        self.asked.append((domain, host, port))
        if self.failure:
            raise self.failure
        return self.published, "why"


class Tally:
    def __init__(self):
        self.seen = []

    def note(self, seen):
        self.seen.append(seen)

    def close(self):
        pass

    @property
    def results(self):
        return [(s.policy.type, s.detail.result) for s in self.seen]


def a_security(sts=None, dane=None, tally=None, sandbox=None):
    targets = FakeTargets()
    targets.sandbox = sandbox
    return Security(targets=targets, sts=sts, dane=dane, tally=tally)


def policy_of(security, request, host="mx0.test"):
    return security.for_host(request, security.for_domain(request), host, 25)


def test_domain_and_host_are_asked():
    """The host's word goes first."""
    security = a_security(Sts(ENFORCE), Hosts(RECORD))

    assert policy_of(security, a_request()).by == "dane"
    assert security.sts.asked == ["b.test"]
    assert security.dane.asked == [("b.test", "mx0.test", 25)]


def test_a_relay_is_asked_by_its_own_name_alone():
    """MTA-STS is about hosts that DNS names (RFC 8461 §2)."""
    security = a_security(Sts(ENFORCE), Hosts(RECORD))

    policy = policy_of(security, a_request(a_zone(host="mx0.test")))

    assert policy.by == "dane"
    assert (security.sts.asked, security.dane.asked) == ([], [(None, "mx0.test", 25)])


@pytest.mark.parametrize(
    ("request_", "sandbox"),
    [
        (a_request(a_zone(tls="ignore")), None),
        (a_request(a_zone(ignore_tls=True)), None),
        (a_request(config=REPORTING, reverse_path="tls@us.test"), None),
    ],
    ids=["ignore", "ignore_tls", "a report"],
)
def test_where_it_does_not_matter_nobody_is_asked(request_, sandbox):
    """A report about trouble must not be kept back by it (RFC 8460 §3)."""
    security = a_security(Sts(ENFORCE), Hosts(RECORD), sandbox=sandbox)

    assert not policy_of(security, request_).is_required
    assert (security.sts.asked, security.dane.asked) == ([], [])


def test_in_the_sandbox_nobodys_word_counts():
    """All mail goes to one place."""
    security = a_security(Sts(ENFORCE), Hosts(RECORD), sandbox=object())
    request = a_request(a_zone(tls="verify"))

    assert not policy_of(security, request).is_required
    assert (security.sts.asked, security.dane.asked) == ([], [])


def test_a_domain_may_be_excepted():
    """From what it and its hosts publish."""
    domains = {"b.test": DomainLimits(mta_sts=False, dane=False)}
    security = a_security(Sts(ENFORCE), Hosts(RECORD))

    policy = policy_of(security, a_request(config=Config(domains=domains)))

    assert not policy.is_required
    assert (security.sts.asked, security.dane.asked) == ([], [])


def test_without_a_nameserver_that_validates_there_is_no_dane():
    """And an explanation says so."""
    security = a_security(dane=Hosts(RECORD, can_be_used=False))
    request = a_request()

    assert not policy_of(security, request).is_required
    domain = security.for_domain(request)
    assert security.why_dane(request, domain, "mx0.test", 25) == NOBODY_VALIDATES


@pytest.mark.parametrize(
    ("security", "by", "results"),
    [
        (a_security(), "default", [("no-policy-found", TlsResult.SUCCESS)]),
        (a_security(Sts(ENFORCE)), "mta-sts", [("sts", TlsResult.SUCCESS)]),
        (a_security(dane=Hosts(RECORD)), "dane", [("tlsa", TlsResult.SUCCESS)]),
        (
            a_security(Sts(StsPolicy(Mode.TESTING, ("x.test",), MAX_AGE))),
            *("default", [("sts", TlsResult.VALIDATION_FAILURE)]),
        ),
    ],
)
def test_a_session_is_told_of_once(security, by, results):
    """By what it was judged by."""
    tally = Tally()
    security = Security(
        targets=security.targets, sts=security.sts, dane=security.dane, tally=tally
    )
    request = a_request(config=REPORTING)

    policy, note = security.begin(request, security.for_domain(request), TARGET)
    note(TlsResult.SUCCESS, "192.0.2.10", "")

    assert policy.by == by
    assert tally.results == results


def test_a_host_that_must_not_have_it_is_told_of():
    """Though nobody has talked to it."""
    security = a_security(Sts(OTHERS), tally=Tally())
    request = a_request(config=REPORTING)

    with pytest.raises(TransientFailure):
        security.begin(request, security.for_domain(request), TARGET)

    assert security.tally.results == [("sts", TlsResult.VALIDATION_FAILURE)]


def test_what_dns_could_not_tell_is_told_of():
    """As the hosts' affair."""
    broken = TransientFailure(make_reply(450, "4.4.3", "SERVFAIL"), category="dns")
    security = a_security(dane=Hosts(failure=broken), tally=Tally())
    request = a_request(config=REPORTING)

    with pytest.raises(TransientFailure):
        security.begin(request, security.for_domain(request), TARGET)

    assert security.tally.results == [("tlsa", TlsResult.DNSSEC_INVALID)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"config": REPORTING, "reverse_path": "tls@us.test"},
        {"config": REPORTING, "zone": a_zone(host="mx0.test")},
        {"config": REPORTING, "domain": "[192.0.2.1]"},
    ],
    ids=["nobody reports", "a report", "a relay", "no domain"],
)
def test_what_no_report_is_about_is_not_counted(changes):
    """Reports about reports would never end."""
    security = a_security(tally=Tally())
    request = a_request(**changes)

    _, note = security.begin(request, security.for_domain(request), TARGET)
    note(TlsResult.SUCCESS, "", "")

    assert security.tally.seen == []


def test_the_session_has_the_policy_of_its_host(a_relay):
    """And the attempt keeps what decided."""
    connector = FakeConnector(FakeSession(), security=a_security(Sts(ENFORCE)))

    sent = a_relay(connector).send(a_request())

    assert connector.policies[0].check is Check.STS
    assert sent.reasons.tls == (
        *("mta-sts", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "no"),
    )


def test_a_host_that_the_policy_does_not_name_is_passed_over(a_relay):
    """Nobody dials it; the next one has the mail."""
    connector = FakeConnector(FakeSession("mx1.test"), security=a_security(Sts(OTHERS)))

    sent = a_relay(connector).send(a_request())

    assert [target.host for target, *_ in connector.calls] == ["mx1.test"]
    assert sent.host == "mx1.test"


def test_where_no_host_may_have_it_it_waits(a_relay):
    """It is never refused for that alone; no slot was taken for it."""
    security = a_security(Sts(StsPolicy(Mode.ENFORCE, ("x.test",), MAX_AGE)))

    with pytest.raises(TransientFailure, match=r"450 4\.7\.0") as found:
        a_relay(FakeConnector(security=security)).send(a_request())

    assert found.value.category == "policy"


def test_the_next_host_is_tried_after_one_that_has_no_tls(a_relay):
    """As after one that cannot be reached."""
    connector = FakeConnector(
        failure(text="no TLS", category="policy"),
        FakeSession("mx1.test"),
        security=a_security(Sts(StsPolicy(Mode.ENFORCE, ("*.test",), MAX_AGE))),
    )

    assert a_relay(connector).send(a_request()).host == "mx1.test"


def test_an_idle_session_is_not_used_under_a_stricter_policy(a_relay):
    """It was opened when nobody demanded anything."""
    sts = Sts()
    connector = FakeConnector(FakeSession(), FakeSession(), security=a_security(sts))
    relay = a_relay(connector)
    relay.send(a_request())
    sts.policy = ENFORCE
    sent = relay.send(a_request())

    assert not sent.is_reused
    assert [policy.check for policy in connector.policies] == [Check.NO, Check.STS]


def test_an_idle_session_is_not_used_once_its_host_publishes_something(a_relay):
    """DANE is each host's own affair, so the pool's key does not tell of it."""
    dane = Hosts()
    connector = FakeConnector(
        FakeSession(), FakeSession(), security=a_security(dane=dane)
    )
    relay = a_relay(connector)
    relay.send(a_request())
    dane.published = Published((RECORD,), ("mx0.test",))
    sent = relay.send(a_request())

    assert not sent.is_reused
    assert [policy.check for policy in connector.policies] == [Check.NO, Check.DANE]


def test_an_idle_session_is_used_under_the_same_policy(a_relay):
    """That is what it is kept for."""
    connector = FakeConnector(
        FakeSession(), security=a_security(Sts(ENFORCE), Hosts(RECORD))
    )
    relay = a_relay(connector)
    relay.send(a_request())

    assert relay.send(a_request()).is_reused


@pytest.mark.parametrize(
    "changes",
    [
        {"config": Config(domains={"c.test": DomainLimits(tls="verify")})},
        {"wishes": Wishes(require_tls=True)},
    ],
    ids=["the domain's level", "the sender's wish"],
)
def test_domains_behind_one_relay_do_not_share_what_differs(a_relay, changes):
    """The relay's session is all domains', but not one that is too weak."""
    config = changes.get("config", Config())
    zone = a_zone(host="relay.test")
    connector = FakeConnector(FakeSession(), FakeSession())
    relay = a_relay(connector, config=config)
    relay.send(a_request(zone, config=config))
    request = a_request(zone, domain="c.test", **{"config": config, **changes})

    if "wishes" in changes:
        with pytest.raises(PermanentFailure, match=r"5\.7\.30"):
            relay.send(request)
        return
    assert not relay.send(request).is_reused
    assert connector.policies[1].check is Check.NAME


def test_requiretls_is_refused_where_nobody_vouches_for_any_host(a_relay):
    """For good, and before anybody is dialed (RFC 8689 §4.2.1)."""
    connector = FakeConnector()

    with pytest.raises(PermanentFailure, match=r"550 5\.7\.30"):
        a_relay(connector).send(a_request(wishes=Wishes(require_tls=True)))

    assert connector.calls == []
