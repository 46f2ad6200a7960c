"""The arguments of HELO, EHLO, MAIL and RCPT, read strictly.

What comes in is the line after the verb; what goes out is a value, or
``BadArgument`` with the reply that fits. Paths come out as they were written,
without brackets and source route; making two spellings of one address equal is
left to ``mta.mail.address``.

We depart from RFC 5321 in four places. A space after ``FROM:`` and ``TO:`` is
let pass (§3.3 forbids it, many clients send it). The name in HELO and EHLO may
be any word: half the clients of this world do not know their own. A path may
be longer than 256 octets (§4.5.3.1.3) if its two parts keep their own limits.
Domains may have underscores: the DNS does not mind, and such mailboxes exist.

RFC 5321 §4.1.1 to §4.1.3 and §4.5.3.1, RFC 1870 (SIZE), RFC 6152 (BODY), RFC
6531 (SMTPUTF8).
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

from mta.reply import Reply, make_reply

MAX_LOCAL_PART = 64  # octets, §4.5.3.1.1
MAX_DOMAIN = 255  # octets, §4.5.3.1.2

# §4.1.2, with RFC 6531 §3.3's additions; quantifiers of characters are possessive,
# which keeps matching linear whatever comes in. Those of groups are not: early
# releases of Python 3.11 match too much with them.
_ATOM = r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]++"
_LOCAL_PART = (
    rf"{_ATOM}(?:\.{_ATOM})*"
    r'|"(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*"'
)
_LABEL = r"[0-9A-Za-z_\x80-\U0010ffff]++(?:-++[0-9A-Za-z_\x80-\U0010ffff]++)*"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_ROUTE = rf"@{_DOMAIN}(?:,@{_DOMAIN})*:"
_MAILBOX = re.compile(
    rf"(?:{_ROUTE})?({_LOCAL_PART})@({_DOMAIN}|\[[0-9A-Za-z.:]++\])", re.DOTALL
)
# A path ends at the first ">" outside quotes.
_ARGUMENT = re.compile(r' ?<((?:[^"<>]|"(?:[^"\\]|\\.)*")*)>(?: +(.*))?', re.DOTALL)
# §4.1.2: esmtp-param.
_PARAMETER = re.compile(r"([0-9A-Za-z][0-9A-Za-z-]*+)(?:=([!-<>-~]++))?")
_SIZE = re.compile(r"[0-9]{1,20}")  # RFC 1870 §6
_HELO_NAME = re.compile(rb"[!-~]{1,255}")

# Controls, invisible and direction-changing characters, foreign blanks: two
# addresses that look alike must be alike.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})

_MAIL_SYNTAX = make_reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
_RCPT_SYNTAX = make_reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
_HELO_SYNTAX = make_reply(501, "5.5.4", "Syntax: EHLO hostname")
_BAD_REVERSE_PATH = make_reply(501, "5.1.7", "Bad sender address syntax")
_BAD_FORWARD_PATH = make_reply(553, "5.1.3", "Bad recipient address syntax")
_LONG_REVERSE_PATH = make_reply(501, "5.1.7", "Sender address too long")
_LONG_FORWARD_PATH = make_reply(501, "5.1.3", "Recipient address too long")
_NOT_UTF8 = make_reply(501, "5.5.2", "Not UTF-8")
_NEEDS_SMTPUTF8 = make_reply(
    553, "5.6.7", "Addresses beyond ASCII need MAIL with SMTPUTF8"
)
_BAD_PARAMETER = make_reply(501, "5.5.4", "Bad or repeated parameter")
_UNKNOWN_PARAMETER = make_reply(555, "5.5.4", "Parameter not recognized")


class BadArgument(ValueError):
    """An argument we do not take, with the reply that says why."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(str(reply))


@dataclass(frozen=True, slots=True)
class MailCommand:
    """The argument of MAIL.

    Attributes:
        reverse_path: "" is the null reverse path ``<>``.
        size: Octets announced by SIZE; None if not announced.
        body_8bit: BODY=8BITMIME was said.
    """

    reverse_path: str
    size: int | None = None
    body_8bit: bool = False
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """The argument of RCPT; ``Postmaster`` may come without a domain."""

    forward_path: str


def parse_helo(argument: bytes) -> str:
    """Read the client's name from HELO or EHLO.

    Raises:
        BadArgument: It is not one word of printable ASCII.
    """
    name = argument.strip(b" ")
    if _HELO_NAME.fullmatch(name) is None:
        raise BadArgument(_HELO_SYNTAX)
    return name.decode("ascii")


def parse_mail(argument: bytes) -> MailCommand:
    """Read ``FROM:<ada@example.test> SIZE=1000``.

    Raises:
        BadArgument: 501 for syntax, 555 for an unknown parameter, 553 for an
            address beyond ASCII without SMTPUTF8.
    """
    path, parameters = _split(argument, b"FROM:", _MAIL_SYNTAX)
    size, body_8bit, smtputf8 = None, False, False
    for keyword, value in _parse_parameters(parameters):
        if keyword == "SIZE":
            size = _parse_size(value)
        elif keyword == "BODY":
            body_8bit = _parse_body(value)
        elif keyword == "SMTPUTF8":
            smtputf8 = _parse_flag(value)
        else:
            raise BadArgument(_UNKNOWN_PARAMETER)
    if path:
        path = _parse_path(
            path, smtputf8, bad=_BAD_REVERSE_PATH, too_long=_LONG_REVERSE_PATH
        )
    return MailCommand(path, size, body_8bit, smtputf8)


def parse_rcpt(argument: bytes, *, smtputf8: bool = False) -> RcptCommand:
    """Read ``TO:<ada@example.test>``.

    Args:
        argument: What follows the verb.
        smtputf8: The transaction's MAIL said SMTPUTF8.

    Raises:
        BadArgument: 501 for syntax, 555 for any parameter, 553 for an address
            that is none or goes beyond ASCII without SMTPUTF8.
    """
    path, parameters = _split(argument, b"TO:", _RCPT_SYNTAX)
    if _parse_parameters(parameters):
        raise BadArgument(_UNKNOWN_PARAMETER)
    # §4.5.1: the one mailbox that every server has, with or without a domain.
    if path.lower() == "postmaster":
        return RcptCommand(path)
    path = _parse_path(
        path, smtputf8, bad=_BAD_FORWARD_PATH, too_long=_LONG_FORWARD_PATH
    )
    return RcptCommand(path)


def _split(argument: bytes, prefix: bytes, syntax: Reply) -> tuple[str, str]:
    """Cut an argument into the path, without brackets, and its parameters."""
    try:
        text = argument.decode("utf-8")
    except UnicodeDecodeError:
        raise BadArgument(_NOT_UTF8) from None
    if argument[: len(prefix)].upper() != prefix:
        raise BadArgument(syntax)
    match = _ARGUMENT.fullmatch(text, len(prefix))
    if match is None:
        raise BadArgument(syntax)
    return match[1], match[2] or ""


def _parse_path(path: str, smtputf8: bool, *, bad: Reply, too_long: Reply) -> str:
    if not path.isascii():
        if not smtputf8:
            raise BadArgument(_NEEDS_SMTPUTF8)
        if any(unicodedata.category(c) in _REFUSED_CATEGORIES for c in path if c > "~"):
            raise BadArgument(bad)
    match = _MAILBOX.fullmatch(path)
    if match is None:
        raise BadArgument(bad)
    local_part, domain = match[1], match[2]
    is_short = len(path) <= MAX_LOCAL_PART and path.isascii()
    if not is_short and _is_too_long(local_part, domain):
        raise BadArgument(too_long)
    if domain[0] == "[" and not _is_address_literal(domain[1:-1]):
        raise BadArgument(bad)
    return f"{local_part}@{domain}"


def _is_too_long(local_part: str, domain: str) -> bool:
    return (
        len(local_part.encode()) > MAX_LOCAL_PART
        or len(domain.encode()) > MAX_DOMAIN
        # RFC 1035 §2.3.4; U-labels are measured once they are A-labels.
        or any(len(label) > 63 for label in domain.split(".") if label.isascii())
    )


def _is_address_literal(text: str) -> bool:
    """Tell whether ``text`` is an IPv4 or IPv6 literal of §4.1.3."""
    try:
        if text[:5].upper() == "IPV6:":
            ipaddress.IPv6Address(text[5:])
        else:
            ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _parse_parameters(text: str) -> list[tuple[str, str | None]]:
    """Read parameters: upper-case keyword, and value if it has one."""
    if not text:
        return []
    found: dict[str, str | None] = {}
    for word in text.split(" "):
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in found:
            raise BadArgument(_BAD_PARAMETER)
        found[match[1].upper()] = match[2]
    return list(found.items())


def _parse_size(value: str | None) -> int:
    if value is None or _SIZE.fullmatch(value) is None:
        raise BadArgument(_BAD_PARAMETER)
    return int(value)


def _parse_body(value: str | None) -> bool:
    if value is None or value.upper() not in {"7BIT", "8BITMIME"}:
        raise BadArgument(_BAD_PARAMETER)
    return value.upper() == "8BITMIME"


def _parse_flag(value: str | None) -> bool:
    if value is not None:
        raise BadArgument(_BAD_PARAMETER)
    return True
