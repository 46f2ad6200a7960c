"""Certificates against what DNS publishes of them."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mta.policy.dane import Mismatch, Tlsa, find_match, usable

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
NAMES = ["mx.d.test", "d.test"]
AUTHORITY = trustme.CA()
BELOW = AUTHORITY.create_child_ca()
ISSUED = BELOW.issue_cert("mx.d.test")


def der(pem):
    return x509.load_pem_x509_certificate(pem.bytes()).public_bytes(Encoding.DER)


ROOT = der(AUTHORITY.cert_pem)
CHAIN = [*(der(pem) for pem in ISSUED.cert_chain_pems), ROOT]


def public_key(certificate):
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def record(usage, selector, matching, certificate):
    data = certificate if selector == 0 else public_key(certificate)
    digest = {0: bytes, 1: lambda d: hashlib.sha256(d).digest()}
    digest[2] = lambda d: hashlib.sha512(d).digest()
    return Tlsa(usage, selector, matching, digest[matching](data))


def make_key():
    return ec.generate_private_key(ec.SECP256R1())


def make(subject, issuer, key, signer, *extensions, ends=NOW + DAY):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - 2 * DAY)
        .not_valid_after(ends)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def named(*names):
    return x509.SubjectAlternativeName([x509.DNSName(name) for name in names])


ISSUER = x509.BasicConstraints(ca=True, path_length=None)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_an_end_entity_is_known_by_its_certificate_or_key(selector, matching):
    """Usage 3, whole or as a digest."""
    found = record(3, selector, matching, CHAIN[0])

    assert find_match([found], CHAIN, NAMES, NOW) == found


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("issuer", [1, 2], ids=["the one below", "the root"])
def test_a_trust_anchor_vouches_for_what_it_has_issued(selector, matching, issuer):
    """Usage 2."""
    found = record(2, selector, matching, CHAIN[issuer])

    assert find_match([found], CHAIN, NAMES, NOW) == found


def test_neither_name_nor_date_of_an_end_entity_counts():
    """RFC 7672 §3.1.1."""
    key = make_key()
    old = make("x", "x", key, key, named("other.test"), ends=NOW - DAY)

    assert find_match([record(3, 1, 1, old)], [old], NAMES, NOW)


def test_a_certificate_below_a_trust_anchor_bears_one_of_the_names():
    """§3.2.2: the host's, or the domain's."""
    found = record(2, 0, 1, CHAIN[1])
    other = [der(pem) for pem in BELOW.issue_cert("other.test").cert_chain_pems]
    by_domain = [der(pem) for pem in BELOW.issue_cert("d.test").cert_chain_pems]

    assert find_match([found], by_domain, NAMES, NOW)
    with pytest.raises(Mismatch, match=r"not valid for d\.test"):
        find_match([found], other, NAMES, NOW)


def test_a_certificate_below_a_trust_anchor_must_not_be_over():
    """As with any authority."""
    with pytest.raises(Mismatch):
        find_match([record(2, 0, 1, ROOT)], CHAIN, NAMES, NOW + 400_000 * DAY)


def test_a_trust_anchor_that_the_record_holds_need_not_be_shown():
    """RFC 7671 §5.2.1."""
    found = record(2, 0, 0, ROOT)

    assert find_match([found], CHAIN[:2], NAMES, NOW) == found


def test_a_trust_anchor_that_is_not_shown_is_unknown():
    """By its digest alone, nobody can be checked."""
    with pytest.raises(Mismatch):
        find_match([record(2, 0, 1, ROOT)], CHAIN[:2], NAMES, NOW)


def test_an_anchor_of_ones_own_making_will_do():
    """No authority of the Web's: no identifiers of keys, no usages."""
    key, own = make_key(), make_key()
    anchor = make("own", "own", key, key, ISSUER)
    leaf = make("mx", "own", own, key, named("mx.d.test"))

    assert find_match([record(2, 0, 1, anchor)], [leaf, anchor], NAMES, NOW)


def test_who_only_shows_the_anchor_is_not_believed():
    """Anybody can send along a certificate of another's."""
    key, evil = make_key(), make_key()
    anchor = make("own", "own", key, key, ISSUER)
    forged = make("mx", "own", evil, evil, named("mx.d.test"))

    with pytest.raises(Mismatch):
        find_match([record(2, 0, 1, anchor)], [forged, anchor], NAMES, NOW)


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param((), id="says nothing of it"),
        pytest.param((x509.BasicConstraints(False, None),), id="is none"),
    ],
)
def test_who_is_no_issuer_vouches_for_nobody(extensions):
    """Else every certificate could issue others."""
    key, own = make_key(), make_key()
    anchor = make("own", "own", key, key, *extensions)
    leaf = make("mx", "own", own, key, named("mx.d.test"))

    with pytest.raises(Mismatch):
        find_match([record(2, 0, 1, anchor)], [leaf, anchor], NAMES, NOW)


def test_a_clients_certificate_is_no_servers():
    """If it says what it is for."""
    key, own = make_key(), make_key()
    anchor = make("own", "own", key, key, ISSUER)
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    leaf = make("mx", "own", own, key, named("mx.d.test"), purpose)

    with pytest.raises(Mismatch):
        find_match([record(2, 0, 1, anchor)], [leaf, anchor], NAMES, NOW)


def test_a_server_may_be_its_own_anchor():
    """A certificate that signed itself, with usage 2."""
    key = make_key()
    own = make("mx", "mx", key, key, named("mx.d.test"))

    assert find_match([record(2, 0, 1, own)], [own], NAMES, NOW)


def test_while_a_key_is_changed_either_is_right():
    """A rollover: the old and the new one are published together."""
    key = make_key()
    new = make("mx", "mx", key, key, named("mx.d.test"))
    records = [record(3, 1, 1, CHAIN[0]), record(3, 1, 1, new)]

    assert find_match(records, CHAIN, NAMES, NOW) == records[0]
    assert find_match(records, [new], NAMES, NOW) == records[1]


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param([], id="none"),
        pytest.param([b"no certificate"], id="junk"),
        pytest.param(CHAIN[1:], id="another one"),
    ],
)
def test_who_is_not_known_is_refused(chain):
    """Whatever it shows."""
    with pytest.raises(Mismatch):
        find_match([record(3, 1, 1, CHAIN[0])], chain, NAMES, NOW)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(Tlsa(0, 1, 1, bytes(32)), id="PKIX-TA"),
        pytest.param(Tlsa(1, 1, 1, bytes(32)), id="PKIX-EE"),
        pytest.param(Tlsa(255, 1, 1, bytes(32)), id="private usage"),
        pytest.param(Tlsa(3, 2, 1, bytes(32)), id="selector"),
        pytest.param(Tlsa(3, 1, 3, bytes(32)), id="matching type"),
        pytest.param(Tlsa(3, 1, 1, bytes(31)), id="short SHA-256"),
        pytest.param(Tlsa(3, 1, 2, bytes(32)), id="short SHA-512"),
        pytest.param(Tlsa(3, 0, 0, b"junk"), id="no certificate"),
        pytest.param(Tlsa(3, 1, 0, b"junk"), id="no key"),
    ],
)
def test_what_cannot_be_matched_is_left_out(given):
    """RFC 7672 §3.1.3: such records alone mean TLS with anybody."""
    good = record(3, 1, 1, CHAIN[0])

    assert usable([given]) == ()
    assert usable([given, good]) == (good,)


def test_of_several_digests_the_strongest_counts():
    """RFC 7671 §9, of each usage and selector; the thing itself always does."""
    one, two = record(3, 1, 1, CHAIN[0]), record(3, 1, 2, CHAIN[0])
    whole, other = record(3, 1, 0, CHAIN[0]), record(2, 1, 1, ROOT)

    assert set(usable([one, two, whole, other])) == {two, whole, other}
