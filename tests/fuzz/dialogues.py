"""Two targets for ``ServerSession``: octets as they are, and a script of phrases.

Both begin with a line that says options and answers, see ``setups.py``. After it
``session`` has the client's octets. In ``script`` each octet is a phrase, so that a
few of them make a dialogue: ``EMRDh.Q`` is a whole one. ``/`` ends what is sent in one
go, a digit repeats the phrase before it, backticks hold octets as they are.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Final

from tests.fuzz.driver import KEYS, PASSWORD, USER, Driver, Piece
from tests.fuzz.promises import cuts, promise
from tests.fuzz.setups import Setup

MAX_STREAM: Final = 40_000  # octets of a script, or repetitions would never end

_OUT_OF_STEP = b"421 4.5.0 Wait for the reply before you go on\r\n"
# Of content that has both faults, the one that is seen first is told.
_EITHER = re.compile(rb"554 5\.6\.0 Lines must [^\r]*|552 5\.3\.4 [^\r]*")
_TOO_LONG = b"500 5.5.2 Line too long\r\n"


def _base64(text: str) -> bytes:
    return b64encode(text.encode())


def _auth(mechanism: str, response: str) -> bytes:
    return f"AUTH {mechanism} ".encode() + _base64(response) + b"\r\n"


_SCRAM_FIRST = f"n={USER},r=fuzz"
_PHRASES: Final[dict[int, bytes]] = {
    ord(letter): octets
    for letter, octets in {
        "E": b"EHLO client.test\r\n",
        "e": b"HELO client.test\r\n",
        "l": b"LHLO client.test\r\n",
        "M": b"MAIL FROM:<ada@example.test>\r\n",
        "m": b"MAIL FROM:<> SIZE=50\r\n",
        "B": b"MAIL FROM:<ada@example.test> BODY=BINARYMIME\r\n",
        "8": b"MAIL FROM:<\xc3\xa4da@ex\xc3\xa4mple.test> BODY=8BITMIME SMTPUTF8\r\n",
        "W": b"MAIL FROM:<ada@example.test> RET=HDRS ENVID=a+20b AUTH=<> BY=60;R\r\n",
        "w": b"MAIL FROM:<ada@example.test> HOLDFOR=60\r\n",
        "u": b"MAIL FROM:<ada@example.test> HOLDUNTIL=2030-01-02T00:00:00Z\r\n",
        "y": b"MAIL FROM:<ada@example.test> REQUIRETLS\r\n",
        "R": b"RCPT TO:<bob@example.test>\r\n",
        "r": b"RCPT TO:<BOB@EXAMPLE.TEST> NOTIFY=NEVER ORCPT=rfc822;b+2Bb@b.test\r\n",
        "p": b"RCPT TO:<postmaster>\r\n",
        "P": b'RCPT TO:<"c\xc3\xb6 d"@example.test>\r\n',
        "D": b"DATA\r\n",
        ".": b".\r\n",
        "h": b"Subject: hello\r\n\r\nhello\r\n",
        "b": b"BDAT 7\r\nhello\r\n",
        "c": b"BDAT 7 LAST\r\n.\r\n.\n\r.",
        "k": b"BDAT 0 LAST\r\n",
        "K": b"BDAT 0\r\n",
        "g": b"BDAT 99999999999999999999\r\n",
        "j": b"BDAT x\r\n",
        "X": b"RSET\r\n",
        "Q": b"QUIT\r\n",
        "N": b"NOOP\r\n",
        "V": b"VRFY ada\r\n",
        "H": b"HELP\r\n",
        "Z": b"GET / HTTP/1.1\r\n",
        "U": b"WHAT\r\n",
        "T": b"STARTTLS\r\n",
        "A": _auth("PLAIN", f"\0{USER}\0{PASSWORD}"),
        "a": b"AUTH PLAIN\r\n",
        "q": _base64(f"\0{USER}\0{PASSWORD}") + b"\r\n",
        "L": b"AUTH LOGIN\r\n",
        "i": _base64(USER) + b"\r\n",
        "o": _auth("XOAUTH2", f"user={USER}\1auth=Bearer t0ken\1\1"),
        "O": _auth("OAUTHBEARER", f"n,a={USER},\1auth=Bearer t0ken\1\1"),
        "s": _auth("SCRAM-SHA-256", f"n,,{_SCRAM_FIRST}"),
        "*": b"*\r\n",
        "=": b"\r\n",
        "x": b"XCLIENT NAME=c.test ADDR=192.0.2.1 LOGIN=eve\r\n",
        "f": b"XFORWARD ADDR=192.0.2.1 HELO=[UNAVAILABLE]\r\n",
        "G": b"x" * 4000,
        "$": b"\r\n",
        "!": b"\0",
    }.items()
}
_SCRAM_FINAL = ord("S")
_HANG_UP = ord("^")
_CUT = ord("/")
_QUOTE = ord("`")
_REPEATS: Final = frozenset(b"2345679")  # 8 is a phrase


def session(data: bytes) -> None:
    """Octets of a client."""
    line, _, stream = data.partition(b"\n")
    setup = Setup.parse(line)
    whole = Driver(setup)
    whole.run([stream])
    for pieces in cuts(stream):
        once = Driver(setup)
        once.run(pieces)
        compare(once, whole, stream)


def script(data: bytes) -> None:
    """Phrases of a client."""
    line, _, text = data.partition(b"\n")
    setup, pieces = Setup.parse(line), list(read_script(text))
    once = Driver(setup)
    once.run(pieces)
    octets = [piece for piece in pieces if isinstance(piece, bytes)]
    if len(octets) == len(pieces):
        whole, stream = Driver(setup), b"".join(octets)
        whole.run([stream])
        compare(once, whole, stream)


def compare(once: Driver, whole: Driver, stream: bytes) -> None:
    """Hold a dialogue in pieces to the same in one go."""
    if b"SCRAM" in stream.upper():
        return  # our nonce is another each time
    if _TOO_LONG in once.sent:
        return  # whether its end came along decides what is wrong with such a line
    heard, heard_whole = (_EITHER.sub(b"no", it.sent) for it in (once, whole))
    if heard_whole.endswith(_OUT_OF_STEP):
        # Who does not wait is cut short, and hears nothing else before that.
        sent, events = heard_whole.removesuffix(_OUT_OF_STEP), whole.events[:-1]
        promise(heard.startswith(sent), "haste changes no reply")
        promise(once.events[: len(events)] == events, "haste changes no event")
        return
    promise(heard == heard_whole, "replies do not depend on the network")
    promise(once.events == whole.events, "events do not depend on the network")
    promise(once.messages == whole.messages, "content does not depend on the network")


def read_script(text: bytes) -> Iterator[Piece]:
    """Spell a script out."""
    going, last, left = b"", b"", MAX_STREAM
    at = 0
    while at < len(text) and left > 0:
        octet = text[at]
        at += 1
        if octet in {_CUT, _SCRAM_FINAL, _HANG_UP}:
            yield going
            going = b""
            if octet != _CUT:
                yield None if octet == _HANG_UP else _prove
            continue
        if octet in _REPEATS:
            said = last * (octet - ord("0") - 1)
        elif octet == _QUOTE:
            last, _, _ = text[at:].partition(b"`")
            at += len(last) + 1
            said = last
        else:
            said = last = _PHRASES.get(octet, bytes([octet]))
        going += said
        left -= len(said) + 1
    yield going


def _prove(heard: bytes) -> bytes:
    """Answer the server's first SCRAM message as who knows the password."""
    challenge = heard.split(b"\r\n")[-2:-1]
    try:
        server_first = b64decode(b"".join(challenge)[4:], validate=True).decode()
        nonce = server_first.split(",")[0].removeprefix("r=")
    except ValueError:
        return b"*\r\n"
    final = f"c=biws,r={nonce}"
    message = ",".join((_SCRAM_FIRST, server_first, final)).encode()
    signature = hmac.digest(KEYS.stored_key, message, "sha256")
    proof = bytes(a ^ b for a, b in zip(_CLIENT_KEY, signature, strict=True))
    return _base64(f"{final},p={b64encode(proof).decode()}") + b"\r\n"


_SALTED = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), KEYS.salt, KEYS.iterations)
_CLIENT_KEY = hmac.digest(_SALTED, b"Client Key", "sha256")
