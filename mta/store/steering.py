"""Rows that an operator steers: hold, release, retry, cancel, assume delivered.

Every order is one conditional update: it changes rows that are waiting, in a state
from which ``mta.delivery`` allows the step, and never one that is being sent. So a
claim and an order that meet cannot both win, and whoever loses changes nothing.
"""

from datetime import datetime

from pymongo import ReturnDocument

from mta.delivery import WAITING, Delivery, DeliveryState, Outcome, may_follow
from mta.store.deliveries import settlement
from mta.store.documents import to_delivery
from mta.store.mongo import DELIVERIES, LIVE_ROW, Document, Mongo, durable, guarded


def steerable_to(state: DeliveryState) -> frozenset[DeliveryState]:
    """The waiting states from which an order may lead to ``state``."""
    return frozenset(before for before in WAITING if may_follow(before, state))


class Steering:
    """The rows, as operators move them."""

    def __init__(self, db: Mongo) -> None:
        self._rows = durable(db, DELIVERIES)

    @guarded
    def steer(
        self, delivery_id: str, outcome: Outcome, *, keep_until: datetime
    ) -> Delivery | None:
        """Move one row to the outcome's state.

        Args:
            outcome: Held, queued (due at once), or one that finishes the row.
            keep_until: When the row may be forgotten, if this finishes it.

        Returns:
            The row as it is then; None if there is none, or its state forbids it.
        """
        query: Document = {"_id": delivery_id, "state": _before(outcome)}
        for end in self._ends(query, outcome):
            row = self._rows.find_one_and_update(
                {**query, **end},
                _order(outcome, keep_until=keep_until, **end),
                return_document=ReturnDocument.AFTER,
            )
            if row is not None:
                return to_delivery(row)
        return None

    @guarded
    def steer_message(
        self, message_id: str, outcome: Outcome, *, keep_until: datetime
    ) -> int:
        """Move those rows of a message that may be moved; returns how many.

        Args:
            outcome, keep_until: As in ``steer``.
        """
        query = {"message": message_id, "state": _before(outcome), **LIVE_ROW}
        return sum(
            self._rows.update_many(
                {**query, **end}, _order(outcome, keep_until=keep_until, **end)
            ).matched_count
            for end in self._ends(query, outcome)
        )

    def _ends(self, query: Document, outcome: Outcome) -> list[dict[str, datetime]]:
        """The ``give_up_at`` of the rows that are meant; nearly always one.

        A held row waits until then. Naming it in the condition keeps the update
        one step: what was read is either still so, or nothing is changed.
        """
        if outcome.state is not DeliveryState.HELD:
            return [{}]
        found = self._rows.distinct("give_up_at", query)
        return [{"give_up_at": instant} for instant in found]


def _before(outcome: Outcome) -> Document:
    return {"$in": sorted(steerable_to(outcome.state))}


def _order(
    outcome: Outcome, *, keep_until: datetime, give_up_at: datetime | None = None
) -> Document:
    update = settlement(outcome, keep_until=keep_until)
    if not outcome.state.is_terminal:
        at = give_up_at or outcome.at
        update["$set"] |= {"due_at": at, "ring_at": at, "rung_at": None, "rings": 0}
    return update
