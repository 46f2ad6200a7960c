"""A delivery: one message on its way to one recipient, its states and its fence.

This is the unit of queueing and retry. MongoDB holds the record; everything else
(Celery's messages above all) is a hint that may be lost, late or doubled.

::

    insert             claim (claims + 1)              settle
    ───────► queued ───────────────────► sending ──────┬──────► delivered ┐
               ▲  ▲                        │ │         ├──────► bounced   │ terminal
               │  └── lease over, claim ◄──┘ │         └──────► expired   ┘
               │                             │ 4yz, network, DNS
               └─── scheduler rings ──── deferred

What a crash leaves, and who repairs it:

===========  ===============================================================
queued       A row whose doorbell may be lost. The scheduler rings at
             ``ring_at``.
sending      A row whose owner may be dead. After ``lease_until`` plus a grace
             anyone may claim it again; ``claims`` tells the late owner that
             its settlement no longer counts. If the owner died between the
             final dot and its record, the recipient gets the message twice:
             SMTP cannot exclude it (RFC 1047), and we err on the side of mail.
deferred     Nothing is lost: ``due_at`` is the truth and the scheduler rings.
terminal     Nothing to do; a TTL index removes the row later.
===========  ===============================================================

``claims`` counts claims and is the fence; ``attempts`` counts real tries.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mta.reply import Reply


class DeliveryState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """Nothing will happen to the delivery any more."""
        return self in TERMINAL


TERMINAL = frozenset(
    {DeliveryState.DELIVERED, DeliveryState.BOUNCED, DeliveryState.EXPIRED}
)
WAITING = frozenset({DeliveryState.QUEUED, DeliveryState.DEFERRED})
LIVE = WAITING | {DeliveryState.SENDING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt, or the lack of one, came to. One line of the timeline.

    Attributes:
        at: When it was known; aware UTC.
        state: The delivery's state from then on.
        reply: The next hop's, or ours in its place.
        category: As in ``AttemptFailed``; empty on success.
        host, address: The next hop that was talked to, if any.
        source: Local address used, if any.
        duration_ms: From claim to outcome.
        attempt: Which try this was, from 1; 0 if none was made.
        due_at: The next try, for a deferral.
        tls: Version of TLS, such as ``"TLSv1.3"``; empty in clear.
    """

    at: datetime
    state: DeliveryState
    reply: Reply
    category: str = ""
    host: str = ""
    address: str = ""
    source: str = ""
    duration_ms: int = 0
    attempt: int = 0
    due_at: datetime | None = None
    tls: str = ""

    @property
    def response(self) -> str:
        """The reply in one line, as logs and ZoneMTA's API show it."""
        return str(self.reply)

    @property
    def code(self) -> int:
        """The reply code."""
        return self.reply.code

    @property
    def status(self) -> str:
        """The enhanced status such as ``"4.2.1"``; empty if none."""
        return str(self.reply.status or "")

    @property
    def text(self) -> str:
        """The reply's text in one line."""
        return " ".join(self.reply.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message on its way to one recipient. Frozen; the store changes rows.

    Attributes:
        id: ``"<message id>.<seq>"``; seq is 1-based hex of three digits or more.
        message_id: Our spool key, not the Message-ID header field.
        recipient: RCPT TO, normalized.
        domain: The recipient's domain as an A-label, or an address literal.
        created_at: When the message was accepted. Aware UTC, like all instants.
        due_at: Earliest next attempt.
        give_up_at: When we stop trying.
        claims: Claims so far, the current one included: the fence.
        attempts: Tries so far, the current one not included.
        owner: Process that holds the lease; empty if none does.
        lease_until: End of the lease, by the database's clock.
        rung_at: When its last doorbell was published; None if none was.
        log: Outcomes so far, oldest first, bounded.
    """

    id: str
    message_id: str
    zone: str
    recipient: str
    domain: str
    state: DeliveryState
    created_at: datetime
    due_at: datetime
    give_up_at: datetime
    priority: int = 0
    claims: int = 0
    attempts: int = 0
    owner: str = ""
    lease_until: datetime | None = None
    rung_at: datetime | None = None
    log: tuple[Outcome, ...] = ()

    @property
    def seq(self) -> str:
        """The recipient's number within its message, such as ``"001"``."""
        return self.id.rpartition(".")[2]

    @property
    def last(self) -> Outcome | None:
        """The latest outcome, if any."""
        return self.log[-1] if self.log else None


def delivery_id(message_id: str, number: int) -> str:
    """Name the ``number``-th recipient (from 1) of a message; deterministic."""
    return f"{message_id}.{number:03x}"
