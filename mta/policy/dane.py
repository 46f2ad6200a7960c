"""Whether a certificate is one that a host has published in DNS (DANE).

The records come from the resolver, which knows whether they may be relied on; the
chain is what the server has shown, as octets. Nothing here asks or dials.

RFC 6698 §2.1 (TLSA records), RFC 7671 (how they are used; §9, of several digests the
strongest counts), RFC 7672 §3 (what of it holds for SMTP).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

TRUST_ANCHOR, END_ENTITY = 2, 3  # usages; 0 and 1 are not for SMTP (§3.1.3)
WHOLE, PUBLIC_KEY = 0, 1  # selectors
FULL, SHA256, SHA512 = 0, 1, 2  # matching types

MAX_CHAIN = 10  # certificates of a server that are looked at
_DIGEST_BYTES = {SHA256: 32, SHA512: 64}
# What cryptography, or a key of an odd kind, makes of octets from strangers.
_BAD_OCTETS = (ValueError, TypeError, x509.UnsupportedGeneralNameType)


class Tlsa(NamedTuple):
    """One TLSA record."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


class Mismatch(ValueError):
    """The server is none that the records speak of; says why not."""


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """Leave out what cannot, or need not, be matched (RFC 7672 §3.1)."""
    kept = [record for record in dict.fromkeys(records) if _is_usable(record)]
    strongest: dict[tuple[int, int], int] = {}
    for usage, selector, matching, _ in kept:
        strongest[usage, selector] = max(matching, strongest.get((usage, selector), 0))
    return tuple(
        record
        for record in kept
        # RFC 7671 §9; the data itself is as good as any digest of it.
        if record.matching in (FULL, strongest[record.usage, record.selector])
    )


def find_match(
    records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime
) -> Tlsa:
    """Return the record by which a server is the one it should be.

    Args:
        records: Usable ones.
        chain: The server's certificates in DER, its own first.
        names: One of them its certificate must bear, if it is known by its issuer.

    Raises:
        Mismatch: There is none.
    """
    try:
        certificates = [
            x509.load_der_x509_certificate(der) for der in chain[:MAX_CHAIN]
        ]
    except _BAD_OCTETS as error:
        raise Mismatch("a certificate cannot be read") from error
    if not certificates:
        raise Mismatch("the server has no certificate")
    why = "no certificate of the server is one that DNS names"
    for record in records:
        if record.usage == END_ENTITY:
            # RFC 7672 §3.1.1: neither names nor dates count.
            if _matches(record, certificates[0]):
                return record
            continue
        for anchor in _anchors(record, certificates):
            problem = _why_not(anchor, certificates, names, now)
            if not problem:
                return record
            why = problem
    raise Mismatch(why)


def _is_usable(record: Tlsa) -> bool:
    if record.usage not in (TRUST_ANCHOR, END_ENTITY):
        return False
    if record.selector not in (WHOLE, PUBLIC_KEY):
        return False
    if record.matching == FULL:
        return _can_be_read(record)
    return len(record.data) == _DIGEST_BYTES.get(record.matching)


def _can_be_read(record: Tlsa) -> bool:
    try:
        if record.selector == WHOLE:
            x509.load_der_x509_certificate(record.data)
        else:
            load_der_public_key(record.data)
    except Exception:  # noqa: BLE001 - a key of an unknown kind is as good as none
        return False
    return True


def _matches(record: Tlsa, certificate: x509.Certificate) -> bool:
    try:
        data = _selected(record.selector, certificate)
    except Exception:  # noqa: BLE001 - as above
        return False
    if record.matching == SHA256:
        data = hashlib.sha256(data).digest()
    elif record.matching == SHA512:
        data = hashlib.sha512(data).digest()
    return data == record.data


def _selected(selector: int, certificate: x509.Certificate) -> bytes:
    if selector == WHOLE:
        return certificate.public_bytes(Encoding.DER)
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _anchors(
    record: Tlsa, certificates: Sequence[x509.Certificate]
) -> Iterator[x509.Certificate]:
    """Find the certificates that a record has trusted as issuers.

    One that the record holds itself need not be shown by the server (RFC 7671 §5.2.1).
    """
    yield from (known for known in certificates if _matches(record, known))
    if (record.selector, record.matching) == (WHOLE, FULL):
        yield x509.load_der_x509_certificate(record.data)


def _why_not(
    anchor: x509.Certificate,
    certificates: Sequence[x509.Certificate],
    names: Sequence[str],
    now: datetime,
) -> str:
    """Say why no path leads from a trusted issuer to the server; empty if one does."""
    builder = (
        PolicyBuilder()
        .store(Store([anchor]))
        .time(now)
        .extension_policies(ca_policy=_ISSUERS, ee_policy=_SERVERS)
    )
    leaf, *others = certificates
    problem = "no name to look for"
    for name in names:
        try:
            verifier = builder.build_server_verifier(x509.DNSName(name))
            verifier.verify(leaf, others)
        except (VerificationError, *_BAD_OCTETS) as error:
            # What follows names the certificate at length.
            text = str(error).partition(" (encountered")[0]
            problem = f"not valid for {name}: {text[:150]}"
        else:
            return ""
    return problem


def _must_be_issuer(
    policy: Policy, certificate: x509.Certificate, found: x509.BasicConstraints
) -> None:
    if not found.ca:
        raise ValueError("an issuer is none")


def _must_sign(
    policy: Policy, certificate: x509.Certificate, found: x509.KeyUsage | None
) -> None:
    if found is not None and not found.key_cert_sign:
        raise ValueError("an issuer must not sign certificates")


def _must_serve(
    policy: Policy,
    certificate: x509.Certificate,
    found: x509.ExtendedKeyUsage | None,
) -> None:
    if found is not None and ExtendedKeyUsageOID.SERVER_AUTH not in found:
        raise ValueError("not a server's certificate")


# RFC 5280 §6.1, but none of what the Web's own rules add: whoever publishes an issuer
# of his own makes certificates by his own lights.
_ISSUERS = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _must_be_issuer)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _must_sign)
)
_SERVERS = (
    ExtensionPolicy.permit_all()
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _must_serve)
)
