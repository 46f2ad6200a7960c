"""What all connections of one listener share, and what is known of one client."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mta.smtp.options import SessionOptions
from mta.smtpd.ports import Guards, Intake, SessionObserver
from mta.smtpd.tls import TlsContexts

NO_GUARDS = Guards()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What all connections of one listener share.

    Attributes:
        interface: Name of the interface, for the envelope and the log.
        options: What its clients are promised, unless the listener knows better.
        idle: How long a client may be silent.
        lifetime: How long a session may last; what is on its way then may take as
            long again.
        now: The clock; aware UTC.
        tls: For STARTTLS; None if it is not offered.
        guards: Who is asked before something is taken.
        observer: Told of sessions and logins.
        breathe: Called between blocks that come in faster than we work, so
            that one client cannot keep the event loop to itself.
    """

    interface: str
    options: SessionOptions
    intake: Intake
    idle: timedelta
    lifetime: timedelta = timedelta(hours=1)
    now: Callable[[], datetime]
    tls: TlsContexts | None = None
    guards: Guards = NO_GUARDS
    observer: SessionObserver | None = None
    breathe: Callable[[], None] = lambda: None


@dataclass(slots=True, kw_only=True)
class Client:
    """Whom we talk to, as far as we know or were told by somebody we believe.

    Attributes:
        origin: Its IP address.
        origin_host: Its name, if somebody looked it up.
        helo, protocol: In place of those of the session.
        tls: Version and cipher; empty in clear.
    """

    origin: str
    origin_host: str | None = None
    helo: str | None = None
    protocol: str | None = None
    tls: str = ""
