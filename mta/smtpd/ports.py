"""What the SMTP door needs from other rooms."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mta.mail.envelope import Envelope
from mta.reply import Reply
from mta.smtp.sasl import Credentials
from mta.smtp.scram import ScramKeys


class Accepted(Protocol):
    """A message that is safe now."""

    @property
    def id(self) -> str:
        """What the client is told to ask for."""


class Submission(Protocol):
    """One message on its way in; ``commit`` or ``abort`` ends it."""

    def write(self, chunk: bytes) -> None:
        """Take the next octets of content, dots unstuffed, line ends as sent.

        Raises:
            Rejected: We do not want it; the door aborts and tells the client
                at the end of the content.
            StoreUnavailable: It cannot be kept; likewise.
        """

    def commit(self) -> Accepted:
        """Promise delivery; whatever it raises, it cleans up after itself.

        Raises:
            Rejected: We do not want it.
            StoreUnavailable: It cannot be kept now.
        """

    def abort(self) -> None:
        """Forget it; called in place of ``commit``."""


class Intake(Protocol):
    """Where messages go."""

    def begin(self, envelope: Envelope) -> Submission:
        """Start to take one message.

        Raises:
            Rejected: We do not want it; the client hears so instead of 354.
            StoreUnavailable: Not now; likewise.
        """


class SessionObserver(Protocol):
    """Who counts sessions."""

    def on_open(self, interface: str) -> None:
        """A client was greeted."""

    def on_close(self, interface: str) -> None:
        """A client that was greeted is gone."""

    def on_login(self, interface: str, *, is_right: bool) -> None:
        """A client tried to log in."""

    def on_turned_away(self, interface: str, reply: Reply) -> None:
        """A client heard ``reply`` in place of a greeting."""


class Logins(Protocol):
    """Who may log in, and what those may send."""

    def keys(self, username: str) -> ScramKeys | None:
        """What a proof of SCRAM is checked with; None: there is no such user."""

    def login(self, credentials: Credentials, *, origin: str, mechanism: str) -> str:
        """Check who somebody is; returns the user's name.

        Raises:
            Rejected: It is somebody else, or there were too many failures.
        """

    def may_send(
        self, username: str, reverse_path: str, *, is_vouched: bool = False
    ) -> Reply | None:
        """Whether the user may send from there; None is yes.

        Args:
            is_vouched: Somebody whom we believe said who it is (XCLIENT).
        """

    def reserve(self, username: str, recipients: int) -> Reply | None:
        """Count a message against the user's quota; None: there is room for it."""

    def give_back(
        self, username: str, recipients: int, *, reserved_at: datetime | None = None
    ) -> None:
        """What was reserved, then, was not used."""


# Asked at each MAIL; None: there is room for more mail.
Pressure = Callable[[], Reply | None]

# Asked at each RCPT with reverse path and recipient; None means yes.
Screen = Callable[[str, str], Reply | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Who has a say in what is let in.

    Attributes:
        logins: None: nobody may log in.
        pressure: None: we are never too busy.
        screen: None: every recipient is taken.
    """

    logins: Logins | None = None
    pressure: Pressure | None = None
    screen: Screen | None = None
