"""A delivery: one message on its way to one recipient, its states and its fence.

This is the unit of queueing and retry. MongoDB holds the record; everything else
(Celery's messages above all) is a hint that may be lost, late or doubled.

::

    insert            claim (claims + 1)             settle
    ───────► queued ──────────────────► sending ─────┬──────► delivered ┐
              ▲ ▲ ▲                      │ │ │ │     ├──────► bounced   │
              │ │ └─── no slot, no turn,─┘ │ │ │     └──────► expired   │ terminal
              │ │      stopped             │ │ │              cancelled ┘
              │ └───── lease over: claim ◄─┘ │ │ final dot, no reply
              │                              │ └──────► in_doubt ──► (by policy)
              │    4yz, network, DNS         │             │ retry: when due
              └─ scheduler rings ── deferred ┘             ▼ claim
                                                        sending
    operator:  queued, deferred, in_doubt ─► held ─► queued;  any waiting ─► cancelled

What a crash leaves, and who repairs it:

===========  ===============================================================
queued       A row whose doorbell may be lost. The scheduler rings at
             ``ring_at``. With ``waits_for`` it is parked: whoever frees a slot
             of that limit takes it on; if that process dies, so does the word,
             and the scheduler looks again within a minute.
sending      A row whose owner may be dead. After ``lease_until`` plus a grace
             anyone may claim it again; ``claims`` tells the late owner that
             its settlement no longer counts. If ``dot_at`` is set, the owner
             had announced the final dot: nobody claims it, and the scheduler
             makes it ``in_doubt``.
deferred     Nothing is lost: ``due_at`` is the truth and the scheduler rings.
in_doubt     The next hop may have the message (RFC 1047). The zone's policy
             decides: try again at ``due_at``, wait for a person, or take it
             for delivered. No repetition is silent: ``doubts`` counts, the
             timeline says so, and the list keeps it.
held         Waits for a person, until ``give_up_at``.
terminal     Nothing to do; a TTL index removes the row later.
===========  ===============================================================

``claims`` counts claims and is the fence; ``attempts`` counts real tries: being
denied a slot, or told to wait for one's turn, is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mta.reasons import NO_REASONS, Reasons
from mta.reply import Reply


class DeliveryState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    DEFERRED = "deferred"
    IN_DOUBT = "in_doubt"
    HELD = "held"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Nothing will happen to the delivery any more."""
        return self in TERMINAL


class Notify(StrEnum):
    """What a sender may want to hear of a recipient (RFC 3461 §4.1)."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@dataclass(frozen=True, slots=True)
class Notice:
    """What the sender said about notices for one recipient.

    Attributes:
        notify: Empty: nothing was said, and failures and delays are told.
        orcpt: Original recipient with its type, ``rfc822;ada@example.test``; ""
            if not said.
    """

    notify: frozenset[Notify] = frozenset()
    orcpt: str = ""

    def __bool__(self) -> bool:
        return bool(self.notify or self.orcpt)


NO_NOTICE = Notice()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a sender asks of every hop on the way, for one recipient.

    Attributes:
        ret: How much a DSN should return: ``FULL``, ``HDRS`` or "" (RFC 3461 §4.3).
        envid: The sender's name for the envelope; "" if none (RFC 3461 §4.4).
        require_tls: Never to travel in clear, nor to whom cannot be trusted to see
            to that (RFC 8689).
    """

    ret: str = ""
    envid: str = ""
    notice: Notice = NO_NOTICE
    require_tls: bool = False


NO_WISHES = Wishes()


_S = DeliveryState
TRANSITIONS: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    _S.QUEUED: frozenset(
        # again: an operator wants it tried now
        {_S.SENDING, _S.QUEUED, _S.HELD, _S.EXPIRED, _S.CANCELLED}
    ),
    _S.SENDING: frozenset(
        {
            _S.SENDING,  # the lease is over: another claim
            *(_S.QUEUED, _S.DEFERRED, _S.IN_DOUBT),
            *(_S.DELIVERED, _S.BOUNCED, _S.EXPIRED),
        }
    ),
    _S.DEFERRED: frozenset({_S.SENDING, _S.QUEUED, _S.HELD, _S.EXPIRED, _S.CANCELLED}),
    _S.IN_DOUBT: frozenset(
        {
            *(_S.SENDING, _S.QUEUED, _S.HELD, _S.EXPIRED, _S.CANCELLED),
            *(_S.DELIVERED, _S.DEFERRED, _S.BOUNCED),  # the late word of its owner
        }
    ),
    _S.HELD: frozenset({_S.QUEUED, _S.EXPIRED, _S.CANCELLED}),
    _S.DELIVERED: frozenset(),
    _S.BOUNCED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
}
TERMINAL = frozenset(state for state, after in TRANSITIONS.items() if not after)
# A claim may begin from these, once the delivery is due.
CLAIMABLE = frozenset({_S.QUEUED, _S.DEFERRED, _S.IN_DOUBT})
# Nobody works on these, and time may run out for them.
WAITING = CLAIMABLE | {_S.HELD}
LIVE = WAITING | {_S.SENDING}


def may_follow(before: DeliveryState, after: DeliveryState) -> bool:
    """Whether the queue's rules know the step."""
    return after in TRANSITIONS[before]


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
        is_doubtful: The recipient may have got the message.
        reasons: What decided the attempt, if one was made.
        talk: What was said; its ``str`` is for people. Not kept with the row.
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
    is_doubtful: bool = False
    reasons: Reasons = NO_REASONS
    talk: object = ""

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
        lane: Whose turn it shares: class of priority and tenant, ``"5:feeder"``.
        claims: Claims so far, the current one included: the fence.
        attempts: Tries so far, the current one not included.
        owner: Process that holds the lease; empty if none does.
        lease_until: End of the lease, by the database's clock.
        rung_at: When its last doorbell was published; None if none was.
        waits_for: Key of the limit it is parked for; empty if it is not.
        woken_by: Key of the limit of which a slot got free, if it was rung for that.
        has_turn: It comes back at the time that a rate gave it.
        put_off_by: Key of the rate, ration or measure that allowed nothing before
            ``due_at``, if one did.
        rule: What chose its zone, as ``mta.policy.routing`` says it.
        doubts: How often it may have been delivered without our knowing.
        log: Outcomes so far, oldest first, bounded.
        notice: What its sender wants to hear of it.
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
    lane: str = "5:"
    claims: int = 0
    attempts: int = 0
    owner: str = ""
    lease_until: datetime | None = None
    rung_at: datetime | None = None
    waits_for: str = ""
    woken_by: str = ""
    has_turn: bool = False
    put_off_by: str = ""
    rule: str = ""
    doubts: int = 0
    log: tuple[Outcome, ...] = ()
    notice: Notice = NO_NOTICE

    @property
    def seq(self) -> str:
        """The recipient's number within its message, such as ``"001"``."""
        return self.id.rpartition(".")[2]

    @property
    def is_transactional(self) -> bool:
        """It goes before other mail."""
        return self.lane.startswith(TRANSACTIONAL_LANE)

    @property
    def tenant(self) -> str:
        """Whose mail it is."""
        return self.lane.partition(":")[2]

    @property
    def last(self) -> Outcome | None:
        """The latest outcome, if any."""
        return self.log[-1] if self.log else None


# Sorts before NORMAL_LANE; the digits are Celery's priorities on Redis.
TRANSACTIONAL_LANE, NORMAL_LANE = "0:", "5:"


def lane_of(tenant: str, *, is_transactional: bool) -> str:
    """Name the lane of a tenant's mail of one class."""
    return (TRANSACTIONAL_LANE if is_transactional else NORMAL_LANE) + tenant


def delivery_id(message_id: str, number: int) -> str:
    """Name the ``number``-th recipient (from 1) of a message; deterministic."""
    return f"{message_id}.{number:03x}"
