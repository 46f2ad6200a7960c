"""One transaction over one session: envelope, content, and the answer to its end.

The content goes by DATA, or in pieces by BDAT (RFC 3030) if the server takes those
and there is much of it: then no octet has to be looked at for dots.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from mta.errors import AttemptFailed
from mta.relay.dialogue import Dialogue
from mta.relay.failures import StaleSession, as_transient
from mta.relay.fuse import Fuse
from mta.relay.request import OpenContent
from mta.relay.wire import WRITE_BYTES, Cut, TimedOut, Timeouts
from mta.reply import Reply
from mta.smtp.client import Block, DotStuffer, ProtocolError, Transaction, Verb

CONTENT_STAGE: Final = "content"
BDAT_FROM: Final = 1 << 20  # octets; small content is one write either way
BDAT_BYTES: Final = 1 << 20  # of a piece


class Carrier:
    """Carries the transactions of one session.

    Attributes:
        uses: Transactions begun.
        is_in_content: The server waits for the rest of a content.
        is_mail_accepted: It took the MAIL of the last one.
    """

    def __init__(self, talk: Dialogue, timeouts: Timeouts) -> None:
        self.uses = 0
        self.is_in_content = False
        self.is_mail_accepted = False
        self._talk = talk
        self._client = talk.client
        self._timeouts = timeouts
        self._patience = {
            Verb.RSET: timeouts.reset,
            Verb.MAIL: timeouts.mail,
            Verb.RCPT: timeouts.rcpt,
            Verb.DATA: timeouts.data,
        }

    def plan(self, transaction: Transaction) -> tuple[Block, ...]:
        """Write the commands before the content.

        Raises:
            ValueError: An address that cannot be said on the wire.
        """
        by_data = not self._takes_pieces(transaction)
        return self._client.begin(transaction, reset=self.uses > 0, by_data=by_data)

    def carry(
        self,
        transaction: Transaction,
        blocks: Sequence[Block],
        open_content: OpenContent,
        fuse: Fuse,
    ) -> Reply:
        """Send a message; return the reply to its end, which is positive.

        Raises:
            AttemptFailed: The peer refused.
            Cut, TimedOut, ProtocolError: The session broke.
        """
        self.uses += 1
        self.is_mail_accepted = False
        self._begin(blocks)
        if self._takes_pieces(transaction):
            reply = self._send_pieces(open_content, fuse)
        else:
            reply = self._send_data(open_content, fuse)
        if not reply.is_positive:
            raise self._talk.refusal(reply)
        return reply

    def rehearse(self, blocks: Sequence[Block]) -> Reply:
        """Say MAIL and RCPT, and take them back; returns the reply to RCPT.

        Args:
            blocks: Of ``begin`` without DATA.

        Raises:
            AttemptFailed: The peer refused.
            Cut, TimedOut, ProtocolError: The session broke.
        """
        self.uses += 1
        reply = self._begin(blocks)[Verb.RCPT]
        reset = self._client.send(Block(b"RSET\r\n", (Verb.RSET,)))
        # Whoever hangs up on it has taken the recipient all the same.
        with contextlib.suppress(Cut, TimedOut, ProtocolError):
            self._talk.ask(Verb.RSET, reset, self._timeouts.reset)
        return reply

    def _takes_pieces(self, transaction: Transaction) -> bool:
        return transaction.size >= BDAT_FROM and "CHUNKING" in self._client.extensions

    def _begin(self, blocks: Sequence[Block]) -> dict[Verb, Reply]:
        """Send MAIL, RCPT and perhaps DATA; return when the peer wants content."""
        replies: dict[Verb, Reply] = {}
        for block in blocks:
            self._talk.send(self._client.send(block), self._timeouts.mail)
            for verb in block.verbs:
                self._talk.stage = verb
                reply = replies[verb] = self._talk.hear(self._patience[verb])
                if reply.code == 421:
                    raise self._refused_at(verb, reply)
                if verb is Verb.MAIL:
                    self.is_mail_accepted = reply.is_positive
            self._require_all(replies)
        return replies

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
        # RFC 2920 §3.1: nobody will get it, and the peer says so. If it does not, what
        # it has said of the recipient counts all the same.
        dot = self._client.send(Block(b".\r\n", (Verb.DOT,)))
        try:
            self._talk.send(dot, self._timeouts.block)
            self._talk.hear(self._timeouts.final)
        except (Cut, TimedOut, ProtocolError):
            self._talk.is_broken = True

    def _send_data(self, open_content: OpenContent, fuse: Fuse) -> Reply:
        self._talk.stage = CONTENT_STAGE
        self.is_in_content = True
        stuffer = DotStuffer()
        last = b""
        for piece in self._pieces(open_content, WRITE_BYTES):
            if last:
                self._send_block(stuffer.feed(last))
            last = piece
        fuse.commit()
        self._talk.check_silence()
        # The dot leaves with what is left over: nothing of a small message is on
        # its way before all of it has been read.
        self._send_block(stuffer.feed(last) + stuffer.close())
        self._client.send(Block(b"", (Verb.DOT,)))
        self._talk.stage = Verb.DOT
        self.is_in_content = False
        return self._talk.hear(self._timeouts.final)

    def _send_pieces(self, open_content: OpenContent, fuse: Fuse) -> Reply:
        """Send the content by BDAT, a piece after the other has been taken."""
        self._talk.stage = CONTENT_STAGE
        self.is_in_content = True
        last = b""
        for piece in self._pieces(open_content, BDAT_BYTES):
            if last:
                self._send_piece(last, is_last=False)
                reply = self._talk.hear(self._timeouts.block)
                if not reply.is_positive:
                    self.is_in_content = False  # RFC 3030 §2: RSET, and it is gone
                    raise self._talk.refusal(reply)
            last = piece
        fuse.commit()
        self._talk.check_silence()
        self._send_piece(last, is_last=True)
        self._talk.stage = Verb.DOT
        self.is_in_content = False
        return self._talk.hear(self._timeouts.final)

    def _send_piece(self, piece: bytes, *, is_last: bool) -> None:
        command = self._client.bdat(len(piece), is_last=is_last)
        self._talk.send(command, self._timeouts.block)
        self._send_block(piece)

    def _pieces(self, open_content: OpenContent, size: int) -> Iterator[bytes]:
        """The content in pieces of about ``size`` octets."""
        with closing_content(open_content(self._talk.hop)) as chunks:
            pending: list[bytes] = []
            pending_bytes = 0
            for chunk in chunks:
                pending.append(chunk)
                pending_bytes += len(chunk)
                if pending_bytes >= size:
                    yield b"".join(pending)
                    pending, pending_bytes = [], 0
            if pending:
                yield b"".join(pending)

    def _send_block(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), WRITE_BYTES):
                block = data[start : start + WRITE_BYTES]
                self._talk.send_content(block, self._timeouts.block)
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


@contextlib.contextmanager
def closing_content(chunks: Iterable[bytes]) -> Iterator[Iterable[bytes]]:
    """Let a generator clean up at once, however its reader ends."""
    close: Callable[[], None] | None = getattr(chunks, "close", None)
    try:
        yield chunks
    finally:
        if close is not None:
            close()
