"""The values of parameters of MAIL and RCPT, read strictly.

What comes in is the text after "=", at most one command line; what goes out is a
value, or ``ValueError`` whose text is for the client. It never quotes what came in:
nothing of a stranger's is to be repeated in our replies and logs. What is kept as
text will be shown to people and written into DSNs, so it has no controls, nothing
invisible and nothing that changes direction.

Which parameters a command may have, and which go together, is left to
``mta.smtp.grammar``.

RFC 1870 (SIZE), RFC 2852 §4 (BY), RFC 3030 §3 and RFC 6152 (BODY), RFC 3461 §4
(NOTIFY, ORCPT, RET, ENVID), RFC 4865 (HOLDFOR, HOLDUNTIL), RFC 4954 §5 (AUTH), RFC
6533 §3 (ORCPT).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from mta.delivery import Notify
from mta.smtp.xtext import (
    decode_utf8_addr_unitext,
    decode_utf8_addr_xtext,
    decode_xtext,
    encode_utf8_addr_xtext,
)

# Characters, as they are written.
MAX_ORCPT = 500  # RFC 3461 §4.2
MAX_ENVID = 100  # RFC 3461 §4.4
MAX_AUTH = 500  # RFC 4954 §3

Ret = Literal["FULL", "HDRS"]

# An atom of RFC 5322 §3.2.3, without the "=" that no value may have.
_ADDR_TYPE = re.compile(r"[0-9A-Za-z!#$%&'*+/?^_`{|}~-]++")
_SIZE = re.compile(r"[0-9]{1,20}")  # RFC 1870 §6
_HOLD_FOR = re.compile(r"[0-9]{1,9}")
_BY = re.compile(r"([+-]?[0-9]{1,9});([RNrn])([Tt]?)")
# RFC 3339 §5.6: date-time. Hours, days and their like are left to datetime.
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]++)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


class Body(StrEnum):
    """What kind of content is announced."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """How long a delivery may take, and what is to be done after that.

    Attributes:
        seconds: Counted from MAIL; of a message on its way they may be used up, and
            then they are zero or less.
        mode: ``R`` returns the message, ``N`` tells the sender and goes on.
        is_traced: Tell the sender, too, of a relay that does not know this extension.

    Raises:
        ValueError: Nothing can be returned in no time (RFC 2852 §4).
    """

    seconds: int
    mode: Literal["R", "N"]
    is_traced: bool = False

    def __post_init__(self) -> None:
        if self.mode == "R" and self.seconds <= 0:
            raise ValueError("BY with R takes a time above zero")


_RETS: Final[Mapping[str, Ret]] = {"FULL": "FULL", "HDRS": "HDRS"}
_MODES: Final[Mapping[str, Literal["R", "N"]]] = {"R": "R", "N": "N"}
_NOTIFIES: Final[Mapping[str, Notify]] = {notify.value: notify for notify in Notify}
_BODIES: Final[Mapping[str, Body]] = {body.value: body for body in Body}


def parse_notify(value: str) -> frozenset[Notify]:
    """Read ``SUCCESS,DELAY``; ``NEVER`` stands alone (RFC 3461 §4.1).

    Raises:
        ValueError: It is not that, or a word comes twice.
    """
    words = _upper(value).split(",")
    found = frozenset(_NOTIFIES[word] for word in words if word in _NOTIFIES)
    if len(found) != len(words) or (Notify.NEVER in found and len(found) > 1):
        raise ValueError("NOTIFY takes NEVER, or SUCCESS, FAILURE and DELAY")
    return found


def parse_orcpt(value: str, *, smtputf8: bool) -> str:
    """Read ``rfc822;ada+2Btag@example.test`` into ``rfc822;ada+tag@example.test``.

    Args:
        value: A type of address, and the address in the encoding of its type.
        smtputf8: The transaction's MAIL said SMTPUTF8: an address of type ``utf-8``
            may have its characters unescaped.

    Returns:
        The type in lower case, and the address decoded. That may have blanks; only
        with type ``utf-8`` it may go beyond ASCII (RFC 3461 §4.2).

    Raises:
        ValueError: It is not that, too long, or nothing to show to people.
    """
    if len(value) > MAX_ORCPT:
        raise ValueError(f"ORCPT takes {MAX_ORCPT} characters at most")
    addr_type, semicolon, encoded = value.partition(";")
    if not semicolon or _ADDR_TYPE.fullmatch(addr_type) is None:
        raise ValueError("ORCPT takes a type of address, a semicolon and an address")
    addr_type = addr_type.lower()
    if addr_type != "utf-8":
        address = _decode(encoded, "ORCPT")
        if not address.isascii():
            raise ValueError("ORCPT takes an address beyond ASCII with type utf-8 only")
        return f"{addr_type};{address}"
    decode = decode_utf8_addr_unitext if smtputf8 else decode_utf8_addr_xtext
    try:
        address = decode(encoded)
    except ValueError:
        raise ValueError("ORCPT has an address that is badly encoded") from None
    # It goes on to the next hop in ASCII, where it must not be longer either.
    if len(f"{addr_type};{encode_utf8_addr_xtext(address)}") > MAX_ORCPT:
        raise ValueError(f"ORCPT takes {MAX_ORCPT} characters at most")
    return f"{addr_type};{_visible(address, 'ORCPT')}"


def parse_envid(value: str) -> str:
    """Read the client's name for an envelope: printable ASCII, blanks included.

    Raises:
        ValueError: It is not xtext of that, or too long (RFC 3461 §4.4).
    """
    if len(value) > MAX_ENVID:
        raise ValueError(f"ENVID takes {MAX_ENVID} characters at most")
    envid = _decode(value, "ENVID")
    if not envid.isascii():
        raise ValueError("ENVID takes printable ASCII")
    return envid


def parse_ret(value: str) -> Ret:
    """Read how much of a message is to be returned (RFC 3461 §4.3).

    Raises:
        ValueError: It is neither of the two.
    """
    ret = _RETS.get(_upper(value))
    if ret is None:
        raise ValueError("RET takes FULL or HDRS")
    return ret


def parse_hold_for(value: str) -> timedelta:
    """Read for how many seconds a message is to be held (RFC 4865 §4).

    Raises:
        ValueError: It is not a number from 1 to 999999999.
    """
    if _HOLD_FOR.fullmatch(value) is None or int(value) == 0:
        raise ValueError("HOLDFOR takes a number of seconds, 1 to 999999999")
    return timedelta(seconds=int(value))


def parse_hold_until(value: str) -> datetime:
    """Read until when a message is to be held, in UTC.

    Any offset is taken (RFC 4865 erratum 2040); a leap second is not, as ``datetime``
    has none.

    Raises:
        ValueError: It is no time of RFC 3339, or outside the years 1 to 9999.
    """
    try:
        if _DATE_TIME.fullmatch(value) is not None:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("HOLDUNTIL takes a time such as 2030-01-31T12:00:00Z")


def parse_by(value: str) -> DeliverBy:
    """Read ``120;R``, ``-5;NT`` and their like (RFC 2852 §4).

    Raises:
        ValueError: It is not that, or ``R`` with no time left.
    """
    match = _BY.fullmatch(value)
    if match is None:
        raise ValueError("BY takes seconds, a semicolon and R or N, perhaps with T")
    return DeliverBy(int(match[1]), _MODES[match[2].upper()], bool(match[3]))


def parse_auth_mailbox(value: str) -> str | None:
    """Read who submitted a message first; None for ``<>``: not known, or not said.

    The mailbox is kept as text: it is a claim, and nothing is sent to it.

    Raises:
        ValueError: It is not xtext, too long, or nothing to show to people.
    """
    if len(value) > MAX_AUTH:
        raise ValueError(f"AUTH takes {MAX_AUTH} characters at most")
    mailbox = _decode(value, "AUTH")
    return None if mailbox == "<>" else mailbox


def parse_body(value: str) -> Body:
    """Read the kind of content.

    Raises:
        ValueError: It is none of the three.
    """
    body = _BODIES.get(_upper(value))
    if body is None:
        raise ValueError("BODY takes 7BIT, 8BITMIME or BINARYMIME")
    return body


def parse_size(value: str) -> int:
    """Read a number of octets, of at most twenty digits.

    Raises:
        ValueError: It is not that.
    """
    if _SIZE.fullmatch(value) is None:
        raise ValueError("SIZE takes a number of octets")
    return int(value)


def _upper(value: str) -> str:
    """Upper case of ASCII; "" for more, where letters turn into others ("ſ" to "S")."""
    return value.upper() if value.isascii() else ""


def _decode(value: str, keyword: str) -> str:
    try:
        text = decode_xtext(value)
    except ValueError:
        raise ValueError(f"{keyword} takes xtext") from None
    return _visible(text, keyword)


def _visible(text: str, keyword: str) -> str:
    """Return ``text``, unless people would not see all of it, or nothing at all.

    ``isprintable()`` knows no control, format or unassigned character and no blank
    but the one of ASCII.
    """
    if not text.isprintable():
        raise ValueError(f"{keyword} takes printable characters only")
    if not text.strip(" "):
        raise ValueError(f"{keyword} must not be empty")
    return text
