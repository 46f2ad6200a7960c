"""What a server promises every client, and how it introduces itself.

The offer of extensions is data: one more is one more row of ``_offer``. Enforcing an
extension's rules is the business of whoever reads its commands and parameters.

RFC 5321 §4.2 and §4.1.1.1; the replies here have no enhanced status (RFC 2034 §4).
SIZE is RFC 1870, ENHANCEDSTATUSCODES 2034, DELIVERBY 2852, PIPELINING 2920, CHUNKING
and BINARYMIME 3030, STARTTLS 3207, DSN 3461, FUTURERELEASE 4865, AUTH 4954, 8BITMIME
6152, SMTPUTF8 6531, REQUIRETLS 8689, LIMITS 9422.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mta.reply import format_reply, make_reply
from mta.smtp.extensions import Extension, compose_ehlo_reply
from mta.smtp.xclient import XCLIENT_NAMES, XFORWARD_NAMES

# One that is not offered without the other: RFC 6531 §3.1, RFC 3030 §3.
_NEEDS = {"SMTPUTF8": "8BITMIME", "BINARYMIME": "CHUNKING"}

DEFAULT_BANNER = "ESMTP ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """The promises of one listener.

    Attributes:
        hostname: Our name, in the greeting and in the replies to HELO and EHLO.
        banner: The words after it in the greeting.
        max_size: Octets of content per message.
        max_recipients: Per message; RFC 5321 §4.5.3.1.8 wants 100 at least.
        is_lmtp: LHLO in place of EHLO, and a reply for each recipient (RFC 2033).
        starttls: STARTTLS is offered.
        requires_tls: No mail and no login before STARTTLS.
        mechanisms: Of AUTH, the strongest first; empty: no AUTH.
        requires_login: No mail before AUTH.
        allows_clear_login: AUTH is offered without TLS, too.
        refuses_stray_line_ends: Content with a CR or an LF alone is refused; else
            whoever stores it makes them CRLF.
        max_hold: How far ahead FUTURERELEASE may be; zero: it is not offered.
        hidden: Keywords of extensions that are not offered, in upper case.
        disabled: Verbs that are not taken, in upper case.
        takes_xclient, takes_xforward: From this client.
    """

    hostname: str
    banner: str = DEFAULT_BANNER
    max_size: int
    max_recipients: int
    is_lmtp: bool = False
    starttls: bool = False
    requires_tls: bool = False
    mechanisms: tuple[str, ...] = ()
    requires_login: bool = False
    allows_clear_login: bool = False
    refuses_stray_line_ends: bool = False
    max_hold: timedelta = timedelta(0)
    hidden: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()
    takes_xclient: bool = False
    takes_xforward: bool = False

    def takes_login(self, *, is_tls: bool) -> bool:
        """Whether passwords may be sent now (RFC 4954 §4: not in clear)."""
        may_be_clear = self.allows_clear_login and not self.requires_tls
        return bool(self.mechanisms) and (is_tls or may_be_clear)


def greet(options: SessionOptions) -> bytes:
    """Compose the first reply of a session."""
    text = f"{options.hostname} {options.banner}"
    return format_reply(make_reply(220, None, text))


def answer_helo(options: SessionOptions) -> bytes:
    """Compose the reply to HELO: one line, no extensions."""
    return format_reply(make_reply(250, None, options.hostname))


def offered(
    options: SessionOptions, *, is_tls: bool, is_known: bool, now: datetime | None
) -> tuple[Extension, ...]:
    """List what is offered at this point of a session.

    Args:
        is_tls: The session is encrypted.
        is_known: The client has logged in.
        now: For FUTURERELEASE; None: it is not offered.
    """
    rows = _offer(options, is_tls=is_tls, is_known=is_known, now=now)
    hidden = options.hidden | {
        needing for needing, needed in _NEEDS.items() if needed in options.hidden
    }
    return tuple(row for row in rows if row.keyword not in hidden)


def answer_ehlo(options: SessionOptions, extensions: tuple[Extension, ...]) -> bytes:
    """Compose the reply to EHLO."""
    return format_reply(compose_ehlo_reply(options.hostname, extensions))


def _offer(
    options: SessionOptions, *, is_tls: bool, is_known: bool, now: datetime | None
) -> Iterator[Extension]:
    yield Extension("PIPELINING")
    yield Extension("SIZE", str(options.max_size))
    yield Extension("ENHANCEDSTATUSCODES")
    yield Extension("8BITMIME")
    yield Extension("SMTPUTF8")
    yield Extension("CHUNKING")
    yield Extension("BINARYMIME")
    yield Extension("DSN")
    yield Extension("DELIVERBY")
    if now is not None and options.max_hold:
        seconds = options.max_hold // timedelta(seconds=1)
        until = (now + options.max_hold).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield Extension("FUTURERELEASE", f"{seconds} {until}")
    if options.starttls and not is_tls:
        yield Extension("STARTTLS")
    if options.takes_login(is_tls=is_tls) and not is_known:
        yield Extension("AUTH", " ".join(options.mechanisms))
    if is_tls:
        yield Extension("REQUIRETLS")
    yield Extension("LIMITS", f"RCPTMAX={options.max_recipients}")
    if options.takes_xclient:
        yield Extension("XCLIENT", " ".join(XCLIENT_NAMES))
    if options.takes_xforward:
        yield Extension("XFORWARD", " ".join(XFORWARD_NAMES))
