"""What a server promises every client, and how it introduces itself.

RFC 5321 §4.2 and §4.1.1.1; the three replies here have no enhanced status
(RFC 2034 §4).
"""

from dataclasses import dataclass
from functools import lru_cache

from mta.reply import format_reply, make_reply
from mta.smtp.extensions import compose_ehlo_reply, offered_extensions

DEFAULT_BANNER = "ESMTP ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """The promises of one listener.

    Attributes:
        hostname: Our name, in the greeting and in the replies to HELO and EHLO.
        banner: The words after it in the greeting.
        max_size: Octets of content per message.
        max_recipients: Per message; RFC 5321 §4.5.3.1.8 wants 100 at least.
    """

    hostname: str
    banner: str = DEFAULT_BANNER
    max_size: int
    max_recipients: int


def greet(options: SessionOptions) -> bytes:
    """Compose the first reply of a session."""
    text = f"{options.hostname} {options.banner}"
    return format_reply(make_reply(220, None, text))


@lru_cache(maxsize=64)
def answer_helo(options: SessionOptions) -> bytes:
    """Compose the reply to HELO: one line, no extensions."""
    return format_reply(make_reply(250, None, options.hostname))


@lru_cache(maxsize=64)
def answer_ehlo(options: SessionOptions) -> bytes:
    """Compose the reply to EHLO."""
    extensions = offered_extensions(options.max_size)
    return format_reply(compose_ehlo_reply(options.hostname, extensions))
