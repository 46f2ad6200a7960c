"""The server's side of SMTP, as a state machine without a socket.

The driver feeds what it read to ``receive()``, takes events until there are no
more, answers those that are questions, and sends what ``data_to_send()`` holds
before it reads again. Sequence, syntax, size and number of recipients are
settled here; whether we want a sender, a recipient or a message is the
driver's to say.

::

              EHLO, HELO           MAIL          RCPT         DATA
    connected ──────────► greeted ──────► mail ──────► rcpt ──────► content
                             ▲              │ RSET, EHLO │             │
                             ├──────────────┴────────────┘             │
                             └─────────────────────────────────────────┘
                                            CRLF.CRLF

Replies go out in the order of the commands (RFC 2920). An offense that may hide
a second command ends the session: what was not understood is never executed.

RFC 5321 §3, §4.1 to §4.3 and §4.5; RFC 1870, RFC 2034, RFC 2920, RFC 6531.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from mta.reply import Reply, format_reply
from mta.smtp import phrases
from mta.smtp.events import (
    ContentChunk,
    ContentEnded,
    ContentStarted,
    Event,
    MailReceived,
    Question,
    RcptReceived,
    SessionEnded,
    TransactionReset,
)
from mta.smtp.grammar import BadArgument, parse_helo
from mta.smtp.lines import CommandReader, ContentReader, LineFault
from mta.smtp.options import SessionOptions, answer_ehlo, answer_helo, greet
from mta.smtp.transaction import Transaction

# The tenth command of a session that is none ends it, as in ZoneMTA.
MAX_UNKNOWN_COMMANDS: Final = 10
# Refused and idle commands since the last MAIL; a client at work sends few.
MAX_FRUITLESS_COMMANDS: Final = 100
# Content over the limit is read to its end, so that the client hears why; but
# not for ever. Octets.
MAX_DROPPED: Final = 256 * 1024 * 1024

_COUNTED_REFUSALS = frozenset({501, 555})


class ServerSession:
    """One client, from greeting to goodbye.

    Attributes:
        helo: What the client calls itself; empty before HELO and EHLO.
        lines_read: Command lines so far, understood or not: how a driver tells
            work from dripping.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.helo = ""
        self.lines_read = 0
        self._options = options
        self._is_extended = False
        self._commands = CommandReader()
        self._transaction: Transaction | None = None
        self._content: ContentReader | None = None
        self._block = b""
        self._unknown = 0
        self._fruitless = 0
        self._out: list[bytes] = []
        self._events: deque[Event] = deque()
        self._question: Question | None = None
        self._is_over = False

    @property
    def is_idle(self) -> bool:
        """No transaction is open: nothing would be lost by ending here."""
        return self._transaction is None

    @property
    def is_reading_content(self) -> bool:
        """The client is between 354 and CRLF.CRLF."""
        return self._content is not None

    def greeting(self) -> bytes:
        """Return the first reply, which waits for no command."""
        return greet(self._options)

    def receive(self, data: bytes) -> None:
        """Take octets as they came from the network."""
        if self._is_over:
            return
        if self._content is None:
            self._commands.feed(data)
        else:
            self._block += data

    def next_event(self) -> Event | None:
        """Return the next event, or None if more octets are needed.

        Raises:
            RuntimeError: The question before was not answered.
        """
        while not self._events:
            if self._question is not None:
                raise RuntimeError(f"not answered: {self._question}")
            if not self._advance():
                return None
        return self._events.popleft()

    def answer(self, reply: Reply | None = None) -> None:
        """Answer the question that ``next_event()`` returned.

        Args:
            reply: What the client hears; None is the usual positive reply. A
                421 ends the session.

        Raises:
            RuntimeError: There is no such question.
        """
        question, self._question = self._question, None
        if question is None:
            raise RuntimeError("nothing was asked")
        said = None if reply is None else phrases.format_answer(reply)
        is_no = reply is not None and (reply.is_transient or reply.is_permanent)
        match question:
            case MailReceived():
                self._answer_mail(said or phrases.MAIL_OK, is_no)
            case RcptReceived(_, recipient):
                self._answer_rcpt(said or phrases.RCPT_OK, is_no, recipient)
            case ContentStarted():
                self._answer_data(said or phrases.SEND_CONTENT, is_no)
            case ContentEnded():
                self._out.append(said or phrases.OK)
                self._transaction = None
        if reply is not None and reply.code == 421:
            self._end()

    def data_to_send(self) -> bytes:
        """Hand over the replies since the last call, in order."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def hang_up(self, reply: Reply) -> None:
        """End the session from our side, saying why."""
        self._question = None
        self._end(phrases.format_answer(reply))

    # How the answers change the state.

    def _answer_mail(self, said: bytes, is_no: bool) -> None:
        self._out.append(said)
        if is_no:
            self._transaction = None
        else:
            self._fruitless = 0

    def _answer_rcpt(self, said: bytes, is_no: bool, recipient: str) -> None:
        self._out.append(said)
        if self._transaction is not None and not is_no:
            self._transaction.add(recipient)

    def _answer_data(self, said: bytes, is_no: bool) -> None:
        if is_no:
            self._refuse_content(said)
            return
        self._out.append(said)
        self._content = ContentReader(self._options.max_size)
        self._block = self._commands.take_rest()

    # Reading on.

    def _advance(self) -> bool:
        """Do one step; False if more octets are needed, or none wanted."""
        if self._is_over:
            return False
        if self._content is not None:
            return self._advance_content(self._content)
        line = self._commands.next_line()
        if line is None:
            return False
        self.lines_read += 1
        if isinstance(line, LineFault):
            self._refuse(phrases.LINE_FAULTS[line])
            if line is LineFault.BARE_LF:
                self._end()
        else:
            self._obey(line)
        return True

    def _advance_content(self, content: ContentReader) -> bool:
        if not self._block:
            return False
        was_too_big = content.is_too_big
        chunk = content.feed(self._block)
        self._block = b""
        if chunk:
            self._events.append(ContentChunk(chunk))
        if content.is_too_big and not was_too_big:
            self._events.append(TransactionReset())
        if content.is_complete:
            self._finish_content(content)
        elif content.size > self._options.max_size + MAX_DROPPED:
            self._end(self._too_big(content))
        return True

    def _finish_content(self, content: ContentReader) -> None:
        self._content = None
        self._commands.feed(content.rest)
        if content.is_too_big:
            self._out.append(self._too_big(content))
            self._transaction = None
        else:
            self._ask(ContentEnded(content.size))

    def _too_big(self, content: ContentReader) -> bytes:
        return phrases.counted_too_big(content.size, self._options.max_size)

    def _obey(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        handler = _HANDLERS.get(verb)
        if handler is not None:
            handler(self, argument)
        elif verb in phrases.REFUSED_VERBS:
            self._refuse(phrases.REFUSED_VERBS[verb])
        elif verb in phrases.FATAL_VERBS:
            self._end(phrases.FATAL_VERBS[verb])
        else:
            self._unknown += 1
            is_last = self._unknown >= MAX_UNKNOWN_COMMANDS
            (self._end if is_last else self._refuse)(
                phrases.TOO_MANY_UNKNOWN if is_last else phrases.UNKNOWN
            )

    # The commands.

    def _on_helo(self, argument: bytes) -> None:
        self._greet(argument, answer_helo(self._options), is_extended=False)

    def _on_ehlo(self, argument: bytes) -> None:
        self._greet(argument, answer_ehlo(self._options), is_extended=True)

    def _greet(self, argument: bytes, said: bytes, *, is_extended: bool) -> None:
        try:
            self.helo = parse_helo(argument)
        except BadArgument as bad:
            self._refuse(format_reply(bad.reply))
            return
        self._is_extended = is_extended
        self._give_up_transaction()  # §4.1.4
        self._say_idly(said)

    def _on_mail(self, argument: bytes) -> None:
        if not self.helo:
            self._refuse(phrases.EHLO_FIRST)
        elif self._transaction is not None:
            self._refuse(phrases.NESTED_MAIL)
        else:
            try:
                transaction = Transaction(argument, self._options)
            except BadArgument as bad:
                self._refuse_argument(bad.reply)
                return
            self._transaction = transaction
            self._ask(MailReceived(transaction.reverse_path, transaction.size))

    def _on_rcpt(self, argument: bytes) -> None:
        transaction = self._transaction
        if transaction is None:
            self._refuse(self._out_of_sequence())
            return
        try:
            recipient = transaction.parse_recipient(argument)
        except BadArgument as bad:
            self._refuse_argument(bad.reply)
            return
        self._ask(RcptReceived(transaction.reverse_path, recipient))

    def _on_data(self, argument: bytes) -> None:
        transaction = self._transaction
        if argument.strip(b" "):
            self._refuse_content(phrases.NO_ARGUMENT)
        elif transaction is None:
            self._refuse_content(self._out_of_sequence())
        elif not transaction.has_recipients:
            self._refuse_content(phrases.NO_RECIPIENTS)
        else:
            self._ask(
                transaction.start_content(self.helo, is_extended=self._is_extended)
            )

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

    def _on_bdat(self, argument: bytes) -> None:
        self._refuse_content(phrases.NOT_IMPLEMENTED)

    # What they share.

    def _out_of_sequence(self) -> bytes:
        return phrases.MAIL_FIRST if self.helo else phrases.EHLO_FIRST

    def _takes_nothing(self, argument: bytes) -> bool:
        if argument.strip(b" "):
            self._refuse(phrases.NO_ARGUMENT)
            return False
        return True

    def _ask(self, question: Question) -> None:
        self._question = question
        self._events.append(question)

    def _say_idly(self, said: bytes) -> None:
        """Reply to a command that moves no mail; too many of those are the end."""
        self._fruitless += 1
        if self._fruitless < MAX_FRUITLESS_COMMANDS:
            self._out.append(said)
        else:
            self._end(phrases.TOO_MANY_FRUITLESS)

    _refuse = _say_idly

    def _refuse_argument(self, reply: Reply) -> None:
        if reply.code in _COUNTED_REFUSALS:
            self._refuse(format_reply(reply))
        else:
            self._out.append(format_reply(reply))

    def _refuse_content(self, said: bytes) -> None:
        """Refuse DATA or BDAT.

        What came in along with it was sent by a client that did not wait for
        our reply (RFC 2920 §3.1): it is content, and must not be executed.
        """
        self._refuse(said)
        if self._commands.has_input and not self._is_over:
            self._end(phrases.OUT_OF_STEP)

    def _give_up_transaction(self) -> None:
        if self._transaction is not None:
            self._transaction = None
            self._events.append(TransactionReset())

    def _end(self, said: bytes = b"") -> None:
        if self._is_over:
            return
        self._out.append(said)
        self._is_over = True
        self._events.append(SessionEnded())


_HANDLERS: dict[bytes, Callable[[ServerSession, bytes], None]] = {
    b"HELO": ServerSession._on_helo,
    b"EHLO": ServerSession._on_ehlo,
    b"MAIL": ServerSession._on_mail,
    b"RCPT": ServerSession._on_rcpt,
    b"DATA": ServerSession._on_data,
    b"RSET": ServerSession._on_rset,
    b"NOOP": ServerSession._on_noop,
    b"QUIT": ServerSession._on_quit,
    b"HELP": ServerSession._on_help,
    b"VRFY": ServerSession._on_vrfy,
    b"BDAT": ServerSession._on_bdat,
}
