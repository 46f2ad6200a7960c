"""A driver of ``ServerSession`` that believes it nothing.

It keeps a model of its own of where the session must be, and holds every event and
every reply against it. Messages that were taken are held against the octets that were
sent: it must be possible to find them there, once for each end of content.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from mta.reply import Reply, make_reply
from mta.smtp.events import (
    ClientDeclared,
    ContentChunk,
    ContentEnded,
    ContentStarted,
    Event,
    LoginReceived,
    MailReceived,
    OriginDeclared,
    RcptReceived,
    SessionEnded,
    TlsWanted,
    TransactionReset,
)
from mta.smtp.grammar import MailCommand
from mta.smtp.parameters import Body
from mta.smtp.sasl import Credentials, KeysWanted, Password, Proof, Token
from mta.smtp.scram import make_keys
from mta.smtp.server import ServerSession
from tests.fuzz.contents import check_hand_over, count_ends, was_sent
from tests.fuzz.promises import BrokenPromise, has_stray_line_end, promise
from tests.fuzz.reading import Reading
from tests.fuzz.replies import Said, read_replies
from tests.fuzz.setups import NOW, Setup

USER: Final = "ada"
PASSWORD: Final = "pencil"
KEYS: Final = make_keys(PASSWORD, salt=b"0123456789abcdef", iterations=4096)

_STOPPING = make_reply(421, "4.3.2", "Stopping")
_NO_LOGIN = make_reply(535, "5.7.8", "No")
# Fields of MAIL, by the extension that allows them.
_FIELDS: Final = {
    "SIZE": ("size",),
    "SMTPUTF8": ("smtputf8",),
    "DSN": ("ret", "envid"),
    "DELIVERBY": ("by",),
    "FUTURERELEASE": ("hold_for", "hold_until"),
}
_ENDS_IN_STARTTLS = re.compile(rb"STARTTLS *\r\n\Z", re.IGNORECASE)

# What the client sends, perhaps when it knows what it heard. None: we hang up.
Piece = bytes | Callable[[bytes], bytes] | None


@dataclass
class _Mail:
    """A transaction, as the driver was told of it."""

    reverse_path: str
    recipients: dict[str, str] = field(default_factory=dict)
    accepted: int = 0
    command: MailCommand | None = None  # once content began
    is_taken: bool = False  # content is on its way, and not refused
    content: list[bytes] = field(default_factory=list)

    @property
    def is_binary(self) -> bool:
        return self.command is not None and self.command.body is Body.BINARY


class Driver:
    """One session, and what it did.

    Attributes:
        sent: What the client heard after the greeting.
        events: What the driver was told, but for content.
        messages: The contents that were taken.
    """

    def __init__(self, setup: Setup) -> None:
        self.sent = b""
        self.events: list[Event] = []
        self.messages: list[bytes] = []
        self._setup = setup
        self._options = setup.options
        now = (lambda: NOW) if setup.has_clock else None
        self._session = ServerSession(setup.options, is_tls=setup.is_tls, now=now)
        self._is_tls = setup.is_tls
        self._claimed = ""  # who the client may be by now
        self._mail: _Mail | None = None
        self._fed: list[bytes] = []
        self._said: list[Said] = []
        self._questions = 0
        self._is_over = False
        read_replies(self._session.greeting())

    def run(self, pieces: Iterable[Piece]) -> None:
        """Feed the session, answer it, and look at all it does."""
        has_hung_up = False
        for piece in pieces:
            if piece is None:
                self._session.hang_up(_STOPPING)
                has_hung_up = True
            else:
                data = piece(self.sent) if callable(piece) else piece
                self._fed.append(data)
                self._session.receive(data)
            self._drain()
        stream = b"".join(self._fed)
        is_right = len(self.messages) <= count_ends(stream)
        promise(is_right, "one message for each end of content")
        for content in self.messages:
            promise(was_sent(stream, content), "what is taken was sent")
        if not has_hung_up:
            self._read_again()

    def _read_again(self) -> None:
        reading = Reading(
            self._fed,
            self._said,
            is_lmtp=self._options.is_lmtp,
            is_over=self._is_over,
        )
        if reading.check() and not self._is_over:
            is_right = reading.lines == self._session.lines_read
            promise(is_right, "no line is read twice, and none is left out")

    def _drain(self) -> None:
        session = self._session
        if self._is_over:
            promise(session.next_event() is None, "after the end nothing happens")
            promise(not session.data_to_send(), "after the end nothing is said")
            return
        while (event := session.next_event()) is not None:
            self._collect()
            promise(not self._is_over, "the end of the session is the last event")
            if isinstance(event, ContentChunk):
                self._take_chunk(event.data)
            else:
                self.events.append(event)
                self._handle(event)
        self._collect()
        try:
            session.answer()
        except RuntimeError:
            return
        raise BrokenPromise("who answers without a question is told so")

    def _collect(self) -> list[Said]:
        wire = self._session.data_to_send()
        replies = read_replies(wire)
        self.sent += wire
        self._said += replies
        return replies

    def _next_answer(self, *, yes: int = 250) -> Reply | None:
        self._questions += 1
        return self._setup.answer(self._questions - 1, yes=yes)

    def _answer(self, reply: Reply | None) -> list[Said]:
        asked = type(self.events[-1]).__name__
        self._session.answer(reply)
        said = self._collect()
        if reply is not None and reply.code == 421:
            is_heard = bool(said) and said[-1].code == 421
            promise(is_heard, f"a 421 to {asked} is what the client hears")
        return said

    def _answer_once(self, reply: Reply | None) -> bool:
        """Answer a question that is about one command; True if it was a yes."""
        promise(len(self._answer(reply)) == 1, "an answer is one reply")
        return _is_yes(reply)

    # Events.

    def _handle(self, event: Event) -> None:
        match event:
            case MailReceived():
                self._on_mail(event)
            case RcptReceived():
                self._on_rcpt(event)
            case ContentStarted():
                self._on_content(event)
            case ContentEnded(size):
                self._on_end(size)
            case TransactionReset():
                self._on_reset()
            case SessionEnded():
                self._is_over = True
            case _:
                self._on_introduction(event)

    def _on_mail(self, event: MailReceived) -> None:
        session, options, mail = self._session, self._options, self._mail
        # Of content that was refused, nobody is told that it is over.
        is_over = mail is None or (mail.command is not None and not mail.is_taken)
        promise(is_over, "there is one transaction at a time")
        promise(session.helo, "no MAIL before EHLO")
        promise(self._is_tls or not options.requires_tls, "no MAIL before TLS")
        promise(session.user or not options.requires_login, "no MAIL before AUTH")
        promise((event.size or 0) <= options.max_size, "SIZE is within the limit")
        is_yes = self._answer_once(self._next_answer())
        self._mail = _Mail(event.reverse_path) if is_yes else None

    def _on_rcpt(self, event: RcptReceived) -> None:
        mail = self._mail
        promise(mail, "no RCPT without MAIL")
        promise(mail.command is None, "no recipient comes after the content began")
        promise(mail.reverse_path == event.reverse_path, "RCPT belongs to its MAIL")
        if self._answer_once(self._next_answer()):
            mail.recipients[event.recipient.lower()] = event.recipient
            mail.accepted += 1
        is_right = len(mail.recipients) <= self._options.max_recipients
        promise(is_right, "recipients are within the limit")

    def _on_content(self, event: ContentStarted) -> None:
        mail = self._mail
        promise(mail and mail.recipients, "no content without a recipient")
        recipients = tuple(mail.recipients.values())
        promise(event.recipients == recipients, "all recipients come with the content")
        promise(event.reverse_path == mail.reverse_path, "content belongs to its MAIL")
        promise(set(event.notices) <= set(recipients), "notices are for recipients")
        promise(event.helo == self._session.helo, "EHLO is known to the end")
        self._check_fields(event.mail)
        reply = self._next_answer(yes=354)
        said = self._answer(reply)
        if not said or said[0].code == 354:  # DATA that was refused may come again
            mail.command, mail.is_taken = event.mail, _is_yes(reply)

    def _check_fields(self, mail: MailCommand) -> None:
        for keyword, names in _FIELDS.items():
            is_hidden = keyword in self._options.hidden
            is_set = any(getattr(mail, name) for name in names)
            promise(not (is_hidden and is_set), "what is hidden is not taken")
        promise(self._is_tls or not mail.require_tls, "REQUIRETLS is for TLS")
        is_held = mail.hold_for is not None or mail.hold_until is not None
        promise(self._setup.has_clock or not is_held, "without a clock nothing is held")

    def _take_chunk(self, data: bytes) -> None:
        promise(self._mail and self._mail.is_taken, "content comes where it is awaited")
        promise(data, "content has octets")
        self._mail.content.append(data)

    def _on_end(self, size: int) -> None:
        mail, options = self._mail, self._options
        promise(mail and mail.is_taken, "what ends has begun")
        content = b"".join(mail.content)
        promise(size == len(content), "the size is counted")
        promise(size <= options.max_size, "what is taken is within the limit")
        if options.refuses_stray_line_ends and not mail.is_binary:
            promise(not has_stray_line_end(content), "stray line ends are refused")
        check_hand_over(mail.content, is_binary=mail.is_binary)
        reply = self._next_answer()
        said = self._answer(reply)
        times = mail.accepted if options.is_lmtp else 1
        is_last = reply is not None and reply.code == 421
        is_right = len(said) == times or is_last
        promise(is_right, "a message is answered as often as it must be")
        self.messages.append(content)
        self._mail = None

    def _on_reset(self) -> None:
        promise(self._mail, "nothing is reset that was not begun")
        if self._session.is_idle:
            self._mail = None
        else:  # its content was refused, and is still to be read
            self._mail.is_taken = False

    def _on_introduction(self, event: Event) -> None:
        session, options = self._session, self._options
        if isinstance(event, TlsWanted):
            self._begin_tls()
            return
        promise(session.is_idle, "nobody becomes another within a transaction")
        match event:
            case KeysWanted(username):
                self._find_keys(username)
            case LoginReceived():
                self._log_in(event.credentials)
            case ClientDeclared(facts):
                promise(options.takes_xclient, "XCLIENT is for who may")
                if self._answer_once(self._next_answer()):
                    promise(not session.helo, "after XCLIENT all is forgotten")
                    self._claimed = facts.get("LOGIN") or ""
            case OriginDeclared():
                promise(options.takes_xforward, "XFORWARD is for who may")
                self._answer_once(self._next_answer())
        promise(session.user in {"", self._claimed}, "nobody is who did not log in")

    def _begin_tls(self) -> None:
        session = self._session
        promise(not self._is_tls, "TLS begins once")
        promise(self._options.starttls, "STARTTLS is taken where it is offered")
        is_last = _ENDS_IN_STARTTLS.search(b"".join(self._fed))
        promise(is_last, "nothing sent before the handshake is kept")
        is_told = self.sent.endswith(b"220 2.0.0 Ready to start TLS\r\n")
        promise(is_told, "the client knows that TLS begins")
        session.begin_tls()
        self._is_tls, self._claimed = True, ""
        is_new = not (session.helo or session.user) and session.is_idle
        promise(is_new, "after TLS all is forgotten")

    def _check_login(self) -> None:
        may = self._options.takes_login(is_tls=self._is_tls)
        promise(may, "no login in clear unless allowed")
        promise(not self._session.user, "nobody logs in twice")

    def _find_keys(self, username: str) -> None:
        self._check_login()
        reply = self._next_answer()
        if _is_yes(reply):
            self._session.answer_keys(KEYS if username == USER else None)
            promise(len(self._collect()) == 1, "an answer is one reply")
        else:
            self._answer_once(reply)

    def _log_in(self, credentials: Credentials) -> None:
        self._check_login()
        is_hidden = repr(credentials) == repr(_disclosed(credentials))
        promise(is_hidden, "secrets are hidden")
        reply = self._next_answer()
        if isinstance(credentials, Proof) and not credentials.is_valid:
            reply = reply if not _is_yes(reply) else _NO_LOGIN
        if _is_yes(reply):
            self._claimed = USER
            self._session.answer_login(USER)
            promise(len(self._collect()) == 1, "an answer is one reply")
        else:
            self._answer_once(reply)


def _is_yes(reply: Reply | None) -> bool:
    return reply is None or not (reply.is_transient or reply.is_permanent)


def _disclosed(credentials: Credentials) -> Credentials:
    """The same, with a secret that everybody knows."""
    match credentials:
        case Password():
            return replace(credentials, password="known")
        case Token():
            return replace(credentials, token="known")
        case _:
            return credentials
