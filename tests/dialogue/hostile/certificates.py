"""What servers show: certificates that are right, and ways in which they are not."""

import functools
import hashlib
import ssl
import warnings
from datetime import UTC, datetime, timedelta

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@functools.cache
def authority() -> trustme.CA:
    """Whom our relay trusts."""
    return trustme.CA()


@functools.cache
def of(*names: str, is_trusted: bool, is_expired: bool) -> trustme.LeafCert:
    """A certificate for a host."""
    issuer = authority() if is_trusted else trustme.CA()
    if not is_expired:
        return issuer.issue_cert(*names)
    now = datetime.now(UTC)
    return issuer.issue_cert(
        *names, not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
    )


@functools.cache
def tls_of(
    *names: str, is_trusted: bool = True, is_expired: bool = False
) -> ssl.SSLContext:
    """The TLS of a server that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    of(*names, is_trusted=is_trusted, is_expired=is_expired).configure_cert(context)
    return context


@functools.cache
def old_tls() -> ssl.SSLContext:
    """A server that never learned more than TLS 1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nobody should do so
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.minimum_version = ssl.TLSVersion.TLSv1
    of("mx1.test", is_trusted=True, is_expired=False).configure_cert(context)
    return context


def tlsa_of(name: str, *, is_expired: bool = False) -> str:
    """The record of a host that DANE is right for: 3 1 1."""
    shown = of(name, is_trusted=True, is_expired=is_expired)
    (pem,) = shown.cert_chain_pems[:1]
    key = x509.load_pem_x509_certificate(pem.bytes()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"3 1 1 {hashlib.sha256(spki).hexdigest()}"
