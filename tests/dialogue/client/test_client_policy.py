"""TLS that is demanded: of whom, and what becomes of who does not do it."""

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.delivery import Wishes
from mta.errors import PermanentFailure
from mta.policy.dane import Tlsa
from mta.policy.tls import Check, HostPolicy
from mta.policy.tls_results import TlsResult
from mta.relay.failures import NoTls, TlsFailed
from mta.relay.fuse import Fuse
from mta.relay.guard import guard_for, make_context
from mta.smtp.client import Transaction

MAIL = Transaction(reverse_path="ada@a.test", forward_path="bob@b.test")
SECRET = Transaction(
    reverse_path="ada@a.test",
    forward_path="bob@b.test",
    wishes=Wishes(require_tls=True),
)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def content(hop):
    return [b"x\r\n"]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority, tmp_path_factory):
    """Contexts that trust this authority alone."""
    path = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return partial(make_context, authorities=str(path))


def server(certificate, *, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if version is not None:
        context.maximum_version = version
    return context


def leaf_of(certificate):
    pem = certificate.cert_chain_pems[0].bytes()
    return x509.load_pem_x509_certificate(pem)


def ee_record(certificate):
    key = leaf_of(certificate).public_key()
    data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Tlsa(3, 1, 1, hashlib.sha256(data).digest())


def a_guard(policy, make=make_context):
    return guard_for(policy, policy.ladder[0], "mx.test", make=make)


REQUIRE = HostPolicy(by="zones.z.tls", is_required=True)
VERIFY = HostPolicy(by="zones.z.tls", is_required=True, check=Check.NAME)


def by_dane(*records, names=("mx.test",)):
    return HostPolicy(
        by="dane", is_required=True, check=Check.DANE, tlsa=records, names=names
    )


def encrypt(peer, context, *extensions):
    """Do STARTTLS as server, and EHLO again."""
    peer.greet("STARTTLS")
    peer.hear("STARTTLS")
    peer.say("220 go")
    peer.start_tls(context)
    peer.hear("EHLO client.test")
    lines = ["mx.test", *extensions]
    peer.say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")


@pytest.mark.parametrize("offered", [True, False], ids=["refused", "not offered"])
@pytest.mark.parametrize("policy", [REQUIRE, VERIFY, by_dane(Tlsa(3, 1, 1, b""))])
def test_who_does_no_tls_where_it_is_demanded_gets_no_mail(against, offered, policy):
    """For later, and for the next host: somebody may have taken the offer away."""

    def act(peer):
        if not offered:
            peer.greet("PIPELINING")
        else:
            peer.greet("STARTTLS")
            peer.hear("STARTTLS")
            peer.say("454 4.7.0 not now")
        peer.hear("QUIT")

    session = against(act)

    with pytest.raises(NoTls, match=r"450 4\.7\.4 TLS is required") as failure:
        session.open(a_guard(policy))

    session.close()
    assert failure.value.category == "policy"
    assert failure.value.is_next_host_worth_trying


@pytest.mark.parametrize(
    ("names", "options", "result"),
    [
        pytest.param(["mx.test"], {}, None, id="right"),
        pytest.param(
            ["other.test"], {}, TlsResult.CERTIFICATE_HOST_MISMATCH, id="name"
        ),
        pytest.param(
            ["mx.test"],
            {"not_before": LONG_AGO, "not_after": LONG_AGO + timedelta(days=1)},
            TlsResult.CERTIFICATE_EXPIRED,
            id="expired",
        ),
        pytest.param(
            [], {"common_name": "mx.test"}, TlsResult.CERTIFICATE_HOST_MISMATCH, id="CN"
        ),
    ],
)
def test_a_certificate_is_verified_by_the_hosts_name(
    against, authority, trusting, names, options, result
):
    """Nothing is said to who has another; SAN alone counts (RFC 8461 §4.2)."""
    context = server(authority.issue_cert(*names, **options))

    def act(peer):
        try:
            encrypt(peer, context, "PIPELINING")
        except ssl.SSLError:
            return
        peer.hear("QUIT")

    session = against(act)
    if result is None:
        session.open(a_guard(VERIFY, trusting))
        assert session.verified is Check.NAME
        return

    with pytest.raises(TlsFailed, match=r"454 4\.7\.5") as failure:
        session.open(a_guard(VERIFY, trusting))

    assert failure.value.result is result
    assert failure.value.is_untrusted
    assert failure.value.category == "policy"
    assert not session.is_usable


def test_a_certificate_of_nobody_is_not_trusted(against, server_tls, trusting):
    """It says the right name, but it says so itself."""

    def act(peer):
        with pytest.raises(ssl.SSLError):
            encrypt(peer, server_tls)

    session = against(act)

    with pytest.raises(TlsFailed) as failure:
        session.open(a_guard(VERIFY, trusting))

    assert failure.value.result is TlsResult.CERTIFICATE_NOT_TRUSTED


def test_required_tls_is_with_anybody(against, server_tls):
    """Who must only encrypt need not be anybody."""

    def act(peer):
        encrypt(peer, server_tls)
        peer.hear("QUIT")

    session = against(act)
    session.open(a_guard(REQUIRE))

    assert (session.tls, session.verified) == ("TLSv1.3", Check.NO)


@pytest.mark.parametrize("is_right", [True, False])
def test_dane_knows_a_certificate_that_no_authority_does(against, is_right):
    """By DNS; nothing more is said to who has another."""
    shown, other = (trustme.CA().issue_cert("x.test") for _ in range(2))
    record = ee_record(shown if is_right else other)
    heard = []

    def act(peer):
        peer.greet("STARTTLS")
        peer.hear("STARTTLS")
        peer.say("220 go")
        peer.start_tls(server(shown))
        heard.append(peer.read_line())
        if heard[0]:
            peer.say("250 mx.test")
            peer.hear("QUIT")

    session = against(act)
    if is_right:
        session.open(a_guard(by_dane(record)))
        assert session.verified is Check.DANE
        return

    with pytest.raises(TlsFailed, match=r"4\.7\.5.*DANE") as failure:
        session.open(a_guard(by_dane(record)))
    session.close()

    assert failure.value.category == "policy"
    assert "EHLO client.test" not in heard


def test_dane_finds_the_issuer_in_the_chain_that_is_shown(against):
    """Usage 2 needs all of the server's certificates, not its own alone."""
    issuer = trustme.CA().create_child_ca()
    shown = issuer.issue_cert("mx.test")
    chain = [
        x509.load_pem_x509_certificate(pem.bytes()) for pem in shown.cert_chain_pems
    ]
    data = chain[1].public_bytes(Encoding.DER)
    record = Tlsa(2, 0, 1, hashlib.sha256(data).digest())

    def act(peer):
        encrypt(peer, server(shown))
        peer.hear("QUIT")

    session = against(act)
    session.open(a_guard(by_dane(record)))

    assert session.verified is Check.DANE


def test_dane_asks_for_the_name_that_the_records_are_of(against, authority):
    """SNI is the TLSA base domain (RFC 7672 §8.1), not what led there."""
    shown = authority.issue_cert("mx.test")
    context, asked = server(shown), []
    context.sni_callback = lambda sock, name, ctx: asked.append(name)

    def act(peer):
        encrypt(peer, context)
        peer.hear("QUIT")

    session = against(act)
    session.open(a_guard(by_dane(ee_record(shown), names=("base.test", "mx.test"))))

    assert asked == ["base.test"]


def test_below_the_minimum_there_is_no_tls(against, authority):
    """The operator may want more than 1.2."""
    context = server(authority.issue_cert("mx.test"), version=ssl.TLSVersion.TLSv1_2)
    policy = HostPolicy(by="zones.z.tls", is_required=True, minimum="1.3")

    def act(peer):
        with pytest.raises(ssl.SSLError):
            encrypt(peer, context)

    session = against(act)

    with pytest.raises(TlsFailed) as failure:
        session.open(a_guard(policy))

    assert failure.value.result is TlsResult.VALIDATION_FAILURE
    assert not failure.value.is_untrusted


def test_requiretls_is_passed_on_to_who_can_be_trusted(against, authority, trusting):
    """RFC 8689 §4.2.1."""

    def act(peer):
        encrypt(peer, server(authority.issue_cert("mx.test")), "REQUIRETLS")
        peer.hear("MAIL FROM:<ada@a.test> REQUIRETLS")
        peer.say("250 ok")
        peer.hear("RCPT TO:<bob@b.test>")
        peer.say("250 ok")
        peer.hear("DATA")
        peer.say("354 go")
        peer.hear_content()
        peer.say("250 2.0.0 taken")
        peer.hear("QUIT")

    session = against(act)
    session.open(a_guard(VERIFY, trusting))

    assert session.transact(SECRET, content, Fuse()).code == 250


@pytest.mark.parametrize(
    ("policy", "extensions"),
    [
        pytest.param(VERIFY, ["PIPELINING"], id="not offered"),
        pytest.param(REQUIRE, ["REQUIRETLS"], id="not verified"),
    ],
)
def test_requiretls_goes_to_nobody_else(
    against, authority, trusting, policy, extensions
):
    """For good, unless another host does better; other mail may go on here."""

    def act(peer):
        encrypt(peer, server(authority.issue_cert("mx.test")), *extensions)
        if "PIPELINING" in extensions:
            peer.take()
        peer.hear("QUIT")

    session = against(act)
    session.open(a_guard(policy, trusting))

    with pytest.raises(PermanentFailure, match=r"550 5\.7\.30") as failure:
        session.transact(SECRET, content, Fuse())

    assert failure.value.is_next_host_worth_trying
    if "PIPELINING" in extensions:
        assert session.transact(MAIL, content, Fuse()).code == 250
