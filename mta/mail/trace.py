"""The Received field we put on top when a message leaves.

Everything in it that a client chose is cut and cleaned: a HELO argument must not be
able to write another field, close a comment, or pass for a clause of ours.

RFC 5321 §4.4 (the grammar; we write TCP-info as it says, where ZoneMTA turns name
and address round), RFC 6531 §4.3 (UTF-8 in the ``for`` clause).
"""

import re
from datetime import UTC
from email.utils import format_datetime
from ipaddress import ip_address

from mta.mail.address import is_valid_address, is_valid_domain, normalize_domain
from mta.mail.envelope import Envelope

MAX_TOKEN_CHARS = 255  # the longest domain; no client's word needs more

_UNSAFE_IN_TOKEN = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_UNSAFE_IN_WORD = re.compile(r"[^A-Za-z0-9._/-]")
_UNSAFE_IN_COMMENT = re.compile(r"[^ -~]")


def format_received(
    envelope: Envelope, *, by: str, name: str, delivery_id: str, recipient: str
) -> bytes:
    """Write the trace field of one delivery, folded, CRLF included.

    Args:
        envelope: Where the message came from, and when.
        by: Our name in this session, as we say it in EHLO.
        name: What to call this software.
        delivery_id: As in ``Delivery.id``.
        recipient: Whom this copy is for; one address, so it betrays no other.
    """
    lines = [f"Received: from {_from_clause(envelope)}"]
    if envelope.user:
        lines.append(f" (Authenticated sender: {_comment(envelope.user)})")
    protocol = _word(envelope.protocol[:20]) or "SMTP"
    lines.append(
        f" by {_token(by) or 'localhost'} ({_comment(name)})"
        f" with {protocol} id {_UNSAFE_IN_WORD.sub('?', delivery_id)}"
    )
    if is_valid_address(recipient):
        lines.append(f" for <{recipient}>")
    version, _, cipher = envelope.tls.partition(" ")
    if cipher:
        lines.append(f" (version={_word(version)} cipher={_word(cipher)})")
    date = format_datetime(envelope.received_at.astimezone(UTC))
    return ("\r\n".join(lines) + f";\r\n {date}\r\n").encode()


def _from_clause(envelope: Envelope) -> str:
    literal = _address_literal(envelope.origin)
    helo = _token(envelope.helo or "")
    if literal is None:
        return helo or "localhost"
    host = _host_name(envelope.origin_host)
    return f"{helo or host or literal} ({f'{host} ' if host else ''}{literal})"


def _address_literal(origin: str | None) -> str | None:
    """Write an IP address as §4.1.3 does; None for what is none."""
    try:
        address = ip_address(origin or "")
    except ValueError:
        return None
    if address.version == 4:
        return f"[{address}]"
    return f"[IPv6:{str(address).partition('%')[0]}]"


def _host_name(host: str | None) -> str:
    """A name found by reverse lookup, or nothing; a literal is no name."""
    name = normalize_domain((host or "").removesuffix("."))
    return name if not name.startswith("[") and is_valid_domain(name) else ""


def _token(text: str) -> str:
    return _UNSAFE_IN_TOKEN.sub("?", text[:MAX_TOKEN_CHARS])


def _word(text: str) -> str:
    return _UNSAFE_IN_WORD.sub("", text)


def _comment(text: str) -> str:
    clean = _UNSAFE_IN_COMMENT.sub("?", text[:MAX_TOKEN_CHARS])
    return re.sub(r"([()\\])", r"\\\1", clean)
