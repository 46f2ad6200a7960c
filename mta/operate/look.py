"""Looking at messages and the queue; changes nothing.

API, dashboard and command line all see through this, so they never disagree.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from mta.config.live import Live
from mta.config.zones import Config
from mta.delivery import Delivery, DeliveryState
from mta.errors import StoreUnavailable
from mta.mail.envelope import Envelope
from mta.operate.pages import Place
from mta.store.census import Census
from mta.store.documents import StoredMessage
from mta.store.messages import Messages
from mta.store.mongo import Mongo, store_errors
from mta.store.spool import Spool
from mta.store.transcripts import KeptTranscript, Transcripts

ACTIVE = (DeliveryState.QUEUED, DeliveryState.SENDING)
# ZoneMTA knows one kind of waiting that is not for one's turn.
DEFERRED = (DeliveryState.DEFERRED, DeliveryState.IN_DOUBT, DeliveryState.HELD)

# What a list may be sorted by, in ZoneMTA's words, and the field that is meant.
SORTS = {"id": "_id", "created": "created_at", "queued": "due_at"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """A message as operators see it; sizes in bytes, instants aware UTC."""

    id: str
    envelope: Envelope
    header: bytes
    body_bytes: int
    body_hash: str
    body_md5: str
    created_at: datetime
    message_id: str
    subject: str
    recipients: int
    has_content: bool


class Doubt(NamedTuple):
    """A delivery that is or was in doubt, and since when, the last time."""

    delivery: Delivery
    since: datetime

    @property
    def place(self) -> Place:
        """Where it stands in the list."""
        return Place(self.since, self.delivery.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Read access for people and programs.

    Attributes:
        ask_broker: True if the broker answers.
    """

    config: Live[Config]
    db: Mongo
    messages: Messages
    census: Census
    spool: Spool
    transcripts: Transcripts
    ask_broker: Callable[[], bool]

    def zones(self, *, include_disabled: bool = False) -> list[str]:
        """Names of the zones, sorted without regard to case."""
        zones = self.config.current.zones.values()
        names = [zone.name for zone in zones if include_disabled or not zone.disabled]
        return sorted(names, key=str.casefold)

    def count_by_domain(
        self, zone: str | None
    ) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Active and deferred deliveries per recipient domain, most first."""
        return (
            self.census.count_by_domain(ACTIVE, zone=zone),
            self.census.count_by_domain(DEFERRED, zone=zone),
        )

    def listing(
        self,
        zone: str,
        *,
        deferred: bool,
        sort: str,
        descending: bool,
        start: int,
        limit: int,
    ) -> list[Delivery]:
        """One page of a zone's deliveries; ``sort`` is a key of ``SORTS``."""
        return self.census.listing(
            DEFERRED if deferred else ACTIVE,
            zone=zone,
            sort=SORTS[sort],
            descending=descending,
            start=start,
            limit=limit,
        )

    def find_message(self, message_id: str) -> MessageView | None:
        """A message, if it is known; its body may be gone already."""
        stored = self.messages.find(message_id)
        return _to_view(stored) if stored else None

    def find_deliveries(self, message_id: str, *, limit: int = 1000) -> list[Delivery]:
        """The deliveries of a message in the order of its recipients."""
        return self.census.of_message(message_id, limit=limit)

    def find_delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery."""
        return self.census.find(delivery_id)

    def find_transcripts(self, delivery_id: str) -> list[KeptTranscript]:
        """What was said in those of a delivery's attempts that were not as usual."""
        return self.transcripts.of_delivery(delivery_id)

    def walk(
        self,
        states: Collection[DeliveryState],
        *,
        zone: str | None,
        after: str | None,
        limit: int,
    ) -> list[Delivery]:
        """Live deliveries of ``states`` by their ids, those after ``after``."""
        return self.census.walk(states, zone=zone, after=after, limit=limit)

    def has_doubts(self) -> bool:
        """Whether any delivery is or was in doubt."""
        return self.census.has_doubts()

    def doubts(self, *, before: Place | None, limit: int) -> list[Doubt]:
        """Deliveries that are or were in doubt, the latest first."""
        found = self.census.doubted(before=before, limit=limit)
        return [Doubt(delivery, since) for delivery, since in found]

    def open_content(
        self, message_id: str, *, body_only: bool
    ) -> Iterator[bytes] | None:
        """Header and body as stored; None if the message or its body is gone."""
        stored = self.messages.find(message_id)
        if stored is None or not stored.has_content:
            return None
        return self._content(stored, body_only=body_only)

    def readiness(self) -> list[tuple[str, bool, str]]:
        """What this process depends on: name, whether it answers, and why not."""
        return [self._ask_mongo(), self._ask_broker()]

    def _content(self, stored: StoredMessage, *, body_only: bool) -> Iterator[bytes]:
        if not body_only:
            yield stored.header + b"\r\n"
        yield from self.spool.read(stored.body.file_id, stored.body.size)

    def _ask_mongo(self) -> tuple[str, bool, str]:
        try:
            with store_errors():
                self.db.command("ping", maxTimeMS=2_000)
        except StoreUnavailable as error:
            # The name of the failure only: its text may hold a URI.
            return ("mongo", False, type(error.__cause__).__name__)
        return ("mongo", True, "")

    def _ask_broker(self) -> tuple[str, bool, str]:
        is_there = self.ask_broker()
        return ("broker", is_there, "" if is_there else "does not answer")


def _to_view(stored: StoredMessage) -> MessageView:
    return MessageView(
        id=stored.id,
        envelope=stored.envelope,
        header=stored.header,
        body_bytes=stored.body.size,
        body_hash=stored.body.hash,
        body_md5=stored.body.md5,
        created_at=stored.created_at,
        message_id=stored.message_id,
        subject=stored.subject,
        recipients=stored.recipient_count,
        has_content=stored.has_content,
    )
