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

Parameters are taken if their extension is offered; what a value may be, says
``mta.smtp.parameters``.

RFC 5321 §4.1.1 to §4.1.3 and §4.5.3.1, RFC 6531 (SMTPUTF8).
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from mta.delivery import Notify
from mta.reply import Reply, make_reply
from mta.smtp.parameters import (
    Body,
    DeliverBy,
    parse_auth_mailbox,
    parse_body,
    parse_by,
    parse_envid,
    parse_hold_for,
    parse_hold_until,
    parse_notify,
    parse_orcpt,
    parse_ret,
    parse_size,
)

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
_CHUNK = re.compile(rb" *([0-9]{1,20})(?: +(LAST))? *", re.IGNORECASE)  # RFC 3030 §2
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
        ret: How much a DSN should return: ``FULL``, ``HDRS`` or "" (RFC 3461).
        envid: The client's name for the envelope, decoded; "" if none (RFC 3461).
        require_tls: Never to travel in clear (RFC 8689).
        hold_for, hold_until: No attempt before; one of them at most (RFC 4865).
        by: Until when it must arrive, and what else (RFC 2852).
        auth: Who submitted it first, as the client claims (RFC 4954 §5).
    """

    reverse_path: str
    size: int | None = None
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    require_tls: bool = False
    hold_for: timedelta | None = None
    hold_until: datetime | None = None
    by: DeliverBy | None = None
    auth: str | None = None

    @property
    def body_8bit(self) -> bool:
        """Octets above 127 were announced."""
        return self.body is not Body.SEVEN_BIT


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """The argument of RCPT; ``Postmaster`` may come without a domain.

    Attributes:
        notify: What the sender wants to hear of; empty if not said (RFC 3461).
        orcpt: Original recipient with its type, decoded; "" if not said.
    """

    forward_path: str
    notify: frozenset[Notify] = frozenset()
    orcpt: str = ""


class _Parameter(NamedTuple):
    """One that MAIL or RCPT takes: whose it is, where it goes, how it is read."""

    extension: str
    field: str
    read: Callable[[str], object] | None  # None: it has no value


_MAIL_PARAMETERS: Final[Mapping[str, _Parameter]] = {
    "SIZE": _Parameter("SIZE", "size", parse_size),
    "BODY": _Parameter("8BITMIME", "body", parse_body),
    "SMTPUTF8": _Parameter("SMTPUTF8", "smtputf8", None),
    "RET": _Parameter("DSN", "ret", parse_ret),
    "ENVID": _Parameter("DSN", "envid", parse_envid),
    "REQUIRETLS": _Parameter("REQUIRETLS", "require_tls", None),
    "HOLDFOR": _Parameter("FUTURERELEASE", "hold_for", parse_hold_for),
    "HOLDUNTIL": _Parameter("FUTURERELEASE", "hold_until", parse_hold_until),
    "BY": _Parameter("DELIVERBY", "by", parse_by),
    "AUTH": _Parameter("AUTH", "auth", parse_auth_mailbox),
}
_RCPT_PARAMETERS: Final[Mapping[str, _Parameter]] = {
    "NOTIFY": _Parameter("DSN", "notify", parse_notify),
    "ORCPT": _Parameter("DSN", "orcpt", partial(parse_orcpt, smtputf8=False)),
}
_UTF8_RCPT_PARAMETERS: Final[Mapping[str, _Parameter]] = {
    **_RCPT_PARAMETERS,
    "ORCPT": _Parameter("DSN", "orcpt", partial(parse_orcpt, smtputf8=True)),
}
# The extensions with parameters, for who takes them all.
ALL_EXTENSIONS: Final = frozenset(
    {parameter.extension for parameter in _MAIL_PARAMETERS.values()} | {"BINARYMIME"}
)


def parse_helo(argument: bytes) -> str:
    """Read the client's name from HELO or EHLO.

    Raises:
        BadArgument: It is not one word of printable ASCII.
    """
    name = argument.strip(b" ")
    if _HELO_NAME.fullmatch(name) is None:
        raise BadArgument(_HELO_SYNTAX)
    return name.decode("ascii")


def parse_chunk(argument: bytes) -> tuple[int, bool] | None:
    """Read ``1000 LAST``: the octets that follow, and whether they are the last."""
    match = _CHUNK.fullmatch(argument)
    return None if match is None else (int(match[1]), match[2] is not None)


def parse_mail(
    argument: bytes, *, extensions: Collection[str] = ALL_EXTENSIONS
) -> MailCommand:
    """Read ``FROM:<ada@example.test> SIZE=1000``.

    Args:
        argument: What follows the verb.
        extensions: Keywords of those whose parameters are taken.

    Raises:
        BadArgument: 501 for syntax, 555 for an unknown parameter, 553 for an
            address beyond ASCII without SMTPUTF8.
    """
    path, rest = _split(argument, b"FROM:", _MAIL_SYNTAX)
    fields = _read_parameters(rest, _MAIL_PARAMETERS, extensions)
    if "hold_for" in fields and "hold_until" in fields:
        raise BadArgument(_BAD_PARAMETER)
    if fields.get("body") is Body.BINARY and "BINARYMIME" not in extensions:
        raise BadArgument(_UNKNOWN_PARAMETER)
    if path:
        path = _parse_path(
            path,
            "smtputf8" in fields,
            bad=_BAD_REVERSE_PATH,
            too_long=_LONG_REVERSE_PATH,
        )
    return MailCommand(path, **fields)


def parse_rcpt(
    argument: bytes,
    *,
    smtputf8: bool = False,
    extensions: Collection[str] = ALL_EXTENSIONS,
) -> RcptCommand:
    """Read ``TO:<ada@example.test> NOTIFY=NEVER``.

    Args:
        argument: What follows the verb.
        smtputf8: The transaction's MAIL said SMTPUTF8.
        extensions: Keywords of those whose parameters are taken.

    Raises:
        BadArgument: 501 for syntax, 555 for an unknown parameter, 553 for an
            address that is none or goes beyond ASCII without SMTPUTF8.
    """
    path, rest = _split(argument, b"TO:", _RCPT_SYNTAX)
    known = _UTF8_RCPT_PARAMETERS if smtputf8 else _RCPT_PARAMETERS
    fields = _read_parameters(rest, known, extensions, smtputf8=smtputf8)
    # §4.5.1: the one mailbox that every server has, with or without a domain.
    if path.lower() != "postmaster":
        path = _parse_path(
            path, smtputf8, bad=_BAD_FORWARD_PATH, too_long=_LONG_FORWARD_PATH
        )
    return RcptCommand(path, **fields)


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


def _read_parameters(
    text: str,
    known: Mapping[str, _Parameter],
    extensions: Collection[str],
    *,
    smtputf8: bool = False,
) -> dict[str, Any]:
    """Read parameters into the fields of a command."""
    fields: dict[str, Any] = {}
    for word in filter(None, text.split(" ")):
        match = _PARAMETER.fullmatch(word)
        if match is None and not (smtputf8 and _is_utf8_orcpt(word)):
            raise BadArgument(_BAD_PARAMETER)
        keyword, equals, value = word.partition("=")
        parameter = known.get(keyword.upper())
        if parameter is None or parameter.extension not in extensions:
            raise BadArgument(_UNKNOWN_PARAMETER)
        if parameter.field in fields or bool(equals) is (parameter.read is None):
            raise BadArgument(_BAD_PARAMETER)
        fields[parameter.field] = _read_value(parameter, value)
    return fields


def _read_value(parameter: _Parameter, value: str) -> object:
    if parameter.read is None:
        return True
    try:
        return parameter.read(value)
    except ValueError as error:
        raise BadArgument(make_reply(501, "5.5.4", str(error))) from None


def _is_utf8_orcpt(word: str) -> bool:
    """RFC 6533 §3 lets UTF-8 into this one value."""
    return word[:6].upper() == "ORCPT=" and "=" not in word[6:]
