"""Commands out and replies in over one wire, each in its time, and failures of that.

A step below ``session.py``, which knows what to say: here is who is talked to, what
we are at, how long there still is, and whether the two sides are in step.
"""

import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.relay.request import Hop
from mta.relay.transcript import Transcript
from mta.relay.wire import Wire
from mta.reply import Reply
from mta.smtp.client import Block, ClientSession, ProtocolError, Verb

_Failure = TypeVar("_Failure", bound=AttemptFailed)


class Dialogue:
    """One client's talk with one server.

    Attributes:
        stage: What we are at, for the words of a failure.
        until: Instant, on the monotonic clock, that no step goes beyond.
        is_broken: Something was not as it should be; nothing more may be said.
        transcript: What is said.
        secrets: What is kept nowhere, should the server repeat it.
    """

    def __init__(
        self, wire: Wire, hop: Hop, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.wire = wire
        self.hop = hop
        self.client = ClientSession()
        self.stage: str = Verb.CONNECT
        self.until = float("inf")
        self.is_broken = False
        self._monotonic = monotonic
        self.transcript = Transcript(monotonic)
        self.secrets: set[str] = set()
        self._replies: deque[tuple[Verb, Reply]] = deque()

    @property
    def is_in_step(self) -> bool:
        """Every command is answered, nothing more has come, nothing is broken."""
        return self.client.is_in_step and not self._replies and not self.is_broken

    def limit(self, timeout: timedelta) -> None:
        """Give all steps from now on ``timeout`` together."""
        self.until = self._monotonic() + timeout.total_seconds()

    def deadline(self, timeout: timedelta) -> float:
        """The instant until which a step of this length may last."""
        return min(self._monotonic() + timeout.total_seconds(), self.until)

    def send(self, octets: bytes, timeout: timedelta, shown: bytes = b"") -> None:
        """Send commands.

        Args:
            shown: For the transcript, if there is a secret in it.

        Raises:
            Cut, TimedOut: see ``Wire.send``.
        """
        self.transcript.sent(shown or octets)
        self.wire.send(octets, self.deadline(timeout))

    def send_content(self, octets: bytes, timeout: timedelta) -> None:
        """Send a piece of content; see ``send``."""
        self.transcript.sent_content(len(octets))
        self.wire.send(octets, self.deadline(timeout))

    def hear(self, timeout: timedelta) -> Reply:
        """Return the next reply.

        Raises:
            Cut, TimedOut: see ``Wire.receive``.
            ProtocolError: see ``ClientSession.receive``.
        """
        deadline = self.deadline(timeout)
        while not self._replies:
            is_lost = self.client.has_problem
            octets = b"" if is_lost else self.wire.receive(deadline)
            self._replies.extend(self.client.receive(octets))
        _, reply = self._replies.popleft()
        if self.secrets and not reply.is_intermediate:
            reply = _without(self.secrets, reply)
        self.transcript.heard(reply)
        if reply.code == 421:
            self.is_broken = True  # RFC 5321 §3.8: the peer is closing
        return reply

    def check_silence(self) -> None:
        """See that nothing is said before the content has come to its end.

        It would be taken for the answer to that: a message that is then refused would
        count as delivered.

        Raises:
            AttemptFailed: The server does not want the content after all.
            Cut: see ``Wire.receive``.
            ProtocolError: What it says makes no sense here.
        """
        if self.client.has_problem:
            self.client.receive(b"")
        octets = self.wire.receive_now()
        if not octets:
            return
        self.is_broken = True
        self.client.send(Block(b"", (Verb.DOT,)))
        for _, reply in self.client.receive(octets):
            self.transcript.heard(reply)
            raise self.refusal(reply)
        raise ProtocolError("half a reply before its time")

    def ask(
        self, verb: Verb, command: bytes, timeout: timedelta, shown: bytes = b""
    ) -> Reply:
        """Send a command and return the reply; ``timeout`` is for each of the two."""
        self.stage = verb
        self.send(command, timeout, shown)
        return self.hear(timeout)

    def refusal(
        self, reply: Reply, *, is_next_host_worth_trying: bool = False
    ) -> AttemptFailed:
        """Turn a negative reply into the failure it is.

        Raises:
            ProtocolError: the reply is not negative, and still not what is due.
        """
        if reply.is_transient:
            return self.failure(
                TransientFailure,
                reply,
                "smtp",
                is_next_host_worth_trying=is_next_host_worth_trying,
            )
        if reply.is_permanent:
            return self.failure(PermanentFailure, reply, "smtp")
        raise ProtocolError(f"unexpected reply {str(reply)[:80]}")

    def failure(
        self,
        kind: type[_Failure],
        reply: Reply,
        category: str,
        *,
        is_next_host_worth_trying: bool = False,
        is_in_doubt: bool = False,
    ) -> _Failure:
        """Make a failure that says who was talked to, and what was said."""
        failure = kind(
            reply,
            category=category,
            host=self.hop.host,
            address=self.hop.address,
            source=self.hop.source,
            is_next_host_worth_trying=is_next_host_worth_trying,
            is_in_doubt=is_in_doubt,
        )
        if category != "smtp":
            self.transcript.note(str(reply))
        failure.talk = self.transcript.snapshot()
        return failure


def _without(secrets: set[str], reply: Reply) -> Reply:
    text = "\n".join(reply.text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return Reply(reply.code, reply.status, tuple(text.split("\n")))
