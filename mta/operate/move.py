"""Moving the waiting mail of one zone to another, as before the first is removed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mta.delivery import DeliveryState, Outcome
from mta.operate.timeline import CATEGORY
from mta.reply import make_reply
from mta.store.moving import Moving

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did, or would do.

    Attributes:
        moved: Deliveries that waited.
        left: Deliveries that are being sent now: nobody can take them back. Those
            that are not delivered wait in the old zone again.
    """

    moved: int
    left: int


@dataclass(frozen=True, slots=True)
class Movers:
    """Moves mail between zones.

    Attributes:
        now: The clock; aware UTC.
    """

    rows: Moving
    now: Callable[[], datetime]

    def look(self, source: str) -> Moved:
        """What there is to move."""
        return Moved(*self.rows.count(source))

    def move(
        self, source: str, target: str, tell: Callable[[int], None] = lambda _: None
    ) -> Moved:
        """Move all mail that waits in ``source``, a batch at a time.

        What is cut short goes on when it is asked for again. Each delivery that was
        moved has a line about it in its timeline.

        Args:
            target: Another zone, which is configured.
            tell: Called after each batch with the number of those moved so far.
        """
        moved, is_more = 0, True
        while is_more:
            some, is_more = self.rows.move_some(source, target, self._note(source))
            moved += some
            tell(moved)
        log.info("moved from=%s to=%s deliveries=%d", source, target, moved)
        return Moved(moved, self.rows.count(source)[1])

    def _note(self, source: str) -> Outcome:
        text = f"Moved here from zone {source} by an operator"
        return Outcome(
            at=self.now(),
            state=DeliveryState.QUEUED,  # each row has its own
            reply=make_reply(250, "2.3.0", text),
            category=CATEGORY,
        )
