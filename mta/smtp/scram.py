"""SCRAM-SHA-256: keys, messages and arithmetic; and the names all mechanisms share.

Nothing here has a state: ``mta.smtp.sasl`` knows which message comes when. A server
that keeps ``ScramKeys`` can check a password without having it, and whoever steals
them cannot log in with them.

We depart from two documents, and from SCRAM not at all. RFC 4013 §2.5 forbids code
points that Unicode 3.2 did not have in what is stored; we let them pass as they are,
because people do have emoji in their passwords. And a client that wants to act for
another user is refused, whoever it is.

RFC 5802 (SCRAM; a § without a document is its), RFC 7677 (with SHA-256), RFC 5801 §4
(the GS2 header), RFC 4013 and RFC 3454 (SASLprep).
"""

import binascii
import hashlib
import hmac
import re
import stringprep
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from unicodedata import ucd_3_2_0

# Of a name or a password, before and after preparation. RFC 4616 §2 has 255 octets
# at least in mind; tokens that are used as passwords are longer.
MAX_CHARACTERS: Final = 1024
MIN_ITERATIONS: Final = 4096  # RFC 7677 §4
DEFAULT_ITERATIONS: Final = 10_000  # some milliseconds where the password is set
SALT_BYTES: Final = 16  # what a decoy has; whoever makes keys should have as many
# Characters of a client's nonce; ours comes on top. Clients send 20 to 40.
MAX_CLIENT_NONCE: Final = 256

_HASH = "sha256"
_HASH_BYTES = 32

_PROHIBITED = (  # RFC 4013 §2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)

# RFC 5801 §4: the GS2 header. RFC 5802 §7: client-first-message-bare and
# client-final-message; optional extensions are skipped.
_GS2_HEADER = re.compile(r"([ny]|p=[^,]*+),(?:a=([^,]++))?,")
_EXTENSIONS = r"(?:,[A-Za-z]=[^\0,]++)*"
_CLIENT_FIRST = re.compile(
    rf"n=([^,]++),r=([!-+\--~]{{1,{MAX_CLIENT_NONCE}}}){_EXTENSIONS}"
)
_CLIENT_FINAL = re.compile(rf"(c=([^,]++),r=([^,]++){_EXTENSIONS}),p=([^,]++)")

_NOT_BASE64 = "Not base64"
_NOT_UTF8 = "Not UTF-8"
_BAD_LENGTH = f"Names and passwords have 1 to {MAX_CHARACTERS} characters"
_BAD_CHARACTER = "A character that names and passwords cannot have"
_MALFORMED = "Malformed response"
_OTHER_USER = "Acting for another user is not supported"
_NO_BINDING = "Channel binding is not supported"
_NO_EXTENSION = "SCRAM extensions are not supported"
_OTHER_BINDING = "The channel binding is not the one of the first message"
_OTHER_NONCE = "The nonce is not the one of this exchange"


class BadResponse(ValueError):
    """A client's response that cannot be understood.

    Attributes:
        text: What is wrong, for a 501 5.5.2 reply; one of a few fixed sentences, so
            never anything the client sent.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What is kept of a password (§3, §5.1).

    Raises:
        ValueError: A salt is missing, ``iterations`` are below ``MIN_ITERATIONS``, or
            a key is not 32 octets long.
    """

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.salt:
            raise ValueError("no salt")
        if self.iterations < MIN_ITERATIONS:
            raise ValueError(f"fewer than {MIN_ITERATIONS} iterations")
        if not len(self.stored_key) == len(self.server_key) == _HASH_BYTES:
            raise ValueError(f"keys have {_HASH_BYTES} octets")


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """client-first-message (§7).

    Attributes:
        header: The GS2 header as it was sent, its last comma included.
        bare: What follows it, as it was sent.
        username: Prepared.
        nonce: The client's part of it.
    """

    header: str
    bare: str
    username: str
    nonce: str


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """client-final-message (§7), its nonce and its channel binding checked."""

    without_proof: str
    proof: bytes = field(repr=False)


def prepare(text: str) -> str:
    """Bring a user name or a password into the form that is compared and hashed.

    SASLprep (RFC 4013). Whoever stores what clients will be measured by prepares it
    with this function, too: what it refuses could never be used.

    Raises:
        BadResponse: A ValueError: there is nothing left or too much, a character is
            prohibited, or directions are mixed. Does not hold the text.
    """
    if not 0 < len(text) <= MAX_CHARACTERS:
        raise BadResponse(_BAD_LENGTH)
    if text.isascii() and text.isprintable():
        return text
    prepared = ucd_3_2_0.normalize("NFKC", "".join(map(_map_character, text)))
    # One character may have become eighteen.
    if not 0 < len(prepared) <= MAX_CHARACTERS:
        raise BadResponse(_BAD_LENGTH)
    if any(is_in(c) for c in set(prepared) for is_in in _PROHIBITED):
        raise BadResponse(_BAD_CHARACTER)
    if _mixes_directions(prepared):
        raise BadResponse(_BAD_CHARACTER)
    return prepared


def choose_name(authcid: str, authzid: str = "") -> str:
    """Prepare the one user name of a response that may have two.

    Args:
        authcid: Whose password it is. May be empty.
        authzid: Whom to act for; empty for the same.

    Raises:
        BadResponse: They differ, or the name cannot be one.
    """
    name = prepare(authcid or authzid)
    # Names go into logs and onto screens. Python's tables are newer than RFC 3454's:
    # they also know the invisible characters that came since.
    if not name.isprintable():
        raise BadResponse(_BAD_CHARACTER)
    if authzid and prepare(authzid) != name:
        raise BadResponse(_OTHER_USER)
    return name


def decode_base64(encoded: bytes) -> bytes:
    """Decode base64 that is exactly what an encoder writes (RFC 4648 §4, §3.5).

    Raises:
        BadResponse: It is not.
    """
    try:
        decoded = b64decode(encoded)
    except binascii.Error:
        raise BadResponse(_NOT_BASE64) from None
    # The decoder skips what it does not know, and forgives.
    if b64encode(decoded) != encoded:
        raise BadResponse(_NOT_BASE64)
    return decoded


def decode_text(data: bytes) -> str:
    """Decode UTF-8.

    Raises:
        BadResponse: It is none.
    """
    with suppress(UnicodeDecodeError):  # which would carry what was sent
        return data.decode("utf-8")
    raise BadResponse(_NOT_UTF8)


def parse_gs2_header(message: str) -> tuple[str, str, str]:
    """Cut a message into GS2 header, authzid and the rest (RFC 5801 §4).

    "y", a client that would bind the channel if we offered it, is as good as "n":
    we do not offer it (RFC 5802 §6).

    Returns:
        The header as it was sent, its last comma included; authzid, decoded but not
        prepared, or empty; and what follows.

    Raises:
        BadResponse: It is malformed, or asks for channel binding.
    """
    match = _GS2_HEADER.match(message)
    if match is None:
        raise BadResponse(_MALFORMED)
    if match[1].startswith("p="):
        raise BadResponse(_NO_BINDING)
    return match[0], _decode_saslname(match[2] or ""), message[match.end() :]


def parse_client_first(message: bytes) -> ClientFirst:
    """Read ``n,,n=ada,r=nonce``.

    Raises:
        BadResponse: It is malformed, or wants what we do not have: channel binding,
            a mandatory extension, to act for another user.
    """
    header, authzid, bare = parse_gs2_header(decode_text(message))
    if bare.startswith("m="):  # §5.1: must fail
        raise BadResponse(_NO_EXTENSION)
    match = _CLIENT_FIRST.fullmatch(bare)
    if match is None:
        raise BadResponse(_MALFORMED)
    username = choose_name(_decode_saslname(match[1]), authzid)
    return ClientFirst(header, bare, username, match[2])


def compose_server_first(keys: ScramKeys, nonce: str) -> str:
    """Write server-first-message; ``nonce`` is the client's and ours, joined."""
    return f"r={nonce},s={b64encode(keys.salt).decode()},i={keys.iterations}"


def parse_client_final(message: bytes, *, header: str, nonce: str) -> ClientFinal:
    """Read ``c=biws,r=nonce,p=proof``.

    Args:
        message: As it came.
        header: GS2 header of the client's first message, which ``c=`` repeats: had
            somebody on the way changed "y" to "n" there, it would not.
        nonce: The client's and ours, joined.

    Raises:
        BadResponse: It is malformed, or belongs to another exchange.
    """
    match = _CLIENT_FINAL.fullmatch(decode_text(message))
    if match is None:
        raise BadResponse(_MALFORMED)
    if match[2] != b64encode(header.encode()).decode():
        raise BadResponse(_OTHER_BINDING)
    if match[3] != nonce:
        raise BadResponse(_OTHER_NONCE)
    proof = decode_base64(match[4].encode())
    if len(proof) != _HASH_BYTES:
        raise BadResponse(_MALFORMED)
    return ClientFinal(match[1], proof)


def make_keys(
    password: str, *, salt: bytes, iterations: int = DEFAULT_ITERATIONS
) -> ScramKeys:
    """Derive what is to be kept of a password (§3).

    Args:
        password: Need not be prepared.
        salt: Random, ``SALT_BYTES`` long; never used twice.
        iterations: At least ``MIN_ITERATIONS``.

    Raises:
        ValueError: The password cannot be one, or what ``ScramKeys`` refuses.
    """
    secret = prepare(password).encode()
    salted = hashlib.pbkdf2_hmac(_HASH, secret, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", _HASH)
    server_key = hmac.digest(salted, b"Server Key", _HASH)
    return ScramKeys(salt, iterations, _hash(client_key), server_key)


def make_decoy(username: str, secret: bytes) -> ScramKeys:
    """Make up keys for a user that does not exist; nobody has their password.

    The same name has the same salt, as a user has who exists.

    Args:
        username: Prepared.
        secret: At least 32 octets that clients cannot guess.
    """
    name = username.encode()
    salt, stored_key, server_key = (
        hmac.digest(secret, purpose + name, _HASH)
        for purpose in (b"salt ", b"stored ", b"server ")
    )
    return ScramKeys(salt[:SALT_BYTES], DEFAULT_ITERATIONS, stored_key, server_key)


def is_proof_of(keys: ScramKeys, auth_message: bytes, proof: bytes) -> bool:
    """Tell whether whoever made this proof knows the password (§3)."""
    signature = hmac.digest(keys.stored_key, auth_message, _HASH)
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(_hash(client_key), keys.stored_key)


def sign(keys: ScramKeys, auth_message: bytes) -> bytes:
    """Compute ServerSignature, by which the client knows us (§3)."""
    return hmac.digest(keys.server_key, auth_message, _HASH)


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _map_character(character: str) -> str:
    """RFC 4013 §2.1."""
    if stringprep.in_table_b1(character):
        return ""
    return " " if stringprep.in_table_c12(character) else character


def _mixes_directions(text: str) -> bool:
    """RFC 3454 §6: what holds right-to-left text is that from end to end."""
    is_rtl = [stringprep.in_table_d1(character) for character in text]
    has_ltr = any(map(stringprep.in_table_d2, text))
    return any(is_rtl) and (has_ltr or not is_rtl[0] or not is_rtl[-1])


def _decode_saslname(text: str) -> str:
    """§5.1: "=2C" is a comma, "=3D" an equals sign, any other "=" is a mistake."""
    if text.count("=") != text.count("=2C") + text.count("=3D"):
        raise BadResponse(_MALFORMED)
    return text.replace("=2C", ",").replace("=3D", "=")
