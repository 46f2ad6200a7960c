"""Logging in to a next hop: SASL over one session's talk (RFC 4954)."""

import logging
from base64 import b64encode
from typing import Final

from mta.observe import metrics
from mta.relay.dialogue import Dialogue
from mta.relay.failures import LoginRefused
from mta.relay.wire import Timeouts
from mta.reply import Reply, make_reply
from mta.smtp.client import Verb
from mta.smtp.login_client import (
    BadChallenge,
    Credentials,
    Exchange,
    choose_mechanism,
    decode_challenge,
    start_exchange,
)

log = logging.getLogger(__name__)

MAX_STEPS: Final = 5  # no mechanism has more
_LONGEST_COMMAND: Final = 510  # RFC 5321 §4.5.3.1.4, without CRLF


def log_in(talk: Dialogue, credentials: Credentials, timeouts: Timeouts) -> None:
    """Log in with the best mechanism that both know.

    Whoever calls sees to it that nobody else can listen.

    Raises:
        LoginRefused: For whatever reason: it is for the operator to mend, so mail
            waits.
        Cut, TimedOut, ProtocolError: The session broke.
    """
    offered = talk.client.extensions.get("AUTH", "").upper().split()
    mechanism = choose_mechanism(offered, credentials)
    if mechanism is None:
        known = " ".join(offered) or "nothing"
        raise _refused(talk, f"no way to log in: {known[:100]} is offered")
    exchange = start_exchange(mechanism, credentials)
    talk.secrets |= {credentials.password, credentials.token} - {""}
    try:
        reply = _exchange(talk, mechanism, exchange, timeouts)
    except BadChallenge as error:
        talk.is_broken = True  # in the middle of an exchange, or let in by a stranger
        raise _refused(talk, f"login by {mechanism} failed: {error}") from error
    if reply.code != 235:
        raise _refused(talk, f"login by {mechanism} refused: {reply}")


def _exchange(
    talk: Dialogue, mechanism: str, exchange: Exchange, timeouts: Timeouts
) -> Reply:
    """Answer challenges; returns the first reply that is none."""
    words = b"AUTH " + mechanism.encode()
    shown = words + b" ***\r\n"
    first = next(exchange)
    is_first_said = not first  # there is none, or it goes with the command
    command = words + (b" " + b64encode(first) if first else b"")
    if len(command) > _LONGEST_COMMAND:
        command = words
    elif first:
        is_first_said = True
    talk.secrets |= {b64encode(first).decode()} - {""}
    reply = talk.ask(Verb.AUTH, talk.client.auth(command), timeouts.hello, shown)
    for _ in range(MAX_STEPS):
        if reply.code != 334:
            break
        challenge = " ".join(reply.text)
        if is_first_said:
            answer = _answer(exchange, decode_challenge(challenge))
        else:
            answer, is_first_said = first, True
        line = talk.client.auth(b64encode(answer))
        talk.secrets |= {b64encode(answer).decode()} - {""}
        reply = talk.ask(Verb.AUTH, line, timeouts.hello, b"***\r\n")
    if reply.code == 235 and mechanism.startswith("SCRAM"):
        next(exchange, None)  # raises if the server has still to show what it knows
    return reply


def _answer(exchange: Exchange, challenge: bytes) -> bytes:
    try:
        return exchange.send(challenge)
    except StopIteration:
        raise BadChallenge("a challenge too many") from None


def _refused(talk: Dialogue, text: str) -> LoginRefused:
    metrics.LOGINS_REFUSED.labels(talk.hop.host).inc()
    log.error(
        "login failed host=%s address=%s %s", talk.hop.host, talk.hop.address, text
    )
    return talk.failure(
        LoginRefused,
        make_reply(454, "4.7.0", f"Relay: {text}"),
        "auth",
        is_next_host_worth_trying=True,
    )
