"""Steering deliveries by hand: hold, release, retry, cancel, assume delivered.

What is being sent right now cannot be steered: nobody can take it back. Every order
leaves its line in the timeline, with the category ``operator``.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from mta.config.live import Live
from mta.delivery import Delivery, DeliveryState, Outcome
from mta.operate.timeline import CATEGORY
from mta.reply import Reply, make_reply
from mta.store.census import Census
from mta.store.messages import Messages
from mta.store.steering import Steering, steerable_to

log = logging.getLogger(__name__)


class Order(StrEnum):
    """What an operator may ask for; the values are what they type."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    CANCEL = "cancel"
    ASSUME_DELIVERED = "assume-delivered"


class Effect(NamedTuple):
    """The state an order leads to, and what the timeline says in place of a reply."""

    state: DeliveryState
    reply: Reply


# RFC 3463 §3.4: X.3.0 is the mail system itself, and nothing more precise.
EFFECTS: Mapping[Order, Effect] = {
    Order.HOLD: Effect(
        DeliveryState.HELD, make_reply(450, "4.3.0", "Held by an operator")
    ),
    Order.RELEASE: Effect(
        DeliveryState.QUEUED, make_reply(250, "2.3.0", "Released by an operator")
    ),
    Order.RETRY: Effect(
        DeliveryState.QUEUED, make_reply(250, "2.3.0", "Made due by an operator")
    ),
    Order.CANCEL: Effect(
        DeliveryState.CANCELLED, make_reply(554, "5.3.0", "Cancelled by an operator")
    ),
    Order.ASSUME_DELIVERED: Effect(
        DeliveryState.DELIVERED,
        make_reply(250, "2.3.0", "Taken for delivered by an operator"),
    ),
}

_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What became of an order about one delivery.

    Attributes:
        delivery: As it is now.
        is_done: False if its state forbids the order: nothing was changed.
    """

    delivery: Delivery
    is_done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeredMessage:
    """What became of an order about all deliveries of a message.

    Attributes:
        changed: How many deliveries obeyed.
        states: How many are in which state now.
        recipients: How many the message has; rows of a large one may still be
            on their way into the queue, and those did not hear the order.
    """

    message_id: str
    changed: int
    states: Mapping[DeliveryState, int]
    recipients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """Write access for people and programs.

    Attributes:
        keep_records: How long a finished delivery is remembered.
        now: The clock; aware UTC.
    """

    steering: Steering
    census: Census
    messages: Messages
    keep_records: Live[timedelta]
    now: Callable[[], datetime]

    def steer(self, order: Order, delivery_id: str) -> Steered | None:
        """Carry out an order about one delivery; None if there is none."""
        outcome = self._outcome(order)
        keep_until = outcome.at + self.keep_records.current
        found = None
        for _ in range(_TRIES):
            steered = self.steering.steer(delivery_id, outcome, keep_until=keep_until)
            if steered is not None:
                log.info("steered order=%s id=%s", order.value, delivery_id)
                return Steered(delivery=steered, is_done=True)
            found = self.census.find(delivery_id)
            if found is None or found.state not in steerable_to(outcome.state):
                break
            # It came back from an attempt between the two: ask again.
        return Steered(delivery=found, is_done=False) if found else None

    def steer_message(self, order: Order, message_id: str) -> SteeredMessage | None:
        """Carry out an order about all deliveries of a message that allow it.

        Returns:
            None if there is no such message.
        """
        message = self.messages.find(message_id)
        if message is None:
            return None
        outcome = self._outcome(order)
        changed = self.steering.steer_message(
            message_id, outcome, keep_until=outcome.at + self.keep_records.current
        )
        log.info(
            "steered order=%s id=%s deliveries=%d", order.value, message_id, changed
        )
        return SteeredMessage(
            message_id=message_id,
            changed=changed,
            states=self.census.count_of_message(message_id),
            recipients=message.recipient_count,
        )

    def _outcome(self, order: Order) -> Outcome:
        effect = EFFECTS[order]
        return Outcome(
            at=self.now(), state=effect.state, reply=effect.reply, category=CATEGORY
        )
