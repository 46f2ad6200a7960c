"""One SMTP session as its client: greeting, EHLO, STARTTLS, transactions, QUIT.

Every negative reply, cut, timeout and breach of protocol leaves here as an
``AttemptFailed`` that says whether it is for later, for ever, or for another
host. A session that has seen anything but whole, awaited replies is not used
again.

RFC 5321 §4.2.1 (4yz, 5yz), §4.3.2 (sequences), §4.5.3.2 (timeouts); RFC 1047
(the gap after the final dot); RFC 2920 (PIPELINING); RFC 3207 (STARTTLS), used
whenever it is offered and without verification, as encryption with anybody beats
none (RFC 7435).
"""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.relay.dialogue import Dialogue
from mta.relay.failures import (
    StaleSession,
    TlsFailed,
    as_transient,
    describe_break,
    describe_doubt,
)
from mta.relay.fuse import Fuse
from mta.relay.request import Hop, OpenContent
from mta.relay.wire import WRITE_BYTES, Cut, TimedOut, Timeouts, TlsError, Wire
from mta.reply import Reply, make_reply
from mta.smtp.client import Block, DotStuffer, ProtocolError, Transaction, Verb

_NO_8BIT = make_reply(554, "5.6.3", "The next hop does not take 8-bit content")
_NO_REQUIRETLS = make_reply(
    550, "5.7.30", "REQUIRETLS: no next hop with TLS that can be trusted"
)
_NO_UTF8 = make_reply(553, "5.6.7", "The next hop does not take UTF-8 addresses")
_TOO_BIG = make_reply(552, "5.3.4", "The message is larger than the next hop allows")

_TLS_STAGE = "TLS handshake"
_CONTENT_STAGE = "content"
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})+")

_Broken = Cut | TimedOut | ProtocolError


class Session:
    """One SMTP session over a connected socket; owns the socket.

    Attributes:
        uses: Transactions begun.
    """

    def __init__(
        self,
        sock: socket.socket,
        hop: Hop,
        *,
        timeouts: Timeouts,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.uses = 0
        self._timeouts = timeouts
        self._patience = {
            Verb.RSET: timeouts.reset,
            Verb.MAIL: timeouts.mail,
            Verb.RCPT: timeouts.rcpt,
            Verb.DATA: timeouts.data,
        }
        self._wire = Wire(sock, monotonic=monotonic)
        self._talk = Dialogue(self._wire, hop, monotonic=monotonic)
        self._client = self._talk.client
        self._is_in_content = False
        self._is_mail_accepted = False

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
        return self._talk.is_in_step and not self._is_in_content

    def __repr__(self) -> str:
        state = "usable" if self.is_usable else f"unusable at {self._talk.stage}"
        peer = f"{self.hop.host}[{self.hop.address}]"
        return f"<Session {peer} {self.tls or 'clear'} {self.uses} {state}>"

    def open(self, tls: ssl.SSLContext | None) -> None:
        """Hear the greeting, say EHLO, and start TLS if both sides can.

        Args:
            tls: None to stay in clear whatever is offered.

        Raises:
            TlsFailed: the handshake failed; the session is over.
            AttemptFailed: the peer refused us, broke off, or broke the rules.
        """
        try:
            greeting = self._talk.hear(self._timeouts.greeting)
            if greeting.code != 220:
                # Too busy here may not be too busy there; a 5yz is for all of us.
                raise self._talk.refusal(greeting, is_next_host_worth_trying=True)
            self._hello()
            if tls is not None and "STARTTLS" in self._client.extensions:
                self._start_tls(tls)
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
        self._check_extensions(transaction)
        try:
            blocks = self._client.begin(transaction, reset=self.uses > 0)
        except ValueError as error:
            reply = make_reply(553, "5.1.3", f"Bad address: {error}")
            raise self._talk.failure(PermanentFailure, reply, "message") from error
        fuse.arm(self._wire.sock)
        self.uses += 1
        self._is_mail_accepted = False
        self._talk.limit(self._timeouts.transaction)
        try:
            return self._carry(blocks, open_content, fuse)
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
        reply = self._talk.ask(Verb.EHLO, self._client.ehlo(name), hello)
        if reply.is_permanent:
            # RFC 5321 §3.2: a server from before extensions.
            reply = self._talk.ask(Verb.HELO, self._client.helo(name), hello)
        if reply.code != 250:
            raise self._talk.refusal(reply, is_next_host_worth_trying=True)

    def _start_tls(self, context: ssl.SSLContext) -> None:
        command = self._client.starttls()
        reply = self._talk.ask(Verb.STARTTLS, command, self._timeouts.hello)
        if reply.code != 220:
            # RFC 3207 §4: 454, not now. Encryption is a wish, so go on in clear.
            if reply.code == 421 or reply.is_intermediate:
                raise self._talk.refusal(reply, is_next_host_worth_trying=True)
            return
        self._talk.stage = _TLS_STAGE
        name = self.hop.host if _HOST_NAME.fullmatch(self.hop.host) else None
        try:
            self._wire.start_tls(context, name, self._talk.deadline(self._timeouts.tls))
        except (TlsError, Cut, TimedOut) as error:
            self._talk.is_broken = True
            text = f"TLS handshake failed: {str(error) or 'timed out'}"
            raise self._talk.failure(
                TlsFailed,
                make_reply(454, "4.7.5", text),
                "network",
                is_next_host_worth_trying=True,
            ) from error
        self._hello()

    def _check_extensions(self, transaction: Transaction) -> None:
        offered = self._client.extensions
        lacking = None
        # Nobody vouches for the next hop's name yet: no session is good enough.
        if transaction.wishes.require_tls:
            lacking = _NO_REQUIRETLS  # RFC 8689 §4.2.1
        elif transaction.needs_utf8 and "SMTPUTF8" not in offered:
            lacking = _NO_UTF8  # RFC 6531 §3.2
        elif transaction.is_8bit and "8BITMIME" not in offered:
            lacking = _NO_8BIT  # RFC 6152 §3
        elif self._client.max_size and transaction.size > self._client.max_size:
            lacking = _TOO_BIG  # RFC 1870 §4: known before it is sent
        if lacking is not None:
            raise self._talk.failure(PermanentFailure, lacking, "message")

    def _carry(
        self, blocks: Sequence[Block], open_content: OpenContent, fuse: Fuse
    ) -> Reply:
        self._begin(blocks)
        self._send_content(open_content, fuse)
        reply = self._talk.hear(self._timeouts.final)
        if not reply.is_positive:
            raise self._talk.refusal(reply)
        return reply

    def _begin(self, blocks: Sequence[Block]) -> None:
        """Send MAIL, RCPT and DATA; return when the peer waits for content."""
        replies: dict[Verb, Reply] = {}
        for block in blocks:
            self._talk.send(self._client.send(block), self._timeouts.mail)
            for verb in block.verbs:
                self._talk.stage = verb
                reply = replies[verb] = self._talk.hear(self._patience[verb])
                if reply.code == 421:
                    raise self._refused_at(verb, reply)
                if verb is Verb.MAIL:
                    self._is_mail_accepted = reply.is_positive
            self._require_all(replies)

    def _require_all(self, replies: dict[Verb, Reply]) -> None:
        """Fail with the first refusal, once a group's replies are in."""
        refused = [
            (verb, reply)
            for verb, reply in replies.items()
            if not (reply.code == 354 if verb is Verb.DATA else reply.is_positive)
        ]
        if not refused:
            return
        if Verb.DATA in replies and replies[Verb.DATA].is_intermediate:
            self._decline(replies)
        raise self._refused_at(*refused[0])

    def _decline(self, replies: dict[Verb, Reply]) -> None:
        """Get out of DATA that a pipelined group has led us into."""
        if not replies[Verb.RCPT].is_permanent and not replies[Verb.RCPT].is_transient:
            # An empty message might reach the recipient: rather hang up.
            self._talk.is_broken = True
            return
        # RFC 2920 §3.1: nobody will get it, and the peer says so.
        dot = self._client.send(Block(b".\r\n", (Verb.DOT,)))
        self._talk.send(dot, self._timeouts.block)
        self._talk.hear(self._timeouts.final)

    def _send_content(self, open_content: OpenContent, fuse: Fuse) -> None:
        self._talk.stage = _CONTENT_STAGE
        self._is_in_content = True
        stuffer = DotStuffer()
        pending: list[bytes] = []
        pending_bytes = 0
        chunks = open_content(self.hop)
        try:
            for chunk in chunks:
                pending.append(chunk)
                pending_bytes += len(chunk)
                if pending_bytes >= WRITE_BYTES:
                    self._send_block(stuffer.feed(b"".join(pending)))
                    pending, pending_bytes = [], 0
        finally:
            if close := getattr(chunks, "close", None):
                close()
        fuse.commit()
        # The dot leaves with what is left over: nothing of a small message is on
        # its way before all of it has been read.
        self._send_block(stuffer.feed(b"".join(pending)) + stuffer.close())
        self._client.send(Block(b"", (Verb.DOT,)))
        self._talk.stage = Verb.DOT
        self._is_in_content = False

    def _send_block(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), WRITE_BYTES):
                block = data[start : start + WRITE_BYTES]
                self._talk.send(block, self._timeouts.block)
        except Cut:
            self._hear_last_words()
            raise

    def _hear_last_words(self) -> None:
        """Prefer the peer's reason for hanging up in mid-content, if it gave one."""
        with contextlib.suppress(Cut, TimedOut, ProtocolError):
            self._client.send(Block(b"", (Verb.DOT,)))
            reply = self._talk.hear(self._timeouts.last_words)
            self._talk.is_broken = True
            raise self._talk.refusal(reply)

    def _refused_at(self, verb: Verb, reply: Reply) -> AttemptFailed:
        is_early = verb is Verb.RSET or (verb is Verb.MAIL and reply.code == 421)
        if self.uses > 1 and is_early:
            self._talk.is_broken = True
            return self._talk.failure(StaleSession, as_transient(reply), "smtp")
        return self._talk.refusal(reply)

    def _broken(self, error: _Broken) -> TransientFailure:
        """End a session that was cut, fell silent, or made no sense."""
        self._talk.is_broken = True
        stage = self._talk.stage
        reply, category = describe_break(error, stage)
        # A dot that got out only in part is none: its block was not sent.
        is_in_doubt = stage == Verb.DOT
        is_stale = self.uses > 1 and not self._is_mail_accepted
        return self._talk.failure(
            StaleSession
            if is_stale and self._is_stale_after(error)
            else TransientFailure,
            describe_doubt(reply) if is_in_doubt else reply,
            category,
            # Once content is on its way, another host might deliver it again.
            is_next_host_worth_trying=stage not in (_CONTENT_STAGE, Verb.DOT),
            is_in_doubt=is_in_doubt,
        )

    def _is_stale_after(self, error: _Broken) -> bool:
        is_silent = isinstance(error, TimedOut) and self._talk.stage == Verb.RSET
        return is_silent or isinstance(error, Cut)
