"""One login, from AUTH to its verdict (RFC 4954 §4).

Each step ends in a *turn*: octets for the client, whose next line is ours; a question
for the driver; or the verdict, with which it is over.
"""

from dataclasses import dataclass
from typing import TypeAlias

from mta.smtp import phrases
from mta.smtp.events import LoginReceived
from mta.smtp.sasl import (
    BadResponse,
    Challenge,
    KeysWanted,
    Step,
    decode_response,
    start_exchange,
)
from mta.smtp.scram import ScramKeys


@dataclass(frozen=True, slots=True)
class Say:
    """A challenge: the client's next line is the response."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """The login is over; ``user`` is empty if it failed."""

    reply: bytes
    user: str = ""


Turn: TypeAlias = Say | KeysWanted | LoginReceived | Verdict


class LoginDialogue:
    """The state of one AUTH command.

    Args:
        mechanism: One of ``mta.smtp.sasl.MECHANISMS``.
    """

    def __init__(self, mechanism: str) -> None:
        self._mechanism = mechanism
        self._exchange = start_exchange(mechanism)
        self._verdict: Verdict | None = None

    def begin(self, initial: bytes | None) -> Turn:
        """Take the initial response that stood beside AUTH, if any."""
        try:
            return self._turn(self._exchange.begin(initial))
        except BadResponse as bad:
            return Verdict(phrases.bad_response(bad.text))

    def respond(self, line: bytes) -> Turn:
        """Take the client's answer to a challenge."""
        try:
            response = decode_response(line)
            if response is None:
                return Verdict(phrases.LOGIN_CANCELLED)
            if self._verdict is not None:  # the last challenge only told it something
                return self._verdict
            return self._turn(self._exchange.respond(response))
        except BadResponse as bad:
            return self._failed() or Verdict(phrases.bad_response(bad.text))

    def provide(self, keys: ScramKeys | None) -> Turn:
        """Take what the driver found for ``KeysWanted``."""
        return self._turn(self._exchange.provide(keys))

    def conclude(self, reply: bytes, user: str) -> Turn:
        """Take the driver's verdict on ``LoginReceived``; no user: it failed."""
        self._verdict = Verdict(reply, user)
        last = self._exchange.conclude(bool(user))
        return self._verdict if last is None else Say(phrases.challenge(last))

    def _failed(self) -> Verdict | None:
        """A login that was refused is refused, whatever the client says to it."""
        return None if self._verdict is None or self._verdict.user else self._verdict

    def _turn(self, step: Step) -> Turn:
        match step:
            case Challenge(data):
                return Say(phrases.challenge(data))
            case KeysWanted():
                return step
            case _:
                return LoginReceived(self._mechanism, step)
