"""Destinations that could not be reached a moment ago: not tried again by all.

Shared by all workers through the limits, which tell of it when a slot is asked for,
so that it costs no round trip of its own. What DNS could not tell is remembered
here alone: others may have another resolver, and ours may be what is broken.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock

from mta.errors import AttemptFailed, TransientFailure
from mta.relay.permits import Limits
from mta.reply import Reply, make_reply, parse_reply

TROUBLE_TTL = timedelta(minutes=2)
MAX_KNOWN = 10_000  # of ours; the shared ones run out by themselves


@dataclass(frozen=True, slots=True)
class _Known:
    until: float
    before_slots: Reply | None


class Troubles:
    """What this process knows of destinations in trouble, and tells the others.

    A key is the zone and the destination; the empty one is never in trouble.
    """

    def __init__(
        self, limits: Limits, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._lock = Lock()
        self._known: dict[str, _Known] = {}

    def check(self, key: str) -> None:
        """Let a delivery pass, unless DNS failed for the same a moment ago.

        Raises:
            TransientFailure: it did.
        """
        with self._lock:
            known = self._known.get(key)
        if known is None or known.before_slots is None:
            return
        left = timedelta(seconds=known.until - self._monotonic())
        if left > timedelta(0):
            raise _untried(known.before_slots, left)

    def note(self, key: str, failure: AttemptFailed, *, is_dns: bool = False) -> None:
        """Nothing of this destination could be reached."""
        if not key:
            return
        self._remember(key, failure.reply if is_dns else None, TROUBLE_TTL)
        if is_dns:
            return
        self._limits.note_trouble(key, str(failure.reply), TROUBLE_TTL)

    def hear(self, key: str, text: str, left: timedelta) -> TransientFailure:
        """Put the trouble that the limits told of into a failure."""
        self._remember(key, None, left)
        try:
            reply = parse_reply([text.encode()])
        except ValueError:
            reply = make_reply(450, "4.4.1", text)
        return _untried(reply, left)

    def clear(self, key: str) -> None:
        """A session was opened; a round trip only if we know of trouble."""
        with self._lock:
            known = self._known.pop(key, None)
        if known is not None and known.until > self._monotonic():
            self._limits.clear_trouble(key)

    def _remember(self, key: str, reply: Reply | None, ttl: timedelta) -> None:
        now = self._monotonic()
        with self._lock:
            if len(self._known) >= MAX_KNOWN:
                live = {k: v for k, v in self._known.items() if v.until > now}
                self._known = live if len(live) < MAX_KNOWN else {}
            self._known[key] = _Known(now + ttl.total_seconds(), reply)


def _untried(reply: Reply, left: timedelta) -> TransientFailure:
    age_s = max(0, round((TROUBLE_TTL - left).total_seconds()))
    note = f"Not tried again: it failed so {age_s} s ago"
    return TransientFailure(
        Reply(reply.code, reply.status, (*reply.text, note)), category="network"
    )
