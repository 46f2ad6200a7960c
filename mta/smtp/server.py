"""The server's side of SMTP and LMTP, as a state machine without a socket.

The driver feeds what it read to ``receive()``, takes events until there are no
more, answers those that are questions, and sends what ``data_to_send()`` holds
before it reads again. Sequence, syntax, size and number of recipients are
settled here; whether we want a client, a sender, a recipient or a message is the
driver's to say. Octets, order and patience are ``dialogue.py``'s; who the client is,
``introduction.py``'s; mail is here.

::

              EHLO, HELO           MAIL          RCPT         DATA, BDAT
    connected ──────────► greeted ──────► mail ──────► rcpt ──────► content
        ▲   STARTTLS        │ ▲             │ RSET, EHLO │             │
        ├───────────────────┤ └─────────────┴────────────┘             │
        │   XCLIENT         │ ▲           CRLF.CRLF, BDAT LAST         │
        └───────────────────┘ └────────────────────────────────────────┘

Replies go out in the order of the commands (RFC 2920). An offense that may hide
a second command ends the session: what was not understood is never executed. So
does input that comes before the reply to DATA, AUTH, STARTTLS and XCLIENT.

RFC 5321 §3, §4.1 to §4.3 and §4.5; RFC 2033 (LMTP), and those of ``options.py``.
"""

from collections.abc import Callable
from datetime import datetime

from mta.delivery import Notice
from mta.reply import Reply, format_reply
from mta.smtp import phrases
from mta.smtp.content import Incoming
from mta.smtp.events import (
    ContentEnded,
    ContentStarted,
    MailReceived,
    RcptReceived,
    TransactionReset,
)
from mta.smtp.grammar import BadArgument, parse_chunk
from mta.smtp.introduction import Introduction
from mta.smtp.options import SessionOptions
from mta.smtp.transaction import MAX_REFUSED_RECIPIENTS, SessionFacts, Transaction

_OTHER_INPUT_FOLLOWS = frozenset(b"AUTH BDAT DATA STARTTLS XCLIENT".split())
# Where TLS is required: these are taken before it, or have more to say to that.
_BEFORE_TLS = frozenset(
    b"EHLO HELO LHLO NOOP QUIT STARTTLS AUTH RCPT DATA BDAT".split()
)
_COUNTED_REFUSALS = frozenset({501, 555})


class ServerSession(Introduction):
    """One client, from greeting to goodbye; arguments as in ``Introduction``."""

    def __init__(
        self,
        options: SessionOptions,
        *,
        is_tls: bool = False,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        super().__init__(options, is_tls=is_tls, now=now)
        self._transaction: Transaction | None = None
        self._notice = Notice()  # of the recipient that was asked about
        self._chunk: tuple[int, bool] | None = None  # that was asked about

    @property
    def is_idle(self) -> bool:
        """No transaction is open: nothing would be lost by ending here."""
        return self._transaction is None

    # Answers, and how they change the state.

    def answer(self, reply: Reply | None = None) -> None:
        """Answer the question that ``next_event()`` returned.

        Args:
            reply: What the client hears; None is the usual positive reply. A
                421 ends the session.

        Raises:
            RuntimeError: There is no such question, or it has an answer of its own.
        """
        question = self._take_question()
        said = None if reply is None else phrases.format_answer(reply)
        if reply is not None and reply.code == 421:
            self._end(said or b"")
            return
        is_no = reply is not None and (reply.is_transient or reply.is_permanent)
        match question:
            case MailReceived():
                self._answer_mail(said or phrases.MAIL_OK, is_no)
            case RcptReceived(_, recipient):
                self._answer_rcpt(said or phrases.RCPT_OK, is_no, recipient)
            case ContentStarted():
                self._answer_content(said or phrases.SEND_CONTENT, is_no)
            case ContentEnded():
                self._say_of_content(said or phrases.OK)
                self._transaction = None
            case _:
                self._answer_introduction(question, said, is_no)

    def _answer_mail(self, said: bytes, is_no: bool) -> None:
        if is_no:
            self._transaction = None
            self._refuse(said)
        else:
            self._fruitless = 0
            self._out.append(said)

    def _answer_rcpt(self, said: bytes, is_no: bool, recipient: str) -> None:
        if self._transaction is None:
            return
        if is_no:
            self._refuse_recipient(self._transaction, said)
        else:
            self._out.append(said)
            self._transaction.add(recipient, self._notice)

    def _answer_content(self, said: bytes, is_no: bool) -> None:
        transaction = self._transaction
        if transaction is None:
            return
        if self._chunk is not None:
            incoming = self._begin_content(transaction, has_lines=False)
            if is_no:
                incoming.refuse(said)
            self._read_chunk(incoming, *self._chunk)
        elif is_no:
            self._refuse_content(said)
        else:
            self._out.append(said)
            self._read_content(self._begin_content(transaction, has_lines=True))

    def _begin_content(self, transaction: Transaction, *, has_lines: bool) -> Incoming:
        transaction.incoming = Incoming(
            self._options, has_lines=has_lines, is_binary=transaction.is_binary
        )
        return transaction.incoming

    def _take_content(self, incoming: Incoming) -> None:
        if not incoming.is_refused:
            if incoming.is_last:
                self._ask(ContentEnded(incoming.size))
            else:
                self._out.append(incoming.taken)
        elif incoming.is_last:
            self._say_of_content(incoming.refusal)
            self._transaction = None
        else:
            self._refuse(incoming.refusal)

    def _say_of_content(self, said: bytes) -> None:
        """RFC 2033 §4.2: over LMTP once for each RCPT that was answered with yes."""
        times = 1
        if self._options.is_lmtp and self._transaction is not None:
            times = max(1, self._transaction.accepted)
        self._out += [said] * times

    # The commands.

    def _obey(self, line: bytes) -> None:
        if self._goes_on_with_login(line):
            return
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        handler = _HANDLERS.get(verb)
        if verb in self._disabled:
            self._refuse_unread(verb, phrases.NOT_IMPLEMENTED)
        elif self._wants_tls_first(verb):
            self._refuse_unread(verb, phrases.TLS_FIRST)
        elif handler is not None:
            handler(self, argument)
        elif verb in phrases.REFUSED_VERBS:
            self._refuse(phrases.REFUSED_VERBS[verb])
        elif verb in phrases.FATAL_VERBS:
            self._end(phrases.FATAL_VERBS[verb])
        else:
            self._refuse_unknown()

    def _refuse_unread(self, verb: bytes, said: bytes) -> None:
        """Refuse a command whatever it says; what follows some is no command."""
        if verb in _OTHER_INPUT_FOLLOWS:
            self._refuse_content(said)
        else:
            self._refuse(said)

    def _wants_tls_first(self, verb: bytes) -> bool:
        """RFC 3207 §4: what is not taken before TLS, where TLS is required."""
        if self.is_tls or not self._options.requires_tls:
            return False
        return verb in _HANDLERS and verb not in _BEFORE_TLS

    def _on_mail(self, argument: bytes) -> None:
        refusal = self._why_no_mail()
        if refusal:
            self._refuse(refusal)
            return
        try:
            now = self._now() if self._now else None
            transaction = Transaction(argument, self._options, self._keywords, now)
        except BadArgument as bad:
            self._refuse_argument(bad.reply)
            return
        self._transaction = transaction
        self._ask(MailReceived(transaction.mail.reverse_path, transaction.mail.size))

    def _why_no_mail(self) -> bytes:
        if not self.helo:
            return self._greet_first()
        if self._transaction is not None:
            return phrases.NESTED_MAIL
        if self._options.requires_login and not self.user:
            return phrases.LOGIN_FIRST
        return b""

    def _on_rcpt(self, argument: bytes) -> None:
        transaction = self._transaction
        if transaction is None:
            self._refuse(self._out_of_sequence())
            return
        if transaction.incoming is not None:  # its content is on its way
            self._refuse(phrases.RCPT_TOO_LATE)
            return
        if transaction.has_failed:  # RFC 3030 §2: only RSET leads on
            self._refuse(phrases.CHUNK_FAILED)
            return
        try:
            recipient, self._notice = transaction.parse_recipient(argument)
        except BadArgument as bad:
            self._refuse_recipient(transaction, format_reply(bad.reply))
            return
        self._ask(RcptReceived(transaction.mail.reverse_path, recipient))

    def _on_data(self, argument: bytes) -> None:
        transaction = self._transaction
        if argument.strip(b" "):
            self._refuse_content(phrases.NO_ARGUMENT)
        elif transaction is None:
            self._refuse_content(self._out_of_sequence())
        elif transaction.is_binary or transaction.incoming is not None:
            self._refuse_content(phrases.BDAT_ONLY)
        elif not transaction.has_recipients:
            self._refuse_content(self._no_recipients())
        else:
            self._chunk = None
            self._ask(transaction.start_content(self._facts()))

    def _on_bdat(self, argument: bytes) -> None:
        chunk = parse_chunk(argument)
        transaction = self._transaction
        if chunk is None:  # how many octets to skip, nobody knows
            self._refuse_content(phrases.BAD_CHUNK)
        elif transaction is None:
            self._skip_chunk(chunk, self._out_of_sequence())
        elif transaction.has_failed:
            self._skip_chunk(chunk, phrases.CHUNK_FAILED)
        elif not transaction.has_recipients:
            transaction.has_failed = True
            self._skip_chunk(chunk, self._no_recipients())
        elif transaction.incoming is not None:
            if transaction.incoming.is_refused:
                transaction.incoming.refuse(phrases.CHUNK_FAILED)
            self._read_chunk(transaction.incoming, *chunk)
        else:
            self._chunk = chunk
            self._ask(transaction.start_content(self._facts()))

    def _skip_chunk(self, chunk: tuple[int, bool], said: bytes) -> None:
        skipped = Incoming(self._options, has_lines=False)
        skipped.refuse(said)
        self._read_chunk(skipped, chunk[0], False)

    def _read_chunk(self, incoming: Incoming, length: int, is_last: bool) -> None:
        was_refused = incoming.is_refused
        incoming.open_chunk(length, is_last=is_last)
        if incoming.is_refused and not was_refused:
            self._events.append(TransactionReset())
        self._read_content(incoming)

    def _on_rset(self, argument: bytes) -> None:
        if self._takes_nothing(argument):
            self._give_up_transaction()
            self._say_idly(phrases.OK)

    def _on_quit(self, argument: bytes) -> None:
        if self._takes_nothing(argument):
            self._give_up_transaction()
            self._end(phrases.BYE)

    def _on_noop(self, argument: bytes) -> None:  # any string may follow, §4.1.1.9
        self._say_idly(phrases.OK)

    def _on_help(self, argument: bytes) -> None:
        self._say_idly(phrases.HELP)

    def _on_vrfy(self, argument: bytes) -> None:
        if argument.strip(b" "):
            self._say_idly(phrases.VRFY)
        else:
            self._refuse(phrases.NEEDS_ARGUMENT)

    # What they share.

    def _facts(self) -> SessionFacts:
        return SessionFacts(
            helo=self.helo,
            is_extended=self._is_extended,
            is_tls=self.is_tls,
            is_known=bool(self.user),
            is_lmtp=self._options.is_lmtp,
        )

    def _no_recipients(self) -> bytes:
        # RFC 2033 §4.2 has another code for it than RFC 5321.
        is_lmtp = self._options.is_lmtp
        return phrases.NOBODY_TO_DELIVER_TO if is_lmtp else phrases.NO_RECIPIENTS

    def _out_of_sequence(self) -> bytes:
        if self.helo and self._options.requires_tls and not self.is_tls:
            return phrases.TLS_FIRST
        return phrases.MAIL_FIRST if self.helo else self._greet_first()

    def _takes_nothing(self, argument: bytes) -> bool:
        if argument.strip(b" "):
            self._refuse(phrases.NO_ARGUMENT)
            return False
        return True

    def _refuse_argument(self, reply: Reply) -> None:
        if reply.code in _COUNTED_REFUSALS:
            self._refuse(format_reply(reply))
        else:
            self._out.append(format_reply(reply))

    def _refuse_recipient(self, transaction: Transaction, said: bytes) -> None:
        transaction.refused += 1
        if transaction.refused < MAX_REFUSED_RECIPIENTS:
            self._out.append(said)
        else:
            self._end(phrases.TOO_MANY_RECIPIENTS_REFUSED)

    def _give_up_transaction(self) -> None:
        if self._transaction is not None:
            self._transaction = None
            self._events.append(TransactionReset())


_HANDLERS: dict[bytes, Callable[[ServerSession, bytes], None]] = {
    b"HELO": ServerSession._on_helo,
    b"EHLO": ServerSession._on_ehlo,
    b"LHLO": ServerSession._on_lhlo,
    b"STARTTLS": ServerSession._on_starttls,
    b"AUTH": ServerSession._on_auth,
    b"MAIL": ServerSession._on_mail,
    b"RCPT": ServerSession._on_rcpt,
    b"DATA": ServerSession._on_data,
    b"BDAT": ServerSession._on_bdat,
    b"RSET": ServerSession._on_rset,
    b"NOOP": ServerSession._on_noop,
    b"QUIT": ServerSession._on_quit,
    b"HELP": ServerSession._on_help,
    b"VRFY": ServerSession._on_vrfy,
    b"XCLIENT": ServerSession._on_xclient,
    b"XFORWARD": ServerSession._on_xforward,
}
