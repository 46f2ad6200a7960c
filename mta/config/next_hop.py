"""How next hops are talked to: logins, LMTP, and how long we wait for what."""

from datetime import timedelta
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field

from mta.config.base import HOUR, MINUTE, SECOND, Frozen
from mta.config.fields import CalloutUrl, Line, lasting
from mta.config.values import HostPort

Method: TypeAlias = Literal[
    "SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5", "OAUTHBEARER", "XOAUTH2"
]

HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80

Patience = Annotated[timedelta, lasting(SECOND, HOUR)]


class RelayLogin(Frozen):
    """What we log in to a relay with; only over TLS, with a verified certificate.

    Attributes:
        token: An OAuth bearer token, in the place of a password.
        method: None: the best one that is offered.
    """

    user: Line
    password: Annotated[str, Field(repr=False, max_length=1000)] = ""
    token: Annotated[str, Field(repr=False, max_length=8000)] = ""
    method: Method | None = None


class HttpTarget(Frozen):
    """A web server that takes messages as forms.

    Attributes:
        authorization: Of the request's header, such as ``Bearer TOKEN``.
    """

    url: CalloutUrl
    authorization: Annotated[Line | None, Field(repr=False)] = None

    @property
    def endpoint(self) -> HostPort:
        """Where it listens."""
        url = urlsplit(self.url)
        default = HTTPS_PORT if url.scheme == "https" else HTTP_PORT
        return HostPort(host=(url.hostname or "").lower(), port=url.port or default)

    @property
    def is_encrypted(self) -> bool:
        """It is asked by HTTPS."""
        return self.url.startswith("https:")


class TimeoutsConfig(Frozen):
    """How long we wait for what; see ``mta.relay.wire.Timeouts`` for each.

    The defaults are at least those of RFC 5321 §4.5.3.2, where it has one.
    """

    connect: Patience = 30 * SECOND
    greeting: Patience = 5 * MINUTE
    hello: Patience = 5 * MINUTE
    tls: Patience = 2 * MINUTE
    mail: Patience = 5 * MINUTE
    rcpt: Patience = 5 * MINUTE
    data: Patience = 2 * MINUTE
    block: Patience = 3 * MINUTE
    final: Patience = 10 * MINUTE
    reset: Patience = 30 * SECOND
    transaction: Annotated[timedelta, lasting(SECOND, 24 * HOUR)] = HOUR
    quit: Patience = 2 * SECOND
    attempt: Patience = 15 * MINUTE
