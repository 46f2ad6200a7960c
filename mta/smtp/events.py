"""What a server session tells its driver.

Those of ``Question`` are questions: the session goes on when the driver has answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mta.delivery import Notice
from mta.smtp.grammar import MailCommand
from mta.smtp.sasl import Credentials, KeysWanted


@dataclass(frozen=True, slots=True)
class TlsWanted:
    """Send what is to be sent, shake hands, and say ``begin_tls()``."""


@dataclass(frozen=True, slots=True)
class LoginReceived:
    """A client says who it is: ``answer_login()``, or ``answer()`` with a refusal."""

    mechanism: str
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class ClientDeclared:
    """XCLIENT: the client speaks for another; what is None is not known.

    Attributes:
        facts: By name, as in ``mta.smtp.xclient.XCLIENT_NAMES``.
    """

    facts: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class OriginDeclared:
    """XFORWARD: where the next messages came from, before they came to the client."""

    facts: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class MailReceived:
    """A transaction begins.

    Attributes:
        reverse_path: Normalized; "" is the null reverse path.
        size: What SIZE announced, in octets; None if nothing.
    """

    reverse_path: str
    size: int | None


@dataclass(frozen=True, slots=True)
class RcptReceived:
    """One more recipient, normalized."""

    reverse_path: str
    recipient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentStarted:
    """DATA or BDAT came and all is well so far; a positive answer takes the content.

    Attributes:
        mail: Its reverse path is normalized.
        recipients: At least one; no two differ in case alone.
        notices: By recipient, what was said about notices; few say something.
        protocol: The word for a Received field's "with" clause.
    """

    mail: MailCommand
    recipients: tuple[str, ...]
    notices: Mapping[str, Notice] = field(default_factory=dict)
    protocol: str
    helo: str

    @property
    def reverse_path(self) -> str:
        """As in ``mail``."""
        return self.mail.reverse_path


@dataclass(frozen=True, slots=True)
class ContentChunk:
    """The next octets of content: dots unstuffed, line ends as they came."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ContentEnded:
    """All of it came; the answer is what the client will rely on.

    Attributes:
        size: Octets of content.
    """

    size: int


@dataclass(frozen=True, slots=True)
class TransactionReset:
    """The transaction is over without its content having been taken.

    The client gave it up, or the content cannot be taken: what of it was stored is to
    be thrown away.
    """


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Send what is left to send, then close."""


Question = (
    MailReceived
    | RcptReceived
    | ContentStarted
    | ContentEnded
    | TlsWanted
    | KeysWanted
    | LoginReceived
    | ClientDeclared
    | OriginDeclared
)
Event = Question | ContentChunk | TransactionReset | SessionEnded
