"""How a zone's next hops want to be talked to, beside their security."""

from dataclasses import dataclass

from mta.config.zones import HttpTarget, Zone
from mta.smtp.login_client import Credentials


@dataclass(frozen=True, slots=True)
class Manner:
    """Of one kind of next hop.

    Attributes:
        is_tls_first: TLS begins before anything is said, not with STARTTLS.
        credentials: What we log in with; None: nobody asks us to.
        http: A web server, in the place of all that.
    """

    is_lmtp: bool = False
    is_tls_first: bool = False
    credentials: Credentials | None = None
    http: HttpTarget | None = None


BY_SMTP = Manner()


def manner_of(zone: Zone, *, in_sandbox: bool = False) -> Manner:
    """How to talk to the next hops of a zone; the sandbox is none of them."""
    if in_sandbox:
        return BY_SMTP
    if zone.http is not None:
        return Manner(http=zone.http)
    if zone.auth is None and not zone.lmtp and not zone.secure:
        return BY_SMTP
    credentials = None
    if login := zone.auth:
        method = login.method or ""
        credentials = Credentials(login.user, login.password, login.token, method)
    return Manner(is_lmtp=zone.lmtp, is_tls_first=zone.secure, credentials=credentials)
