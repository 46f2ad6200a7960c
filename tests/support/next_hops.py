"""Next hops that want to be talked to in a way of their own: LMTP, TLS and logins.

Built on aiosmtpd, as ``sink`` is, and with certificates of an authority that nobody
but these tests knows.
"""

import ssl
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import AuthResult

from tests.support.sink import Sink

USER, PASSWORD = "ada", "opensesame"


class LmtpController(Controller):
    """Speaks LMTP (RFC 2033)."""

    def factory(self) -> LMTP:
        return LMTP(self.handler, **self.SMTP_kwargs)


class Doorman:
    """Lets USER in, by PASSWORD, and nobody else.

    Attributes:
        asked: The users and passwords that were tried.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(
        self, server: Any, session: Any, envelope: Any, mechanism: str, said: Any
    ) -> AuthResult:
        self.asked.append((said.login.decode(), said.password.decode()))
        is_known = self.asked[-1] == (USER, PASSWORD)
        return AuthResult(success=is_known, handled=False)


def mailboxes(host: str, port: int) -> Sink:
    """A server that takes mail by LMTP."""
    return Sink(host, port, LmtpController)


def relay(host: str, port: int, context: ssl.SSLContext, doorman: Doorman) -> Sink:
    """A server that takes mail from whom the doorman lets in, over TLS."""
    return Sink(
        host,
        port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=doorman,
    )


def issue(folder: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS with a certificate for ``names``, and the authority's own."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(file)
    return context, file
