"""The measures in force, as one process knows them."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from mta.errors import StoreUnavailable
from mta.policy.measures import EMPTY, Board, Measure
from mta.store.measures import Measures

log = logging.getLogger(__name__)


class KnownMeasures:
    """What was read last; see ``mta.relay.sources.HeldBack``.

    Args:
        now: The clock; aware UTC.
    """

    def __init__(self, store: Measures, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._board: Board = EMPTY
        self._version = -1

    def __bool__(self) -> bool:
        """Whether anything at all is held back."""
        return bool(self._board)

    def in_force(self, places: Sequence[str], tenant: str) -> Sequence[Measure]:
        """List the measures for a tenant's mail to a place, by all its names."""
        return self._board.at(places, tenant=tenant, now=self._now())

    def add(self, measure: Measure) -> None:
        """Know of one more, before it is read."""
        self._board = self._board.with_(measure)

    def read(self) -> None:
        """Learn what is in force; while MongoDB is away, what was known stays."""
        try:
            version = self._store.version()
            if version != self._version:
                self._board = Board(self._store.in_force(self._now()))
                self._version = version
        except StoreUnavailable as error:
            log.info("measures not read error=%s", error)
