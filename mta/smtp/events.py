"""What a server session tells its driver.

``MailReceived``, ``RcptReceived``, ``ContentStarted`` and ``ContentEnded`` are
questions: the session goes on when the driver has answered.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MailReceived:
    """A transaction begins.

    Attributes:
        reverse_path: Normalized; "" is the null reverse path.
        size: What SIZE announced, in octets; None if nothing.
    """

    reverse_path: str
    size: int | None


@dataclass(frozen=True, slots=True)
class RcptReceived:
    """One more recipient, normalized."""

    reverse_path: str
    recipient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentStarted:
    """DATA came and all is well so far; a positive answer asks for the content.

    Attributes:
        recipients: At least one; no two differ in case alone.
        protocol: The word for a Received field's "with" clause.
        body_8bit: BODY=8BITMIME was declared.
        smtputf8: SMTPUTF8 was declared.
    """

    reverse_path: str
    recipients: tuple[str, ...]
    protocol: str
    helo: str
    body_8bit: bool
    smtputf8: bool


@dataclass(frozen=True, slots=True)
class ContentChunk:
    """The next octets of content: dots unstuffed, line ends as they came."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ContentEnded:
    """CRLF.CRLF came; the answer is what the client will rely on.

    Attributes:
        size: Octets of content.
    """

    size: int


@dataclass(frozen=True, slots=True)
class TransactionReset:
    """The transaction is over without its content having been taken.

    The client gave it up, or the content was too big: what of it was stored is
    to be thrown away.
    """


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Send what is left to send, then close."""


Question = MailReceived | RcptReceived | ContentStarted | ContentEnded
Event = Question | ContentChunk | TransactionReset | SessionEnded
