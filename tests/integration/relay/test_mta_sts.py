"""MTA-STS against real servers: DNS, web and MX on loopback, policies in MongoDB."""

import threading
import time as clock
from datetime import timedelta

import pytest
import trustme

from mta.delivery import Wishes
from mta.errors import PermanentFailure, TransientFailure
from tests.support.dns import DnsServer
from tests.support.outbound import serve
from tests.support.web import WebServer

ENFORCE = b"version: STSv1\nmode: enforce\nmx: mx1.d.test\nmax_age: 864000\n"
RECORD = [("TXT", '"v=STSv1; id=1;"')]
HOST = "127.77.1.9"


@pytest.fixture
def dns():
    records = {
        "d.test": [("MX", "10 mx1.d.test."), ("MX", "20 mx2.d.test.")],
        "mx1.d.test": [("A", "127.77.1.1")],
        "mx2.d.test": [("A", "127.77.1.2")],
        "mta-sts.d.test": [("A", HOST)],
        "_mta-sts.d.test": RECORD,
        "_smtp._tls.d.test": [("TXT", '"v=TLSRPTv1; rua=mailto:tls@d.test"')],
    }
    with DnsServer(records) as server:
        yield server


@pytest.fixture
def web(authority):
    with WebServer(HOST, serve(authority.issue_cert("mta-sts.d.test"))) as server:
        server.body = ENFORCE
        yield server


@pytest.fixture
def network(network, dns, web):
    network.dns, network.web_port = dns.address, web.port
    return network


@pytest.fixture
def good(authority):
    """What mx1.d.test should show."""
    return serve(authority.issue_cert("mx1.d.test", "mx2.d.test"))


@pytest.fixture
def bad():
    """A certificate of nobody."""
    return serve(trustme.CA().issue_cert("mx1.d.test"))


def test_enforced_and_kept_to(network, web, an_mx, good):
    """Fetched once for all processes, and the host proves to be the right one."""
    mx = an_mx(1, good)
    for _ in range(2):
        sent = network.send()
        assert sent.reasons.tls[::3] == ("mta-sts", "sts")

    assert len(mx.messages) == 2
    assert web.asked == ["GET /.well-known/mta-sts.txt"]
    assert network.results() == [("sts", "success")]


def test_enforced_and_not_kept_to_is_for_later(network, an_mx, bad):
    """Neither to a stranger nor in clear; the second host is none of the policy's."""
    strange, other = an_mx(1, bad), an_mx(2, None)

    with pytest.raises(TransientFailure, match=r"454 4\.7\.5") as failure:
        network.send()

    assert failure.value.category == "policy"
    assert failure.value.reasons.tls.policy == "mta-sts"
    assert strange.messages == other.messages == []
    assert [s.heard for s in other.sessions] == []
    assert network.results() == [
        ("sts", "certificate-not-trusted"),
        ("sts", "validation-failure"),
    ]


def test_enforced_where_starttls_is_taken_away_is_for_later(network, an_mx):
    """As an attacker in the middle would do it."""
    mx = an_mx(1, None)

    with pytest.raises(TransientFailure, match=r"450 4\.7\.4"):
        network.send()

    assert mx.messages == []
    assert ("sts", "starttls-not-supported") in network.results()


def test_the_first_host_that_the_policy_names_has_the_mail(network, web, an_mx, good):
    """In the order of the MX records, without the others."""
    web.body = ENFORCE.replace(b"mx1", b"mx2")
    first, second = an_mx(1, good), an_mx(2, good)
    sent = network.send()

    assert sent.host == "mx2.d.test"
    assert (first.sessions, len(second.messages)) == ([], 1)


@pytest.mark.parametrize("how", ["bad", "clear"])
def test_testing_only_tells(network, web, an_mx, bad, how):
    """And the mail is there."""
    web.body = ENFORCE.replace(b"enforce", b"testing")
    mx = an_mx(1, bad if how == "bad" else None)
    sent = network.send()

    assert len(mx.messages) == 1
    assert bool(sent.tls) == (how == "bad")
    assert network.results() == [
        (
            "sts",
            "certificate-not-trusted" if how == "bad" else "starttls-not-supported",
        )
    ]


def test_none_is_as_if_there_were_no_policy(network, web, an_mx):
    """How a domain gets rid of one (RFC 8461 §8.3)."""
    web.body = b"version: STSv1\nmode: none\nmax_age: 86400\n"
    mx = an_mx(1, None)
    network.send()

    assert len(mx.messages) == 1
    assert network.results() == [("no-policy-found", "starttls-not-supported")]


def test_a_policy_outlives_its_server_and_its_record(network, web, dns, an_mx, time):
    """An attacker who can only be in the way gains nothing, until it ends."""
    mx = an_mx(1, None)
    with pytest.raises(TransientFailure):
        network.send()
    web.status = 500
    del dns.records["_mta-sts.d.test"]
    time.ahead = timedelta(days=9, hours=23)

    with pytest.raises(TransientFailure):
        network.send()
    assert mx.messages == []

    time.ahead = timedelta(days=10, minutes=1)

    network.send()
    assert len(mx.messages) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"status": 404}, id="not found"),
        pytest.param(
            {
                "status": 302,
                "fields": {"Location": "https://mta-sts.d.test/other"},
            },
            id="redirect",
        ),
        pytest.param({"kind": "text/html"}, id="no plain text"),
        pytest.param({"body": b"x" * 70_000}, id="too long"),
        pytest.param({"body": b"<html>"}, id="no policy"),
        pytest.param({"is_slow": True, "body": b"x" * 60_000}, id="drips"),
    ],
)
def test_a_policy_that_never_was_had_demands_nothing(network, web, an_mx, trouble):
    """§3.3; mail has waited for it no longer than it may."""
    for name, value in trouble.items():
        setattr(web, name, value)
    mx = an_mx(1, None)
    began = clock.monotonic()
    network.send()

    assert clock.monotonic() - began < 5
    assert len(mx.messages) == 1
    assert web.asked == ["GET /.well-known/mta-sts.txt"]


def test_a_policy_server_of_another_name_is_none(network, dns, an_mx, authority):
    """Its certificate is verified (§3.3)."""
    with WebServer("127.77.1.8", serve(authority.issue_cert("x.test"))) as other:
        other.body = ENFORCE
        dns.records["mta-sts.d.test"] = [("A", "127.77.1.8")]
        network.web_port = other.port
        mx = an_mx(1, None)
        network.send()

    assert len(mx.messages) == 1
    assert other.asked == []
    assert network.db.sts_policies.find_one()["problem"] == "sts-webpki-invalid"


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_a_policy_server_within_our_site_is_not_asked(network, dns, an_mx, address):
    """A domain must not have us knock at our own inner doors."""
    dns.records["mta-sts.d.test"] = [("A", address)]
    mx = an_mx(1, None)
    network.send()

    assert len(mx.messages) == 1
    assert "no address" in network.db.sts_policies.find_one()["text"] or (
        "where nothing is asked" in network.db.sts_policies.find_one()["text"]
    )


def test_one_of_many_fetches_the_policy(network, web, an_mx, good):
    """When a campaign begins."""
    an_mx(1, good)
    relay = network.process()
    threads = [
        threading.Thread(target=network.send, args=(relay,), daemon=True)
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert web.asked == ["GET /.well-known/mta-sts.txt"]


def test_another_id_brings_another_policy(network, web, dns, an_mx, good):
    """§3.1."""
    an_mx(1, good)
    network.send()
    web.body = ENFORCE.replace(b"mx1", b"mx3")
    dns.records["_mta-sts.d.test"] = [("TXT", '"v=STSv1; id=2;"')]

    with pytest.raises(TransientFailure, match=r"450 4\.7\.0"):
        network.send()


@pytest.mark.parametrize("offers", [True, False])
def test_requiretls_passes_where_the_policy_vouches(network, an_mx, good, offers):
    """RFC 8689 §4.2.1."""
    mx = an_mx(1, good, *(["REQUIRETLS"] if offers else []))
    wishes = Wishes(require_tls=True)
    if offers:
        network.send(wishes=wishes)
        assert "MAIL FROM:<ada@a.test> REQUIRETLS" in mx.sessions[0].heard
        return

    with pytest.raises(PermanentFailure, match=r"550 5\.7\.30"):
        network.send(wishes=wishes)
    assert mx.messages == []


def test_requiretls_fails_where_nobody_vouches(network, dns, an_mx, good):
    """However good the encryption would be."""
    del dns.records["_mta-sts.d.test"]
    mx = an_mx(1, good, "REQUIRETLS")

    with pytest.raises(PermanentFailure, match=r"550 5\.7\.30"):
        network.send(wishes=Wishes(require_tls=True))
    assert mx.sessions == []


@pytest.mark.parametrize(
    ("level", "is_sent"), [("require", True), ("verify", False), ("ignore", True)]
)
def test_the_operators_own_levels(network, dns, an_mx, bad, level, is_sent):
    """Without anybody else's word."""
    del dns.records["_mta-sts.d.test"]
    network.more = f"domains: {{d.test: {{tls: {level}}}}}"
    mx = an_mx(1, bad)
    if not is_sent:
        with pytest.raises(TransientFailure):
            network.send()
        assert mx.messages == []
        return
    sent = network.send()

    assert sent.reasons.tls.policy == "domains.d.test.tls"
    assert bool(sent.tls) == (level != "ignore")


def test_null_mx_is_the_last_word_as_ever(network, dns, web):
    """Whatever else the domain publishes (RFC 7505)."""
    dns.records["d.test"] = [("MX", "0 .")]

    with pytest.raises(PermanentFailure, match=r"556 5\.1\.10"):
        network.send()
