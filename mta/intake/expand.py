"""From one message to one row and one doorbell per recipient.

Runs inline at acceptance, and again from the scheduler for a message whose
acceptor died half way: ids are deterministic, so repeating is harmless.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol

from mta.delivery import Delivery, DeliveryState, delivery_id
from mta.store.deliveries import RING_GRACE, Deliveries
from mta.store.documents import Recipient, StoredMessage, delivery_document
from mta.store.messages import Messages

_ROWS_AT_ONCE = 2_000


class Bell(Protocol):
    """Wakes the workers of a zone; may fail silently."""

    def room(self, zone: str) -> int: ...

    def ring(
        self, zone: str, deliveries: Sequence[Delivery], *, rung_at: datetime
    ) -> int: ...


class Expander:
    """Writes the rows of a message and rings for as many as there is room."""

    def __init__(self, deliveries: Deliveries, messages: Messages, bell: Bell) -> None:
        self._deliveries = deliveries
        self._messages = messages
        self._bell = bell

    def expand(
        self, message: StoredMessage, recipients: Sequence[Recipient], now: datetime
    ) -> None:
        """Write all rows, note that they exist, then ring.

        Rows for which the broker has no room are due for the scheduler at once.

        Raises:
            StoreUnavailable: Some rows may be missing; expand again.
        """
        rung = self._choose_rung(recipients)
        rows = (
            delivery_document(
                message,
                number,
                recipient,
                ring_at=now + RING_GRACE if number in rung else now,
                rung_at=now if number in rung else None,
            )
            for number, recipient in enumerate(recipients, start=1)
        )
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            self._deliveries.insert(batch)
        self._messages.mark_expanded(message.id)
        by_zone: dict[str, list[Delivery]] = {}
        for number in sorted(rung):
            recipient = recipients[number - 1]
            bells = by_zone.setdefault(recipient.zone, [])
            bells.append(_first(message, number, recipient))
        for zone, bells in by_zone.items():
            self._bell.ring(zone, bells, rung_at=now)

    def _choose_rung(self, recipients: Sequence[Recipient]) -> set[int]:
        """Numbers, from 1, of the recipients to ring for now."""
        rooms: dict[str, int] = {}
        rung = set()
        for number, recipient in enumerate(recipients, start=1):
            zone = recipient.zone
            if zone not in rooms:
                rooms[zone] = self._bell.room(zone)
            if rooms[zone] > 0:
                rooms[zone] -= 1
                rung.add(number)
        return rung


def _first(message: StoredMessage, number: int, recipient: Recipient) -> Delivery:
    return Delivery(
        id=delivery_id(message.id, number),
        message_id=message.id,
        zone=recipient.zone,
        recipient=recipient.address,
        domain=recipient.domain,
        state=DeliveryState.QUEUED,
        created_at=message.created_at,
        due_at=message.created_at,
        give_up_at=message.give_up_at,
    )
