"""What the HTTP door needs from the rooms below, as it sees them."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from mta.delivery import Delivery, DeliveryState
from mta.mail.envelope import Envelope
from mta.operate.explain import Explained, Letter
from mta.operate.look import Doubt, MessageView
from mta.operate.measures import Wanted, WarmupStatus
from mta.operate.pages import Place
from mta.operate.steer import Order, Steered, SteeredMessage
from mta.policy.measures import Measure
from mta.reply import Reply
from mta.store.transcripts import KeptTranscript


class Accepted(Protocol):
    """A message that is ours to deliver now.

    Attributes:
        id: Our name for it.
        reverse_path, recipients: As they were stored, also if they were taken
            from the header section.
    """

    @property
    def id(self) -> str: ...

    @property
    def reverse_path(self) -> str: ...

    @property
    def recipients(self) -> Sequence[str]: ...


class Submission(Protocol):
    """One message on its way in."""

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the message, with any line ends.

        Raises:
            Rejected: The message is refused; ``abort`` ends the submission.
            StoreUnavailable: Likewise.
        """

    def commit(self) -> Accepted:
        """Make the message durable.

        Ends the submission also when it raises: whether the remains may go is
        known to it alone, because a write that failed may have been done.

        Raises:
            Rejected: The message is refused.
            StoreUnavailable: Nothing was promised.
        """

    def abort(self) -> None:
        """Forget the message."""


class Intake(Protocol):
    """Where messages go."""

    def begin(self, envelope: Envelope) -> Submission:
        """Begin to take a message.

        Raises:
            Rejected: The envelope alone is reason to refuse.
            StoreUnavailable: No message can be taken now.
        """


class Pressure(Protocol):
    """Whether there is room for more mail; see ``mta.intake.pressure``."""

    def refusal(self) -> Reply | None: ...

    def readiness(self) -> list[tuple[str, bool, str]]: ...


class Look(Protocol):
    """Read access to messages and the queue; see ``mta.operate.look``."""

    def zones(self, *, include_disabled: bool = False) -> list[str]: ...

    def count_by_domain(
        self, zone: str | None
    ) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]: ...

    def listing(
        self,
        zone: str,
        *,
        deferred: bool,
        sort: str,
        descending: bool,
        start: int,
        limit: int,
    ) -> list[Delivery]: ...

    def find_message(self, message_id: str) -> MessageView | None: ...

    def find_deliveries(
        self, message_id: str, *, limit: int = 1000
    ) -> list[Delivery]: ...

    def find_delivery(self, delivery_id: str) -> Delivery | None: ...

    def find_transcripts(self, delivery_id: str) -> list[KeptTranscript]: ...

    def walk(
        self,
        states: Collection[DeliveryState],
        *,
        zone: str | None,
        after: str | None,
        limit: int,
    ) -> list[Delivery]: ...

    def has_doubts(self) -> bool: ...

    def doubts(self, *, before: Place | None, limit: int) -> list[Doubt]: ...

    def open_content(
        self, message_id: str, *, body_only: bool
    ) -> Iterator[bytes] | None: ...

    def readiness(self) -> list[tuple[str, bool, str]]: ...


class Explain(Protocol):
    """Why mail goes as it goes; see ``mta.operate.explain``."""

    def message(
        self, message_id: str, *, limit: int, only: str | None = None
    ) -> list[Explained] | None: ...

    def supposed(self, letter: Letter) -> list[Explained]: ...


class Shaping(Protocol):
    """What is held back; see ``mta.operate.measures``."""

    def in_force(self) -> list[Measure]: ...

    def take(self, wanted: Wanted) -> Measure: ...

    def clear(self, measure_id: str) -> Measure | None: ...

    def pin(self, measure_id: str, *, is_pinned: bool) -> Measure | None: ...

    def warmup(self) -> list[WarmupStatus]: ...


class Steer(Protocol):
    """Write access to the queue; see ``mta.operate.steer``."""

    def steer(self, order: Order, delivery_id: str) -> Steered | None: ...

    def steer_message(self, order: Order, message_id: str) -> SteeredMessage | None: ...
