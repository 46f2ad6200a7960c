"""Private keys that sign mail: from text to a value that signs and shows nothing.

RFC 6376 §3.3 (RSA), RFC 8301 (no SHA-1, no RSA below 1024 bits), RFC 8463 (Ed25519).
The messages of ``parse_signing_key`` are predicates, as in ``values.py``, and none
holds a part of the key.
"""

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

Algorithm: TypeAlias = Literal["rsa-sha256", "ed25519-sha256"]
RSA: Final[Algorithm] = "rsa-sha256"
ED25519: Final[Algorithm] = "ed25519-sha256"

MIN_RSA_BITS: Final = 1024  # RFC 8301 §3.2: verifiers take no shorter one for valid
GOOD_RSA_BITS: Final = 2048  # likewise: signers should have at least that
MAX_RSA_BITS: Final = 4096  # likewise: verifiers need not know longer ones
_ED25519_BYTES: Final = 32

_PEM_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")

_NO_KEY: Final = "is not a private key in PEM"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key.

    Attributes:
        bits: Of an RSA key, its length; 256 of any other.
        public: The public half as a DNS record has it, in base64.
    """

    algorithm: Algorithm
    bits: int
    public: str
    _sign: Callable[[bytes], bytes] = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        """Sign the SHA-256 of ``data``."""
        return self._sign(data)

    @property
    def is_short(self) -> bool:
        """It may be used, and should not be."""
        return self.algorithm == RSA and self.bits < GOOD_RSA_BITS


def parse_signing_key(text: bytes, *, is_trusted: bool = False) -> SigningKey:
    r"""Read a key: PEM, its base64 alone, or the 32 octets of Ed25519 in base64.

    ``\n`` in two characters stands for a line end: so it is that PEM comes out of
    many an environment.

    Args:
        is_trusted: It was checked before, or is our own. To check the primes of an
            RSA key takes a tenth of a second.

    Raises:
        ValueError: It is none that can sign mail.
    """
    text = text.replace(b"\\n", b"\n").strip()
    try:
        private = _load(text, is_trusted=is_trusted)
    except TypeError:
        message = "is protected by a passphrase, and nobody is there to type it"
        raise ValueError(f"{message}; store it without") from None
    except UnsupportedAlgorithm:
        raise ValueError("is neither an RSA nor an Ed25519 key") from None
    if isinstance(private, Ed25519PrivateKey):
        return _ed25519(private)
    if isinstance(private, RSAPrivateKey):
        return _rsa(private)
    raise ValueError("is neither an RSA nor an Ed25519 key")


def to_pem(private: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """Write a key as PKCS #8, the one form that holds either."""
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load(text: bytes, *, is_trusted: bool) -> object:
    label = _PEM_LABEL.search(text)
    if label is not None and b"PRIVATE KEY" not in label[1]:
        what = label[1].decode("ascii").lower()
        raise ValueError(f"is a {what} and not a private key")
    try:
        if label is not None:
            return load_pem_private_key(
                text, None, unsafe_skip_rsa_key_validation=is_trusted
            )
        octets = b64decode(b"".join(text.split()), validate=True)
        if len(octets) == _ED25519_BYTES:
            return Ed25519PrivateKey.from_private_bytes(octets)
        return load_der_private_key(
            octets, None, unsafe_skip_rsa_key_validation=is_trusted
        )
    except (ValueError, binascii.Error):
        raise ValueError(_NO_KEY if label is None else "is a damaged key") from None


def _rsa(private: RSAPrivateKey) -> SigningKey:
    bits = private.key_size
    if bits < MIN_RSA_BITS:
        raise ValueError(
            f"has {bits} bits; an RSA key has {GOOD_RSA_BITS}, "
            f"and below {MIN_RSA_BITS} nobody accepts it"
        )
    if bits > MAX_RSA_BITS:
        raise ValueError(
            f"has {bits} bits; who checks signatures need not know RSA keys "
            f"of more than {MAX_RSA_BITS}"
        )
    public = private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    how, hashed = padding.PKCS1v15(), hashes.SHA256()
    return SigningKey(
        RSA, bits, _text(public), lambda data: private.sign(data, how, hashed)
    )


def _ed25519(private: Ed25519PrivateKey) -> SigningKey:
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return SigningKey(
        ED25519,
        8 * _ED25519_BYTES,
        _text(public),
        # RFC 8463 §3: PureEdDSA over the hash, not over the message.
        lambda data: private.sign(hashlib.sha256(data).digest()),
    )


def _text(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
