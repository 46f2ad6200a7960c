"""Keeps the transcripts of attempts that did not go as usual, in bounded numbers.

Thousands of refusals by one host look alike: of each host, a few in a minute are kept.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mta.delivery import Delivery, Outcome
from mta.errors import StoreUnavailable
from mta.policy.anomaly import why_kept
from mta.store.transcripts import KeptTranscript, Transcripts

log = logging.getLogger(__name__)

MAX_HOSTS: Final = 10_000
PER_MINUTE: Final = 5  # of one host
ALL_PER_MINUTE: Final = 100
_MINUTE: Final = timedelta(minutes=1)


@dataclass(slots=True)
class _Host:
    """What one process remembers of a host."""

    is_encrypted: bool | None = None
    minute: datetime | None = None
    kept: int = 0

    def take(self, now: datetime, most: int) -> bool:
        """Count one more of this minute, if there is room."""
        if self.minute is None or now - self.minute >= _MINUTE:
            self.minute, self.kept = now, 0
        self.kept += 1
        return self.kept <= most


@dataclass(slots=True)
class Witness:
    """One process's.

    Args:
        keep_for: How long transcripts are kept; zero: none are.
    """

    store: Transcripts
    keep_for: Callable[[], timedelta]
    _hosts: OrderedDict[str, _Host] = field(default_factory=OrderedDict)
    _all: _Host = field(default_factory=_Host)

    def note(self, claimed: Delivery, outcome: Outcome) -> None:
        """Keep what was said in an attempt, if it is worth it.

        Whatever goes wrong here, the delivery itself must not suffer.
        """
        keep_for = self.keep_for()
        if not keep_for or not outcome.host or not outcome.talk:
            return
        try:
            self._note(claimed, outcome, keep_for)
        except StoreUnavailable as error:
            log.info("transcript not kept id=%s error=%s", claimed.id, error)
        except Exception:
            log.exception("transcript not kept id=%s", claimed.id)

    def _note(self, claimed: Delivery, outcome: Outcome, keep_for: timedelta) -> None:
        host = self._find(outcome.host)
        why = why_kept(outcome, last_tls=host.is_encrypted)
        if not outcome.category:
            host.is_encrypted = bool(outcome.tls)
        if not why or not host.take(outcome.at, PER_MINUTE):
            return
        if not self._all.take(outcome.at, ALL_PER_MINUTE):
            return
        kept = KeptTranscript(
            delivery=claimed.id,
            attempt=outcome.attempt,
            at=outcome.at,
            host=outcome.host,
            why=why,
            text=str(outcome.talk),
        )
        self.store.keep(kept, until=outcome.at + keep_for)

    def _find(self, name: str) -> _Host:
        host = self._hosts.pop(name, None) or _Host()
        self._hosts[name] = host
        if len(self._hosts) > MAX_HOSTS:
            self._hosts.popitem(last=False)
        return host
