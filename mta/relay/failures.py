"""Kinds of failure that only the relay tells apart, and their words.

::

    TransientFailure
    ├── NoConnection    the address cannot be reached; perhaps the next one can
    │   └── LoginRefused    it can, and does not let us in
    ├── NotFromHere     likewise, and the fault is this machine's
    ├── TlsFailed       retried in clear, at the same address, if that is allowed
    ├── NoTls           the next host may have it
    └── StaleSession    retried on a new session
"""

from collections.abc import Callable

from mta.errors import TransientFailure
from mta.policy.tls_results import TlsResult
from mta.relay.guard import Guard
from mta.relay.wire import TimedOut, TlsError
from mta.reply import Reply, make_reply
from mta.smtp.client import ProtocolError


class NoConnection(TransientFailure):
    """No connection came about, so that the next message would fare no better."""


class LoginRefused(NoConnection):
    """The next hop did not let us log in: the next message would fare no better."""


class NotFromHere(TransientFailure):
    """No connection came about, because this machine cannot make it.

    Others may well: it says nothing about the destination.
    """


class TlsFailed(TransientFailure):
    """STARTTLS was agreed on and failed; the peer may do better in clear.

    Attributes:
        result: What was wrong, as reports say it.
        is_untrusted: TLS itself works; it is about the peer's certificate.
    """

    result = TlsResult.VALIDATION_FAILURE
    is_untrusted = False


class NoTls(TransientFailure):
    """TLS is required, and the peer does none."""


class StaleSession(TransientFailure):
    """A session that was used before ended before MAIL was accepted.

    The peer got tired of waiting, or takes so many messages per session. That
    says nothing about this message: try at once on a new session.
    """


def tls_failed(
    fail: Callable[..., TlsFailed], error: Exception, guard: Guard
) -> TlsFailed:
    """Put a handshake that failed, or a wrong peer, into words.

    Args:
        fail: As ``Dialogue.failure``.
    """
    text = f"TLS handshake failed: {str(error) or 'timed out'}"
    # RFC 3463 §3.8: X.7.5, cryptographic failure.
    reply = make_reply(454, "4.7.5", text)
    category = "policy" if guard.is_required else "network"
    failure = fail(TlsFailed, reply, category, is_next_host_worth_trying=True)
    if isinstance(error, TlsError):
        failure.result, failure.is_untrusted = error.result, error.is_untrusted
    return failure


def no_tls(fail: Callable[..., NoTls], why: str) -> NoTls:
    """Put into words that a peer does no TLS where it has to.

    Args:
        fail: As ``Dialogue.failure``.
    """
    # RFC 3463 §3.8: X.7.4, security features not supported.
    reply = make_reply(450, "4.7.4", f"TLS is required, and {why}")
    return fail(NoTls, reply, "policy", is_next_host_worth_trying=True)


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
