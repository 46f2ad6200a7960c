"""What the SMTP door needs from other rooms."""

from collections.abc import Callable
from typing import Protocol

from mta.mail.envelope import Envelope
from mta.reply import Reply


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

    def on_turned_away(self, interface: str, reply: Reply) -> None:
        """A client heard ``reply`` in place of a greeting."""


# Asked at each RCPT with reverse path and recipient; None means yes.
Screen = Callable[[str, str], Reply | None]
