"""Which attempts are worth a transcript, and why."""

from datetime import timedelta
from typing import Final

from mta.delivery import Outcome

SLOW: Final = timedelta(seconds=30)


def why_kept(outcome: Outcome, *, last_tls: bool | None) -> str:
    """Say why an attempt's transcript is kept; empty: it went as usual.

    Args:
        last_tls: Whether the last session with the same host was encrypted; None:
            there was none that we remember.
    """
    if outcome.is_doubtful:
        return "in doubt"
    if outcome.category:
        return f"failed ({outcome.category})"
    if last_tls is None:
        return "first contact"
    if last_tls != bool(outcome.tls):
        return "encrypted now" if outcome.tls else "no longer encrypted"
    if outcome.duration_ms >= SLOW / timedelta(milliseconds=1):
        return "slow"
    return ""
