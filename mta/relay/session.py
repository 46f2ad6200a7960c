"""One SMTP session as its client: greeting, EHLO, STARTTLS, transactions, QUIT.

Every negative reply, cut, timeout and breach of protocol leaves here as an
``AttemptFailed`` that says whether it is for later, for ever, or for another
host. A session that has seen anything but whole, awaited replies is not used
again.

RFC 5321 §4.2.1 (4yz, 5yz), §4.3.2 (sequences), §4.5.3.2 (timeouts); RFC 1047
(the gap after the final dot); RFC 2920 (PIPELINING); RFC 3207 (STARTTLS): how far it
is demanded, and of whom, a ``Guard`` says.
"""

import socket
import time
from collections.abc import Callable

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.policy.tls import NO_REQUIRETLS, Check
from mta.relay.carry import CONTENT_STAGE, Carrier
from mta.relay.dialogue import Dialogue
from mta.relay.failures import (
    StaleSession,
    describe_break,
    describe_doubt,
    no_tls,
    tls_failed,
)
from mta.relay.fuse import Fuse
from mta.relay.guard import Guard
from mta.relay.login import log_in
from mta.relay.request import Hop, OpenContent
from mta.relay.transcript import Talk
from mta.relay.wire import Cut, TimedOut, Timeouts, TlsError, Wire
from mta.reply import Reply, make_reply
from mta.smtp.client import ProtocolError, Transaction, Verb
from mta.smtp.login_client import Credentials

_NO_8BIT = make_reply(554, "5.6.3", "The next hop does not take 8-bit content")
_NO_UTF8 = make_reply(553, "5.6.7", "The next hop does not take UTF-8 addresses")
_TOO_BIG = make_reply(552, "5.3.4", "The message is larger than the next hop allows")

_TLS_STAGE = "TLS handshake"

_Broken = Cut | TimedOut | ProtocolError


class Session:
    """One SMTP session over a connected socket; owns the socket.

    Attributes:
        verified: By what the peer is known to be the one it should be.
    """

    def __init__(
        self,
        sock: socket.socket,
        hop: Hop,
        *,
        timeouts: Timeouts,
        is_lmtp: bool = False,
        is_tls_first: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.verified = Check.NO
        self._is_lmtp = is_lmtp
        self._is_tls_first = is_tls_first
        self._timeouts = timeouts
        self._wire = Wire(sock, monotonic=monotonic)
        self._talk = Dialogue(self._wire, hop, monotonic=monotonic)
        self._client = self._talk.client
        self._carrier = Carrier(self._talk, timeouts)
        self._talk.transcript.note(
            f"connected to {hop.host}[{hop.address}] from {hop.source or 'anywhere'}"
        )

    @property
    def uses(self) -> int:
        """Transactions begun."""
        return self._carrier.uses

    @property
    def talk(self) -> Talk:
        """What was said in the last transaction; before the first one, so far."""
        return self._talk.transcript.snapshot()

    @property
    def hop(self) -> Hop:
        """The two ends of the session."""
        return self._talk.hop

    @property
    def tls(self) -> str:
        """Version of TLS, such as ``"TLSv1.3"``; empty in clear."""
        return self._wire.tls

    @property
    def cipher(self) -> str:
        """Name of the cipher suite; empty in clear."""
        return self._wire.cipher

    @property
    def is_usable(self) -> bool:
        """Another transaction may follow on this session."""
        return self._talk.is_in_step and not self._carrier.is_in_content

    def __repr__(self) -> str:
        state = "usable" if self.is_usable else f"unusable at {self._talk.stage}"
        peer = f"{self.hop.host}[{self.hop.address}]"
        return f"<Session {peer} {self.tls or 'clear'} {self.uses} {state}>"

    def open(self, tls: Guard | None) -> None:
        """Hear the greeting, say EHLO, and start TLS if both sides can.

        Args:
            tls: None to stay in clear whatever is offered.

        Raises:
            TlsFailed: the handshake failed, or the peer is not who it should be; the
                session is over.
            AttemptFailed: the peer refused us, broke off, or broke the rules; or it
                does not do the TLS that is required.
        """
        try:
            if tls is not None and self._is_tls_first:
                self._shake_hands(tls)
            greeting = self._talk.hear(self._timeouts.greeting)
            if greeting.code != 220:
                # Too busy here may not be too busy there; a 5yz is for all of us.
                raise self._talk.refusal(greeting, is_next_host_worth_trying=True)
            self._hello()
            if tls is not None and not self._is_tls_first:
                self._start_tls(tls)
        except (Cut, TimedOut, ProtocolError) as error:
            raise self._broken(error) from error

    def log_in(self, credentials: Credentials) -> None:
        """Log in; the session must be one that nobody can listen to.

        Raises:
            LoginRefused: See there.
            AttemptFailed: The peer broke off, or broke the rules.
        """
        try:
            log_in(self._talk, credentials, self._timeouts)
        except (Cut, TimedOut, ProtocolError) as error:
            raise self._broken(error) from error

    def transact(
        self, transaction: Transaction, open_content: OpenContent, fuse: Fuse
    ) -> Reply:
        """Send one message to one recipient; return the reply to the final dot.

        Args:
            open_content: Called once the peer wants the content. What it raises
                passes through, and the peer gets no dot.
            fuse: Cuts the transaction, until the last block with the dot.

        Raises:
            StaleSession: see there; only on a session that was used before.
            AttemptFailed: the peer refused, broke off, or broke the rules; or
                lacks an extension that the message cannot do without.
            Stopping: the fuse was blown before.
        """
        if self.uses:
            self._begin_again()
        self._check_extensions(transaction)
        try:
            blocks = self._carrier.plan(transaction)
        except ValueError as error:
            reply = make_reply(553, "5.1.3", f"Bad address: {error}")
            raise self._talk.failure(PermanentFailure, reply, "message") from error
        fuse.arm(self._wire.sock)
        self._talk.limit(self._timeouts.transaction)
        try:
            return self._carrier.carry(transaction, blocks, open_content, fuse)
        except (Cut, TimedOut, ProtocolError) as error:
            raise self._broken(error) from error
        except AttemptFailed:
            raise  # a refusal leaves the session as good as it was
        except BaseException:
            # Killed, or left by the content: nobody knows what is under way.
            self._talk.is_broken = True
            raise
        finally:
            fuse.disarm()

    def rehearse(self, transaction: Transaction) -> Reply:
        """Say MAIL and RCPT, and take them back; no content is sent.

        Returns:
            The reply to RCPT, which is positive.

        Raises:
            AttemptFailed: The peer refused, broke off, or broke the rules.
        """
        self._check_extensions(transaction)
        try:
            blocks = self._client.begin(transaction, reset=False, by_data=False)
            return self._carrier.rehearse(blocks)
        except ValueError as error:
            reply = make_reply(553, "5.1.3", f"Bad address: {error}")
            raise self._talk.failure(PermanentFailure, reply, "message") from error
        except (Cut, TimedOut, ProtocolError) as error:
            raise self._broken(error) from error

    def _begin_again(self) -> None:
        """Forget what was said before: this transaction begins here."""
        hop, transcript = self.hop, self._talk.transcript
        transcript.begin()
        used = f"{self.uses} messages before, {self.tls or 'in clear'}"
        transcript.note(f"on a session with {hop.host}[{hop.address}]: {used}")

    def is_quiet(self) -> bool:
        """Tell whether an idle session still stands, as far as can be seen."""
        return self._wire.is_quiet()

    def end(self) -> None:
        """End the session as RFC 5321 §4.1.1.10 has it: the peer closes after QUIT.

        Waits for that, for some seconds at most: until then the peer counts the
        connection. A session that is not in good order is closed at once.
        """
        if self._say_quit():
            self._wire.await_end(self._talk.until)
        self._wire.close()

    def close(self) -> None:
        """End the session at once: with QUIT if it is in good order."""
        self._say_quit()
        self._wire.close()

    def _say_quit(self) -> bool:
        if not self.is_usable:
            return False
        self._talk.is_broken = True
        self._talk.limit(self._timeouts.quit)
        try:
            self._talk.send(b"QUIT\r\n", self._timeouts.quit)
        except (Cut, TimedOut):
            return False
        return True

    def _hello(self) -> None:
        hello, name = self._timeouts.hello, self.hop.ehlo_name
        if self._is_lmtp:
            reply = self._talk.ask(Verb.LHLO, self._client.lhlo(name), hello)
        else:
            reply = self._talk.ask(Verb.EHLO, self._client.ehlo(name), hello)
        if reply.is_permanent and not self._is_lmtp:
            # RFC 5321 §3.2: a server from before extensions.
            reply = self._talk.ask(Verb.HELO, self._client.helo(name), hello)
        if reply.code != 250:
            raise self._talk.refusal(reply, is_next_host_worth_trying=True)

    def _start_tls(self, guard: Guard) -> None:
        if "STARTTLS" not in self._client.extensions:
            if guard.is_required:
                raise no_tls(self._talk.failure, "STARTTLS is not offered")
            return
        command = self._client.starttls()
        reply = self._talk.ask(Verb.STARTTLS, command, self._timeouts.hello)
        if reply.code != 220:
            # RFC 3207 §4: 454, not now.
            if reply.code == 421 or reply.is_intermediate:
                raise self._talk.refusal(reply, is_next_host_worth_trying=True)
            if guard.is_required:
                raise no_tls(self._talk.failure, f"STARTTLS was refused: {reply}")
            return  # a wish only, so go on in clear
        self._shake_hands(guard)
        self._hello()

    def _shake_hands(self, guard: Guard) -> None:
        self._talk.stage = _TLS_STAGE
        deadline = self._talk.deadline(self._timeouts.tls)
        try:
            self._wire.start_tls(guard.context, guard.server_name, deadline)
            guard.inspect(self._wire.peer_chain())
        except (TlsError, Cut, TimedOut) as error:
            self._talk.is_broken = True
            raise tls_failed(self._talk.failure, error, guard) from error
        self.verified = guard.check
        self._talk.transcript.note(f"{self.tls} {self.cipher}, checked: {guard.check}")

    def _check_extensions(self, transaction: Transaction) -> None:
        offered = self._client.extensions
        lacking = None
        is_trusted = self.verified is not Check.NO and "REQUIRETLS" in offered
        if transaction.wishes.require_tls and not is_trusted:
            lacking = NO_REQUIRETLS  # RFC 8689 §4.2.1
        elif transaction.needs_utf8 and "SMTPUTF8" not in offered:
            lacking = _NO_UTF8  # RFC 6531 §3.2
        elif transaction.is_8bit and "8BITMIME" not in offered:
            lacking = _NO_8BIT  # RFC 6152 §3
        elif self._client.max_size and transaction.size > self._client.max_size:
            lacking = _TOO_BIG  # RFC 1870 §4: known before it is sent
        if lacking is not None:
            raise self._talk.failure(
                PermanentFailure,
                lacking,
                "message",
                # RFC 8689 §4.2.1: all hosts of the domain are asked.
                is_next_host_worth_trying=lacking is NO_REQUIRETLS,
            )

    def _broken(self, error: _Broken) -> TransientFailure:
        """End a session that was cut, fell silent, or made no sense."""
        self._talk.is_broken = True
        stage = self._talk.stage
        reply, category = describe_break(error, stage)
        # A dot that got out only in part is none: its block was not sent.
        is_in_doubt = stage == Verb.DOT
        is_stale = self.uses > 1 and not self._carrier.is_mail_accepted
        return self._talk.failure(
            StaleSession
            if is_stale and self._is_stale_after(error)
            else TransientFailure,
            describe_doubt(reply) if is_in_doubt else reply,
            category,
            # Once content is on its way, another host might deliver it again.
            is_next_host_worth_trying=stage not in (CONTENT_STAGE, Verb.DOT),
            is_in_doubt=is_in_doubt,
        )

    def _is_stale_after(self, error: _Broken) -> bool:
        is_silent = isinstance(error, TimedOut) and self._talk.stage == Verb.RSET
        return is_silent or isinstance(error, Cut)
