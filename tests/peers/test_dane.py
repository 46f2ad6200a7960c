"""DANE against a zone that others have signed, serve and validate."""

import hashlib

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.delivery import Wishes
from mta.errors import PermanentFailure, TransientFailure
from tests.conftest import held_port
from tests.peers.signed_dns import SignedDns
from tests.support.outbound import (
    Network,
    an_mx,
    authority,
    network,
    serve,
    time,
    trust,
)
from tests.support.web import WebServer

__all__ = ["an_mx", "authority", "network", "time", "trust"]

ZEROS, ONES = "0" * 64, "1" * 64
# No authority that anybody knows has issued these.
ISSUER = trustme.CA().create_child_ca()
SHOWN = ISSUER.issue_cert("mx.ta.signed.test", "mx.test")
CHAIN = [x509.load_pem_x509_certificate(p.bytes()) for p in SHOWN.cert_chain_pems]


def digest(certificate, selector):
    data = certificate.public_bytes(Encoding.DER)
    if selector:
        data = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    return hashlib.sha256(data).hexdigest()


OWN = f"3 1 1 {digest(CHAIN[0], 1)}"
TRUSTED = f"2 0 1 {digest(CHAIN[1], 0)}"


def domain(name, port, *records, host=1):
    """A domain with one host, and what that publishes."""
    return [
        f"{name} MX 10 mx.{name}",
        f"mx.{name} A 127.77.1.{host}",
        *(f"_{port}._tcp.mx.{name} TLSA {text}" for text in records),
    ]


@pytest.fixture(scope="module")
def mx_port():
    with held_port("127.77.1.1") as port:
        yield port


@pytest.fixture(scope="module")
def signed(tmp_path_factory, mx_port):
    """Zones, of which ``signed.test`` is."""
    records = [
        *domain("ee", mx_port, OWN),
        *domain("ta", mx_port, TRUSTED),
        *domain("wrong", mx_port, f"3 1 1 {ZEROS}"),
        *domain("rollover", mx_port, f"3 1 1 {ZEROS}", OWN),
        *domain("unusable", mx_port, f"1 1 1 {ZEROS}"),
        *domain("none", mx_port),
        *domain("forged", mx_port, f"3 1 1 {ONES}"),
        *domain("both", mx_port, OWN),
        '_mta-sts.both TXT "v=STSv1; id=1;"',
        "mta-sts.both A 127.77.1.9",
        # The first host is none that DNS would know again.
        "order MX 10 mx.wrong",
        "order MX 20 mx.second",
        "mx.second A 127.77.1.2",
        f"_{mx_port}._tcp.mx.second TLSA {OWN}",
        "alias MX 10 mx.alias",
        "mx.alias CNAME mx.ee",
        f"_{mx_port}._tcp.implicit TLSA {OWN}",
        "implicit A 127.77.1.1",
        "null MX 0 .",
        "mixed MX 10 mx.elsewhere.plain.test.",
    ]
    plain = [*domain("elsewhere", mx_port, f"3 1 1 {ZEROS}")]
    folder = tmp_path_factory.mktemp("signed") / "dns"
    with SignedDns(
        folder,
        signed={"signed.test": records},
        plain={"plain.test": plain},
        forged=[(ONES, ONES[:-1] + "2")],
    ) as running:
        yield running


@pytest.fixture
def dane(network: Network, signed):
    network.dns = signed.address
    yield network
    network.close()


def send(dane, name, **changes):
    domain = f"{name}.signed.test" if "." not in name else name
    return dane.send(domain=domain, recipient=f"bob@{domain}", **changes)


@pytest.mark.parametrize("name", ["ee", "ta", "rollover", "alias", "implicit"])
def test_who_shows_what_dns_names_has_the_mail(dane, an_mx, name):
    """Though no authority knows its certificate."""
    mx = an_mx(1, serve(SHOWN))
    sent = send(dane, name)

    assert sent.reasons.tls[::3] == ("dane", "dane")
    assert len(mx.messages) == 1


@pytest.mark.parametrize("certificate", [SHOWN, None], ids=["another", "in clear"])
def test_who_does_not_has_none(dane, an_mx, certificate):
    """Neither encrypted nor in clear; it is for later."""
    mx = an_mx(1, serve(certificate) if certificate else None)

    with pytest.raises(TransientFailure, match=r"4\.7\.[45]") as failure:
        send(dane, "wrong")

    assert failure.value.category == "policy"
    assert failure.value.reasons.tls.policy == "dane"
    assert mx.messages == []


def test_the_next_host_has_it(dane, an_mx):
    """In the order of the MX records; each by what it publishes itself."""
    first, second = an_mx(1, serve(SHOWN)), an_mx(2, serve(SHOWN))
    sent = send(dane, "order")

    assert sent.host == "mx.second.signed.test"
    assert (first.messages, len(second.messages)) == ([], 1)


@pytest.mark.parametrize("encrypts", [True, False])
def test_records_that_nobody_can_use_demand_tls(dane, an_mx, encrypts):
    """With whoever it is (RFC 7672 §2.2)."""
    mx = an_mx(1, serve(SHOWN) if encrypts else None)
    if not encrypts:
        with pytest.raises(TransientFailure, match=r"450 4\.7\.4"):
            send(dane, "unusable")
        assert mx.messages == []
        return
    sent = send(dane, "unusable")

    assert sent.reasons.tls[::3] == ("dane", "no")


def test_without_records_tls_is_a_wish(dane, an_mx):
    """A zone that is signed is no promise of TLS."""
    mx = an_mx(1, None)
    send(dane, "none")

    assert len(mx.messages) == 1


@pytest.mark.parametrize("name", ["elsewhere.plain.test", "mixed"])
def test_what_nobody_has_signed_does_not_count(dane, an_mx, name):
    """The records are wrong, but they could be anybody's."""
    an_mx(1, serve(SHOWN))
    sent = send(dane, name)

    assert sent.reasons.tls[::3] == ("default", "no")


def test_forged_records_keep_the_mail_back(dane, an_mx):
    """Unbound says SERVFAIL, which is not "none" (§2.1.2)."""
    mx = an_mx(1, serve(SHOWN))

    with pytest.raises(TransientFailure, match=r"TLSA of .* not found out") as failure:
        send(dane, "forged")

    assert failure.value.category == "dns"
    assert mx.sessions == []


def test_who_trusts_no_nameserver_has_no_dane(dane, an_mx):
    """``dns.trust_ad``: what is validated is told to nobody."""
    an_mx(1, serve(SHOWN))
    dane.dns_more = ", trust_ad: false"
    sent = send(dane, "wrong")

    assert sent.reasons.tls[::3] == ("default", "no")


def test_dane_goes_before_mta_sts(dane, an_mx, authority):
    """What the policy says would not fit (RFC 8461 §2)."""
    with WebServer("127.77.1.9", serve(authority.issue_cert("x.test"))) as web:
        dane.web_port = web.port
        an_mx(1, serve(SHOWN))
        sent = send(dane, "both")

    assert sent.reasons.tls[::3] == ("dane", "dane")


def test_requiretls_passes(dane, an_mx):
    """A host that DNS vouches for, and that offers it."""
    mx = an_mx(1, serve(SHOWN), "REQUIRETLS")
    send(dane, "ee", wishes=Wishes(require_tls=True))

    assert "MAIL FROM:<ada@a.test> REQUIRETLS" in mx.sessions[0].heard


def test_null_mx_is_the_last_word(dane):
    """Signed or not."""
    with pytest.raises(PermanentFailure, match=r"556 5\.1\.10"):
        send(dane, "null")
