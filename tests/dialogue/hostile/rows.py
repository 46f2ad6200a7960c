"""The shape of a row: what a server does, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.dialogue.hostile.mx import Script
from tests.dialogue.hostile.odd_dns import OddDns

SHORT = timedelta(seconds=0.3)
PATIENT = timedelta(seconds=20)
# Above SHORT by what a busy machine may take, and far below PATIENT.
BOUND_S = 6.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One behaviour.

    Attributes:
        name: What the server does.
        script: How.
        state: Of the delivery after one attempt; that of nobody else's doing.
        category: Of the outcome; empty if it was delivered.
        next_host: Whether the next best host is asked in the same attempt.
        bound_s: Most seconds that the attempt may take.
        says: What the recorded reply has in it.
        timeouts: Those that are not long.
        zone: Options of the zone, beside its port.
        warm: Messages that go before, by the same session.
        refuses: The server has the whole message, and says that it does not take it.
        connections: To the bad host, in the one attempt, with the messages before.
        octets: Of the content, about.
        request: Fields of the relay's request.
        memory: Octets by which memory may grow meanwhile; None: nobody looks.
        names: Makes DNS what it is in this row.
        has_next: There is a next host that could be asked.
        secret: Must not be in anything that is kept.
    """

    name: str
    script: Script
    state: str
    category: str = ""
    next_host: bool = False
    bound_s: float = BOUND_S
    says: str = ""
    timeouts: dict[str, timedelta] = field(default_factory=dict)
    zone: str = ""
    warm: int = 0
    refuses: bool = False
    connections: int = 1
    octets: int = 0
    request: dict[str, Any] = field(default_factory=dict)
    memory: int | None = None
    names: Callable[[OddDns], None] | None = None
    has_next: bool = True
    secret: str = ""

    def __str__(self) -> str:
        return self.name


def delivered(name: str, script: Script, **more: Any) -> Row:
    """It has the message."""
    return Row(name=name, script=script, state="delivered", **more)


def deferred(name: str, script: Script, category: str, **more: Any) -> Row:
    """It does not, and may get it later."""
    more.setdefault("next_host", True)
    return Row(name=name, script=script, state="deferred", category=category, **more)


def bounced(name: str, script: Script, category: str = "smtp", **more: Any) -> Row:
    """It does not, and never will."""
    return Row(name=name, script=script, state="bounced", category=category, **more)


def in_doubt(name: str, script: Script, category: str, **more: Any) -> Row:
    """It may have it, and has not said so."""
    more.setdefault("says", "may have been delivered")
    return Row(name=name, script=script, state="in_doubt", category=category, **more)
