"""Logins as exchanges of octets: SASL, the server's side.

``parse_auth()`` and ``decode_response()`` read the client's lines; an exchange takes
what they decoded and says what comes next::

    begin ──► Challenge ──► respond ──► ... ──► credentials ──► conclude
                  ▲            │
                  └─ provide ◄─┴─► KeysWanted                  (SCRAM)

Whether credentials are right, except for SCRAM's arithmetic, is for the caller to
find out. Nobody learns here whether a user exists: SCRAM goes on with made-up keys.
User names and passwords come out prepared (SASLprep); tokens are opaque.

We depart from RFC 4616 in two places, as ZoneMTA does in the first: without an
authcid, the authzid is the user. And one user cannot act for another.

RFC 4422, RFC 4954 §4 (AUTH), RFC 4616 (PLAIN), RFC 7628 (OAUTHBEARER), RFC 5802 and
RFC 7677 (SCRAM-SHA-256). LOGIN and XOAUTH2 have no RFC; they are as Microsoft's and
Google's clients speak them.
"""

import re
import secrets
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from mta.smtp.scram import (
    BadResponse,
    ClientFirst,
    ScramKeys,
    choose_name,
    compose_server_first,
    decode_base64,
    decode_text,
    is_proof_of,
    make_decoy,
    parse_client_final,
    parse_client_first,
    parse_gs2_header,
    prepare,
    sign,
)

# Where others look for them, too.
__all__ = ["BadResponse", "prepare"]

MAX_RESPONSE: Final = 12_288  # octets of a base64 line, CRLF included, RFC 4954 §4

# RFC 7628 §3.2.2. What Google's clients expect after XOAUTH2 looks different.
_TOKEN_REFUSED = b'{"status":"invalid_token"}'
_XOAUTH2_REFUSED = b'{"status":"401","schemes":"bearer"}'

_NONCE_BYTES = 18  # 24 characters of base64url, which are all printable
# Another for each process: a decoy's salt changes with it.
_DECOY_SECRET = secrets.token_bytes(32)

_MECHANISM_NAME = re.compile(rb"[0-9A-Za-z_-]{1,20}")  # RFC 4422 §3.1
_BEARER = re.compile(r"(?i:bearer) ++([0-9A-Za-z._~+/-]++=*+)")  # RFC 6750 §2.1

_AUTH_SYNTAX = "Syntax: AUTH mechanism [initial-response]"
_TOO_LONG = "Response too long"
_MALFORMED = "Malformed response"
_NO_BEARER = "No bearer token"


@dataclass(frozen=True, slots=True)
class Password:
    """A name, and a password to check; both prepared."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """An OAuth bearer token.

    Attributes:
        username: Whom the client says it is for; OAUTHBEARER may leave it empty.
        token: Of the characters of RFC 6750 §2.1, not looked into.
    """

    username: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """SCRAM's outcome: the client knows the password, or it does not."""

    username: str
    is_valid: bool


@dataclass(frozen=True, slots=True)
class Challenge:
    """What to send after 334, before base64; may be empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """Look up this user's SCRAM keys, then call ``provide()``."""

    username: str


Credentials: TypeAlias = Password | Token | Proof
Step: TypeAlias = Challenge | KeysWanted | Credentials


class Exchange(Protocol):
    """One login. After ``BadResponse`` it is over.

    Every method raises RuntimeError if it is not its turn.
    """

    def begin(self, initial: bytes | None) -> Step:
        """Take the initial response, or None if there was none.

        Raises:
            BadResponse: It cannot be understood.
        """

    def respond(self, response: bytes) -> Step:
        """Take the response to a challenge.

        Raises:
            BadResponse: It cannot be understood.
        """

    def provide(self, keys: ScramKeys | None) -> Step:
        """Go on after ``KeysWanted``; None if there is no such user."""

    def conclude(self, is_accepted: bool) -> bytes | None:
        """Take the verdict on the credentials.

        Returns:
            A last challenge, before base64, which the client has to answer with
            anything before it hears the reply; None if it hears the reply at once.
        """


def parse_auth(argument: bytes) -> tuple[str, bytes | None]:
    """Read what follows AUTH.

    Returns:
        The mechanism in upper case, whether we have it or not; and the initial
        response, decoded: None if there is none, empty if it was "=".

    Raises:
        BadResponse: It is malformed.
    """
    name, _, initial = argument.strip(b" ").partition(b" ")
    if _MECHANISM_NAME.fullmatch(name) is None:
        raise BadResponse(_AUTH_SYNTAX)
    mechanism = name.decode("ascii").upper()
    if not initial:
        return mechanism, None
    return mechanism, b"" if initial == b"=" else _decode(initial)


def decode_response(line: bytes) -> bytes | None:
    """Decode a line that answers a challenge; None is "*", the client gives up.

    Raises:
        BadResponse: It is too long, or not base64 to the letter.
    """
    return None if line == b"*" else _decode(line)


def start_exchange(mechanism: str) -> Exchange:
    """Start a login by one of ``MECHANISMS``."""
    return _EXCHANGES[mechanism]()


def _decode(encoded: bytes) -> bytes:
    if len(encoded) > MAX_RESPONSE - 2:
        raise BadResponse(_TOO_LONG)
    return decode_base64(encoded)


class _SingleResponse:
    """A mechanism whose client says everything at once, asked or unasked."""

    def __init__(
        self, read: Callable[[bytes], Credentials], refusal: bytes | None = None
    ) -> None:
        self._read = read
        self._refusal = refusal

    def begin(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        return self._read(response)

    def provide(self, keys: ScramKeys | None) -> Step:
        raise RuntimeError("no keys were wanted")

    def conclude(self, is_accepted: bool) -> bytes | None:
        return None if is_accepted else self._refusal


class _Login:
    """LOGIN: the name, then the password; an initial response is the name."""

    def __init__(self) -> None:
        self._username: str | None = None

    def begin(self, initial: bytes | None) -> Step:
        return Challenge(b"Username:") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        text = decode_text(response)
        if self._username is None:
            self._username = choose_name(text)
            return Challenge(b"Password:")
        return Password(self._username, prepare(text))

    def provide(self, keys: ScramKeys | None) -> Step:
        raise RuntimeError("no keys were wanted")

    def conclude(self, is_accepted: bool) -> bytes | None:
        return None


class ScramExchange:
    """SCRAM-SHA-256 without channel binding.

    Args:
        nonce: Our part of the nonce: printable ASCII without a comma. New for every
            exchange, or a proof could be used twice.
        decoy_secret: Where made-up keys come from; at least 32 octets. Processes
            that share it cannot be told to be several.
    """

    def __init__(
        self, nonce: str | None = None, *, decoy_secret: bytes = _DECOY_SECRET
    ) -> None:
        self._own_nonce = nonce or secrets.token_urlsafe(_NONCE_BYTES)
        self._decoy_secret = decoy_secret
        self._first: ClientFirst | None = None
        self._keys: ScramKeys | None = None
        self._server_first = ""
        self._signature: bytes | None = None

    def begin(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        if self._first is None:
            self._first = parse_client_first(response)
            return KeysWanted(self._first.username)
        # One set of keys checks one proof.
        keys, self._keys = self._keys, None
        if keys is None:
            raise RuntimeError("no response was wanted")
        return self._check(self._first, keys, response)

    def provide(self, keys: ScramKeys | None) -> Step:
        first = self._first
        if first is None or self._server_first:
            raise RuntimeError("no keys were wanted")
        self._keys = keys or make_decoy(first.username, self._decoy_secret)
        self._server_first = compose_server_first(self._keys, self._nonce(first))
        return Challenge(self._server_first.encode())

    def conclude(self, is_accepted: bool) -> bytes | None:
        if not is_accepted:
            return None
        if self._signature is None:
            raise RuntimeError("there was no valid proof to accept")
        return b"v=" + b64encode(self._signature)

    def _check(self, first: ClientFirst, keys: ScramKeys, response: bytes) -> Proof:
        final = parse_client_final(
            response, header=first.header, nonce=self._nonce(first)
        )
        said = (first.bare, self._server_first, final.without_proof)
        auth_message = ",".join(said).encode()
        is_valid = is_proof_of(keys, auth_message, final.proof)
        if is_valid:
            self._signature = sign(keys, auth_message)
        return Proof(first.username, is_valid)

    def _nonce(self, first: ClientFirst) -> str:
        return first.nonce + self._own_nonce


def _read_plain(response: bytes) -> Password:
    """RFC 4616 §2: authzid NUL authcid NUL passwd."""
    parts = decode_text(response).split("\0")
    if len(parts) != 3:
        raise BadResponse(_MALFORMED)
    authzid, authcid, password = parts
    return Password(choose_name(authcid, authzid), prepare(password))


def _read_xoauth2(response: bytes) -> Token:
    """``user=ada^Aauth=Bearer token^A^A``."""
    pairs = _parse_pairs(decode_text(response))
    return Token(choose_name(pairs.get("user", "")), _parse_bearer(pairs))


def _read_oauthbearer(response: bytes) -> Token:
    """RFC 7628 §3.1: ``n,a=ada,^Ahost=mail.test^Aauth=Bearer token^A^A``."""
    _, authzid, rest = parse_gs2_header(decode_text(response))
    if not rest.startswith("\1"):
        raise BadResponse(_MALFORMED)
    pairs = _parse_pairs(rest[1:])  # host, port and unknown keys are ignored
    return Token(choose_name(authzid) if authzid else "", _parse_bearer(pairs))


def _parse_pairs(text: str) -> dict[str, str]:
    """Read pairs, each with ^A behind it, up to the ^A that ends them all."""
    if not text.endswith("\1\1"):
        raise BadResponse(_MALFORMED)
    pairs: dict[str, str] = {}
    for pair in text[:-2].split("\1"):
        key, equals, value = pair.partition("=")
        if not key or not equals or key in pairs:
            raise BadResponse(_MALFORMED)
        pairs[key] = value
    return pairs


def _parse_bearer(pairs: dict[str, str]) -> str:
    match = _BEARER.fullmatch(pairs.get("auth", ""))
    if match is None:
        raise BadResponse(_NO_BEARER)
    return match[1]


_EXCHANGES: dict[str, Callable[[], Exchange]] = {
    "SCRAM-SHA-256": ScramExchange,
    "PLAIN": lambda: _SingleResponse(_read_plain),
    "LOGIN": _Login,
    "XOAUTH2": lambda: _SingleResponse(_read_xoauth2, _XOAUTH2_REFUSED),
    "OAUTHBEARER": lambda: _SingleResponse(_read_oauthbearer, _TOKEN_REFUSED),
}
MECHANISMS: Final[tuple[str, ...]] = tuple(_EXCHANGES)  # the strongest first
