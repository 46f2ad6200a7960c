"""What the pages need from the rooms below, as they see them."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from mta.delivery import Delivery
from mta.operate.look import Doubt, MessageView
from mta.operate.pages import Place
from mta.store.inbox import InboxMessage
from mta.store.transcripts import KeptTranscript


class InboxReader(Protocol):
    """The sandbox's inbox; see ``mta.store.inbox``."""

    def list(
        self, limit: int, recipient: str | None = None
    ) -> Sequence[InboxMessage]: ...

    def find(self, message_id: str) -> InboxMessage | None: ...

    def content(self, message_id: str) -> Iterator[bytes]: ...


class QueueReader(Protocol):
    """The part of ``mta.operate.look.Look`` that the pages show."""

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

    def has_doubts(self) -> bool: ...

    def doubts(self, *, before: Place | None, limit: int) -> list[Doubt]: ...
