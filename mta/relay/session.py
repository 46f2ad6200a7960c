"""One SMTP session as its client: greeting, EHLO, STARTTLS, transactions, QUIT.

Every negative reply, cut, timeout and breach of protocol leaves here as an
``AttemptFailed`` that says whether it is for later, for ever, or for another
host. A session that has seen anything but whole, awaited replies is not used
again.

RFC 5321 §4.2.1 (4yz, 5yz), §4.3.2 (sequences), §4.5.3.2 (timeouts); RFC 2920
(PIPELINING); RFC 3207 (STARTTLS), used whenever it is offered and without
verification, as encryption with anybody beats none (RFC 7435).
"""

import contextlib
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

from mta.errors import AttemptFailed, PermanentFailure, TransientFailure
from mta.relay.failures import (
    StaleSession,
    TlsFailed,
    as_transient,
    describe_break,
    describe_doubt,
)
from mta.relay.wire import WRITE_BYTES, Cut, TimedOut, Timeouts, TlsError, Wire
from mta.reply import Reply, make_reply
from mta.smtp.client import (
    Block,
    ClientSession,
    DotStuffer,
    ProtocolError,
    Transaction,
    Verb,
)

_NO_8BIT = make_reply(554, "5.6.3", "The next hop does not take 8-bit content")
_NO_UTF8 = make_reply(553, "5.6.7", "The next hop does not take UTF-8 addresses")
_TOO_BIG = make_reply(552, "5.3.4", "The message is larger than the next hop allows")

_TLS_STAGE = "TLS handshake"
_CONTENT_STAGE = "content"
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})+")

_Failure = TypeVar("_Failure", bound=AttemptFailed)
_Broken = Cut | TimedOut | ProtocolError


class Session:
    """One SMTP session over a connected socket; owns the socket.

    Attributes:
        host: The peer's name, as looked up, or its address if it has none.
        address: The peer's IP address.
        source: Our end's IP address; empty if unknown.
        ehlo_name: What we call ourselves.
        uses: Transactions begun.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        host: str,
        address: str,
        source: str,
        ehlo_name: str,
        timeouts: Timeouts,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host
        self.address = address
        self.source = source
        self.ehlo_name = ehlo_name
        self.uses = 0
        self._timeouts = timeouts
        self._patience = {
            Verb.RSET: timeouts.reset,
            Verb.MAIL: timeouts.mail,
            Verb.RCPT: timeouts.rcpt,
            Verb.DATA: timeouts.data,
        }
        self._monotonic = monotonic
        self._wire = Wire(sock, monotonic=monotonic)
        self._client = ClientSession()
        self._replies: deque[tuple[Verb, Reply]] = deque()
        self._until = float("inf")
        self._stage: str = Verb.CONNECT
        self._is_broken = False
        self._is_in_content = False
        self._is_mail_accepted = False

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
        is_in_step = self._client.is_in_step and not self._replies
        return is_in_step and not self._is_broken and not self._is_in_content

    def __repr__(self) -> str:
        state = "usable" if self.is_usable else f"unusable at {self._stage}"
        security = self.tls or "clear"
        return f"<Session {self.host}[{self.address}] {security} {self.uses} {state}>"

    def open(self, tls: ssl.SSLContext | None) -> None:
        """Hear the greeting, say EHLO, and start TLS if both sides can.

        Args:
            tls: None to stay in clear whatever is offered.

        Raises:
            TlsFailed: the handshake failed; the session is over.
            AttemptFailed: the peer refused us, broke off, or broke the rules.
        """
        try:
            greeting = self._reply(self._timeouts.greeting)
            if greeting.code != 220:
                # Too busy here may not be too busy there; a 5yz is for all of us.
                raise self._refused(greeting, is_next_host_worth_trying=True)
            self._hello()
            if tls is not None and "STARTTLS" in self._client.extensions:
                self._start_tls(tls)
        except (Cut, TimedOut, ProtocolError) as error:
            raise self._broken(error) from error

    def transact(
        self,
        transaction: Transaction,
        open_content: Callable[[str], Iterable[bytes]],
    ) -> Reply:
        """Send one message to one recipient; return the reply to the final dot.

        Args:
            open_content: Called with our EHLO name once the peer wants the
                content. What it raises passes through, and the peer gets no dot.

        Raises:
            StaleSession: see there; only on a session that was used before.
            AttemptFailed: the peer refused, broke off, or broke the rules; or
                lacks an extension that the message cannot do without.
        """
        self._check_extensions(transaction)
        try:
            blocks = self._client.begin(transaction, reset=self.uses > 0)
        except ValueError as error:
            reply = make_reply(553, "5.1.3", f"Bad address: {error}")
            raise self._fail(PermanentFailure, reply, "message") from error
        self.uses += 1
        self._is_mail_accepted = False
        self._until = self._monotonic() + self._timeouts.transaction.total_seconds()
        try:
            self._begin(blocks)
            self._send_content(open_content)
            reply = self._reply(self._timeouts.final)
            if not reply.is_positive:
                raise self._refused(reply)
        except (Cut, TimedOut, ProtocolError) as error:
            raise self._broken(error) from error
        return reply

    def is_quiet(self) -> bool:
        """Tell whether an idle session still stands, as far as can be seen."""
        return self._wire.is_quiet()

    def close(self) -> None:
        """End the session: with QUIT if it is in good order, without waiting.

        RFC 5321 §4.1.1.10 would have us wait for the 221. A peer that is slow to
        say it would hold up whoever closes, and nothing depends on it.
        """
        if self.is_usable:
            self._is_broken = True
            with contextlib.suppress(Cut, TimedOut):
                self._until = float("inf")
                self._wire.send(b"QUIT\r\n", self._deadline(self._timeouts.quit))
        self._wire.close()

    def _hello(self) -> None:
        reply = self._ask(Verb.EHLO, self._client.ehlo(self.ehlo_name))
        if reply.is_permanent:
            # RFC 5321 §3.2: a server from before extensions.
            reply = self._ask(Verb.HELO, self._client.helo(self.ehlo_name))
        if reply.code != 250:
            raise self._refused(reply, is_next_host_worth_trying=True)

    def _start_tls(self, context: ssl.SSLContext) -> None:
        reply = self._ask(Verb.STARTTLS, self._client.starttls())
        if reply.code != 220:
            # RFC 3207 §4: 454, not now. Encryption is a wish, so go on in clear.
            if reply.code == 421 or reply.is_intermediate:
                raise self._refused(reply, is_next_host_worth_trying=True)
            return
        self._stage = _TLS_STAGE
        name = self.host if _HOST_NAME.fullmatch(self.host) else None
        try:
            self._wire.start_tls(context, name, self._deadline(self._timeouts.tls))
        except (TlsError, Cut, TimedOut) as error:
            self._is_broken = True
            text = f"TLS handshake failed: {str(error) or 'timed out'}"
            raise self._fail(
                TlsFailed,
                make_reply(454, "4.7.5", text),
                "network",
                is_next_host_worth_trying=True,
            ) from error
        self._hello()

    def _ask(self, verb: Verb, command: bytes) -> Reply:
        self._stage = verb
        self._wire.send(command, self._deadline(self._timeouts.hello))
        return self._reply(self._timeouts.hello)

    def _check_extensions(self, transaction: Transaction) -> None:
        offered = self._client.extensions
        lacking = None
        if transaction.needs_utf8 and "SMTPUTF8" not in offered:
            lacking = _NO_UTF8  # RFC 6531 §3.2
        elif transaction.is_8bit and "8BITMIME" not in offered:
            lacking = _NO_8BIT  # RFC 6152 §3
        elif self._client.max_size and transaction.size > self._client.max_size:
            lacking = _TOO_BIG  # RFC 1870 §4: known before it is sent
        if lacking is not None:
            raise self._fail(PermanentFailure, lacking, "message")

    def _begin(self, blocks: Sequence[Block]) -> None:
        """Send MAIL, RCPT and DATA; return when the peer waits for content."""
        replies: dict[Verb, Reply] = {}
        for block in blocks:
            self._wire.send(
                self._client.send(block), self._deadline(self._timeouts.mail)
            )
            for verb in block.verbs:
                self._stage = verb
                reply = replies[verb] = self._reply(self._patience[verb])
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
            self._is_broken = True
            return
        # RFC 2920 §3.1: nobody will get it, and the peer says so.
        dot = self._client.send(Block(b".\r\n", (Verb.DOT,)))
        self._wire.send(dot, self._deadline(self._timeouts.block))
        self._reply(self._timeouts.final)

    def _send_content(self, open_content: Callable[[str], Iterable[bytes]]) -> None:
        self._stage = _CONTENT_STAGE
        self._is_in_content = True
        stuffer = DotStuffer()
        pending: list[bytes] = []
        pending_bytes = 0
        chunks = open_content(self.ehlo_name)
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
        # The dot leaves with what is left over: nothing of a small message is on
        # its way before all of it has been read.
        self._send_block(stuffer.feed(b"".join(pending)) + stuffer.close())
        self._client.send(Block(b"", (Verb.DOT,)))
        self._stage = Verb.DOT
        self._is_in_content = False

    def _send_block(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), WRITE_BYTES):
                block = data[start : start + WRITE_BYTES]
                self._wire.send(block, self._deadline(self._timeouts.block))
        except Cut:
            self._hear_last_words()
            raise

    def _hear_last_words(self) -> None:
        """Prefer the peer's reason for hanging up in mid-content, if it gave one."""
        with contextlib.suppress(Cut, TimedOut, ProtocolError):
            self._client.send(Block(b"", (Verb.DOT,)))
            reply = self._reply(self._timeouts.last_words)
            self._is_broken = True
            raise self._refused(reply)

    def _reply(self, timeout: timedelta) -> Reply:
        deadline = self._deadline(timeout)
        while not self._replies:
            is_lost = self._client.has_problem
            octets = b"" if is_lost else self._wire.receive(deadline)
            self._replies.extend(self._client.receive(octets))
        _, reply = self._replies.popleft()
        if reply.code == 421:
            self._is_broken = True  # §3.8: the peer is closing
        return reply

    def _deadline(self, timeout: timedelta) -> float:
        return min(self._monotonic() + timeout.total_seconds(), self._until)

    def _refused_at(self, verb: Verb, reply: Reply) -> AttemptFailed:
        is_early = verb is Verb.RSET or (verb is Verb.MAIL and reply.code == 421)
        if self.uses > 1 and is_early:
            self._is_broken = True
            return self._fail(StaleSession, as_transient(reply), "smtp")
        return self._refused(reply)

    def _refused(
        self, reply: Reply, *, is_next_host_worth_trying: bool = False
    ) -> AttemptFailed:
        """Turn a negative reply into the failure it is.

        Raises:
            ProtocolError: the reply is not negative, and still not what is due.
        """
        if reply.is_transient:
            return self._fail(
                TransientFailure,
                reply,
                "smtp",
                is_next_host_worth_trying=is_next_host_worth_trying,
            )
        if reply.is_permanent:
            return self._fail(PermanentFailure, reply, "smtp")
        raise ProtocolError(f"unexpected reply {str(reply)[:80]}")

    def _broken(self, error: _Broken) -> TransientFailure:
        """End a session that was cut, fell silent, or made no sense."""
        self._is_broken = True
        reply, category = describe_break(error, self._stage)
        if self._stage == Verb.DOT:
            reply = describe_doubt(reply)
        is_stale = self.uses > 1 and not self._is_mail_accepted
        return self._fail(
            StaleSession
            if is_stale and self._is_stale_after(error)
            else TransientFailure,
            reply,
            category,
            # Once content is on its way, another host might deliver it again.
            is_next_host_worth_trying=self._stage not in (_CONTENT_STAGE, Verb.DOT),
        )

    def _is_stale_after(self, error: _Broken) -> bool:
        is_silent = isinstance(error, TimedOut) and self._stage == Verb.RSET
        return is_silent or isinstance(error, Cut)

    def _fail(
        self,
        kind: type[_Failure],
        reply: Reply,
        category: str,
        *,
        is_next_host_worth_trying: bool = False,
    ) -> _Failure:
        return kind(
            reply,
            category=category,
            host=self.host,
            address=self.address,
            source=self.source,
            is_next_host_worth_trying=is_next_host_worth_trying,
        )
