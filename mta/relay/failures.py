"""Kinds of failure that only the relay tells apart, and their words.

::

    TransientFailure
    ├── NoConnection    the address cannot be reached; perhaps the next one can
    ├── NotFromHere     likewise, and the fault is this machine's
    ├── TlsFailed       retried in clear, at the same address
    └── StaleSession    retried on a new session
"""

from mta.errors import TransientFailure
from mta.relay.wire import TimedOut
from mta.reply import Reply, make_reply
from mta.smtp.client import ProtocolError


class NoConnection(TransientFailure):
    """No connection came about, so that the next message would fare no better."""


class NotFromHere(TransientFailure):
    """No connection came about, because this machine cannot make it.

    Others may well: it says nothing about the destination.
    """


class TlsFailed(TransientFailure):
    """STARTTLS was agreed on and failed; the peer may do better in clear."""


class StaleSession(TransientFailure):
    """A session that was used before ended before MAIL was accepted.

    The peer got tired of waiting, or takes so many messages per session. That
    says nothing about this message: try at once on a new session.
    """


def describe_break(error: Exception, stage: str) -> tuple[Reply, str]:
    """Put a broken session into words: a reply of ours, and its category.

    Args:
        stage: What we were at, such as ``"RCPT"``.
    """
    if isinstance(error, ProtocolError):
        text = f"Protocol error: {error} at {stage}"
        return make_reply(450, "4.5.0", text), "protocol"
    what = "timed out" if isinstance(error, TimedOut) else str(error)
    # RFC 3463 §3.5: X.4.2, bad connection.
    return make_reply(450, "4.4.2", f"Network error: {what} at {stage}"), "network"


def describe_doubt(reply: Reply) -> Reply:
    """Add that the peer had the whole message when the session broke (RFC 1047)."""
    return Reply(
        reply.code, reply.status, (*reply.text, "The message may have been delivered")
    )


def as_transient(reply: Reply) -> Reply:
    """Keep a 4yz reply; make one out of any other."""
    return reply if reply.is_transient else make_reply(451, "4.5.0", *reply.text)
