"""Logins as exchanges of octets: SASL, the client's side.

RFC 4422, RFC 4954 (AUTH), RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM-SHA-256),
RFC 2195 (CRAM-MD5), RFC 7628 (OAUTHBEARER). LOGIN and XOAUTH2 have no RFC.
"""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mta.smtp.scram import prepare

# Takes challenges, gives responses; the first one without being asked.
Exchange: TypeAlias = Generator[bytes, bytes, None]

MIN_ITERATIONS: Final = 4096  # RFC 7677 §4
MAX_ITERATIONS: Final = 1_000_000  # a server's word must not cost us minutes
_NONCE_BYTES: Final = 18


class BadChallenge(ValueError):
    """The server does not do what its mechanism says, or does not know the password."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we log in to a next hop with.

    Attributes:
        token: An OAuth bearer token, in the place of a password.
        method: The mechanism to use; "": the best one that is offered.
    """

    user: str
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    method: str = ""


def choose_mechanism(offered: Collection[str], credentials: Credentials) -> str | None:
    """Pick the mechanism to log in with; None if none is known to both.

    Args:
        offered: As in the server's AUTH, in upper case.
    """
    known = _WITH_TOKEN if credentials.token else _WITH_PASSWORD
    usable = [name for name in known if name in offered]
    if credentials.method:
        usable = [name for name in usable if name == credentials.method]
    return next(iter(usable), None)


def start_exchange(mechanism: str, credentials: Credentials) -> Exchange:
    """Begin; ``next`` gives the initial response (RFC 4954 §4); b"": there is none."""
    known = {**_WITH_TOKEN, **_WITH_PASSWORD}
    return known[mechanism](credentials)


def decode_challenge(text: str) -> bytes:
    """Read the text of a 334.

    Raises:
        BadChallenge: It is no base64.
    """
    try:
        return b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise BadChallenge("a challenge that is no base64") from error


def _plain(credentials: Credentials) -> Exchange:
    yield f"\0{credentials.user}\0{credentials.password}".encode()


def _login(credentials: Credentials) -> Exchange:
    yield b""
    yield credentials.user.encode()
    yield credentials.password.encode()


def _cram_md5(credentials: Credentials) -> Exchange:
    challenge = yield b""
    key = credentials.password.encode()
    digest = hmac.new(key, challenge, hashlib.md5).hexdigest()
    yield f"{credentials.user} {digest}".encode()


def _xoauth2(credentials: Credentials) -> Exchange:
    user, token = credentials.user, credentials.token
    yield f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
    yield b""  # the answer to an error in JSON; the refusal comes next


def _oauthbearer(credentials: Credentials) -> Exchange:
    user, token = _saslname(credentials.user), credentials.token
    yield f"n,a={user},\x01auth=Bearer {token}\x01\x01".encode()
    yield b"\x01"  # RFC 7628 §3.2.3


def _scram_sha_256(credentials: Credentials) -> Exchange:
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    bare = f"n={_saslname(prepare(credentials.user))},r={nonce}"
    server_first = _text((yield f"n,,{bare}".encode()))
    said = _attributes(server_first)
    full_nonce, salt, iterations = said.get("r", ""), said.get("s", ""), said.get("i")
    if not full_nonce.startswith(nonce) or full_nonce == nonce or not iterations:
        raise BadChallenge("a server-first message that does not fit")
    count = int(iterations) if iterations.isascii() and iterations.isdigit() else 0
    if not MIN_ITERATIONS <= count <= MAX_ITERATIONS:
        raise BadChallenge(f"{iterations[:20]} iterations")
    password = prepare(credentials.password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", password, decode_challenge(salt), count)
    final = f"c=biws,r={full_nonce}"
    whole = f"{bare},{server_first},{final}".encode()
    client_key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha256(client_key).digest(), whole)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    server_final = _text((yield f"{final},p={b64encode(proof).decode()}".encode()))
    expected = b64encode(_hmac(_hmac(salted, b"Server Key"), whole)).decode()
    if _attributes(server_final).get("v") != expected:
        raise BadChallenge("the server does not know the password")
    yield b""


# The best one first.
_WITH_PASSWORD: Mapping[str, Callable[[Credentials], Exchange]] = {
    "SCRAM-SHA-256": _scram_sha_256,
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
}
_WITH_TOKEN: Mapping[str, Callable[[Credentials], Exchange]] = {
    "OAUTHBEARER": _oauthbearer,
    "XOAUTH2": _xoauth2,
}
MECHANISMS: Final = (*_WITH_PASSWORD, *_WITH_TOKEN)


def _saslname(user: str) -> str:
    return user.replace("=", "=3D").replace(",", "=2C")  # RFC 5802 §5.1


def _attributes(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(","))
    return {name: value for name, _, value in pairs}


def _text(message: bytes | None) -> str:
    if message is None:
        raise BadChallenge("the server did not show that it knows the password")
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadChallenge("a challenge that is no text") from error


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
