"""What is kept of a password, and how a password is checked against it.

An argon2id hash, for mechanisms that send the password, and the keys that SCRAM
checks proofs with. Whoever reads them does not know the password, but can try
guesses, and tries them on SCRAM's keys, which are cheaper. All of it is computing:
some 50 ms of a core and 64 MiB each time, so keep it off an event loop.
"""

import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError, VerifyMismatchError

from mta.errors import MtaError
from mta.smtp.scram import (
    DEFAULT_ITERATIONS,
    SALT_BYTES,
    ScramKeys,
    make_keys,
    prepare,
)

MIN_PASSWORD_CHARS: Final = 8  # NIST SP 800-63B §5.1.1.1

_HASHER = PasswordHasher()


class CannotVerify(MtaError):
    """A password was not checked: no memory, or what is kept is damaged."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is kept of a password.

    Attributes:
        hash: As argon2 writes it; empty: no password is right.
        scram: None: the user cannot log in by SCRAM.
    """

    hash: str = field(default="", repr=False)
    scram: ScramKeys | None = field(default=None, repr=False)


def check_password(password: str) -> str:
    """Prepare a new password.

    Raises:
        ValueError: It is too short, or cannot be one; does not hold it.
    """
    prepared = prepare(password)
    if len(prepared) < MIN_PASSWORD_CHARS:
        raise ValueError(f"a password has at least {MIN_PASSWORD_CHARS} characters")
    return prepared


def make_secrets(password: str) -> Secrets:
    """Compute what to keep of a password.

    Raises:
        ValueError: It cannot be one.
    """
    keys = make_keys(password, salt=secrets.token_bytes(SALT_BYTES))
    return Secrets(_HASHER.hash(prepare(password)), keys)


def verify(kept: Secrets, password: str) -> bool:
    """Whether this is the password, prepared; takes as long if there is none.

    Raises:
        CannotVerify: Nobody knows.
    """
    try:
        return _HASHER.verify(kept.hash or _DECOY, password)
    except VerifyMismatchError:
        return False
    except (VerificationError, ValueError) as error:
        raise CannotVerify(f"password not checked: {type(error).__name__}") from error


def needs_renewal(kept: Secrets) -> bool:
    """What is kept is not what would be kept of the password today."""
    keys = kept.scram
    if keys is None or keys.iterations != DEFAULT_ITERATIONS:
        return True
    return _HASHER.check_needs_rehash(kept.hash)


def _make_decoy() -> str:
    """A hash of no password, that takes as long to check as one of today."""
    salt, digest = (
        b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (_HASHER.salt_len, _HASHER.hash_len)
    )
    costs = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


_DECOY = _make_decoy()
