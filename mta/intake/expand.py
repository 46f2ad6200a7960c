"""From one message to one row and one doorbell per recipient.

Runs inline at acceptance, and again from the scheduler for a message whose
acceptor died half way: ids are deterministic, so repeating is harmless.

Ringing at once is for mail that comes by ones and twos into a zone without backlog.
The rest, and what is due later, is left to the scheduler, which rings for everybody
in turn.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol

from mta.delivery import Delivery, DeliveryState, delivery_id
from mta.policy.fairness import direct_water
from mta.store.deliveries import ETA_LEAD, RING_GRACE, Deliveries
from mta.store.documents import Recipient, StoredMessage, delivery_document
from mta.store.messages import Messages

_ROWS_AT_ONCE = 2_000


class Bell(Protocol):
    """Wakes the workers of a zone; may fail silently."""

    def room(self, zone: str, *, most: int, is_transactional: bool) -> int: ...

    def ring(
        self, zone: str, deliveries: Sequence[Delivery], *, rung_at: datetime
    ) -> int: ...


class Expander:
    """Writes the rows of a message and rings for as many as there is room.

    Args:
        connections_of: How many connections a zone has.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        messages: Messages,
        bell: Bell,
        connections_of: Callable[[str], int],
    ) -> None:
        self._deliveries = deliveries
        self._messages = messages
        self._bell = bell
        self._connections_of = connections_of

    def expand(
        self, message: StoredMessage, recipients: Sequence[Recipient], now: datetime
    ) -> None:
        """Write all rows, note that they exist, then ring.

        Rows for which there is no room are due for the scheduler at once; those of a
        message that is due later, shortly before that.

        Raises:
            StoreUnavailable: Some rows may be missing; expand again.
        """
        is_due = message.due_at <= now
        rung = self._choose_rung(message, recipients) if is_due else set()
        left_until = now if is_due else message.due_at - ETA_LEAD
        rows = (
            delivery_document(
                message,
                number,
                recipient,
                ring_at=now + RING_GRACE if number in rung else left_until,
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

    def _choose_rung(
        self, message: StoredMessage, recipients: Sequence[Recipient]
    ) -> set[int]:
        """Numbers, from 1, of the recipients to ring for now.

        Each class has a list of its own: transactional mail overtakes what waits in
        the other one, and neither must keep the scheduler from ringing for those
        whose turn it is.
        """
        rooms: dict[str, int] = {}
        rung = set()
        for number, recipient in enumerate(recipients, start=1):
            zone = recipient.zone
            if zone not in rooms:
                rooms[zone] = self._bell.room(
                    zone,
                    most=direct_water(self._connections_of(zone)),
                    is_transactional=message.is_transactional,
                )
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
        due_at=message.due_at,
        give_up_at=message.give_up_at,
        lane=message.lane,
    )
