"""Who the client is: its name, its encryption, its login, and whom it speaks for.

Each of them makes the session another one: EHLO and STARTTLS end a transaction, AUTH
and XCLIENT may not come within one. STARTTLS, AUTH and XCLIENT must be the last of what
came in one go: input that was there before belongs to nobody (CVE-2011-0411).

RFC 5321 §4.1.1.1, RFC 2033 §4.1 (LHLO), RFC 3207 (STARTTLS), RFC 4954 (AUTH).
"""

from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime

from mta.reply import format_reply
from mta.smtp import phrases
from mta.smtp.dialogue import Dialogue
from mta.smtp.events import (
    ClientDeclared,
    LoginReceived,
    OriginDeclared,
    Question,
    TlsWanted,
)
from mta.smtp.grammar import BadArgument, parse_helo
from mta.smtp.lines import CommandReader, LineFault
from mta.smtp.login import LoginDialogue, Say, Turn, Verdict
from mta.smtp.options import SessionOptions, answer_ehlo, answer_helo, greet, offered
from mta.smtp.sasl import BadResponse, KeysWanted, parse_auth
from mta.smtp.scram import ScramKeys
from mta.smtp.xclient import XCLIENT_NAMES, XFORWARD_NAMES, parse_attributes


class Introduction(Dialogue):
    """What a client says of itself.

    Args:
        options: What we promise.
        is_tls: The session is encrypted from its first octet.
        now: The clock; aware UTC. None: FUTURERELEASE is not offered.

    Attributes:
        helo: What the client calls itself; empty before HELO and EHLO.
        user: Who logged in; empty if nobody did.
        is_tls: The session is encrypted.
    """

    def __init__(
        self,
        options: SessionOptions,
        *,
        is_tls: bool,
        now: Callable[[], datetime] | None,
    ) -> None:
        super().__init__(options)
        self.helo = ""
        self.user = ""
        self.is_tls = is_tls
        self._now = now
        self._disabled = frozenset(verb.encode() for verb in options.disabled)
        self._keywords: frozenset[str] = frozenset()
        self._is_extended = False
        self._login: LoginDialogue | None = None

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """No transaction is open: nothing would be lost by ending here."""

    @abstractmethod
    def _give_up_transaction(self) -> None: ...

    def greeting(self) -> bytes:
        """Return the first reply, which waits for no command."""
        return greet(self._options)

    # Answers of the driver's.

    def answer_login(self, user: str) -> None:
        """Answer ``LoginReceived``: it is ``user``, which is not empty."""
        self._take_question(LoginReceived)
        if self._login is not None:
            self._take_turn(self._login.conclude(phrases.LOGIN_OK, user))

    def answer_keys(self, keys: ScramKeys | None) -> None:
        """Answer ``KeysWanted``; None: there is no such user."""
        self._take_question(KeysWanted)
        if self._login is not None:
            self._take_turn(self._login.provide(keys))

    def begin_tls(self) -> None:
        """Answer ``TlsWanted``: hands were shaken, and all is forgotten (RFC 3207)."""
        self._take_question(TlsWanted)
        self._forget()
        self.is_tls = True

    def _take_question(self, kind: type[Question] | None = None) -> Question:
        question = self._question
        if question is None or (kind is not None and not isinstance(question, kind)):
            raise RuntimeError("that was not asked")
        self._question = None
        return question

    def _answer_introduction(
        self, question: Question, said: bytes | None, is_no: bool
    ) -> None:
        match question:
            case LoginReceived() if self._login is not None and said is not None:
                self._take_turn(self._login.conclude(said, ""))
            case KeysWanted() if said is not None:
                self._take_turn(Verdict(said))
            case ClientDeclared(facts) if not is_no:
                self._forget()
                self.user = facts.get("LOGIN") or ""
                self._out.append(self.greeting())
            case ClientDeclared() | OriginDeclared():
                self._say_idly(said or phrases.OK)
            case _:
                raise RuntimeError(f"{type(question).__name__} wants another answer")

    def _take_turn(self, turn: Turn) -> None:
        match turn:
            case Say(octets):
                self._out.append(octets)
            case Verdict(reply, user):
                self._login = None
                self.user = user
                if user:
                    self._out.append(reply)
                else:
                    self._refuse(reply)
            case _:
                self._ask(turn)

    def _misread(self, fault: LineFault) -> bytes:
        login, self._login = self._login, None
        if login is not None and fault is LineFault.TOO_LONG:
            return phrases.RESPONSE_TOO_LONG  # RFC 4954 §6
        return phrases.LINE_FAULTS[fault]

    def _forget(self) -> None:
        """Start anew, as if the client had just come; also what it sent is dropped."""
        self._give_up_transaction()
        self._commands = CommandReader()
        self._is_extended = False
        self.helo = self.user = ""

    # The commands.

    def _goes_on_with_login(self, line: bytes) -> bool:
        """The line is a response of a login, and was taken as such."""
        if self._login is None:
            return False
        self._take_turn(self._login.respond(line))
        return True

    def _on_helo(self, argument: bytes) -> None:
        self._greet(argument, is_extended=False)

    def _on_ehlo(self, argument: bytes) -> None:
        self._greet(argument, is_extended=True)

    def _on_lhlo(self, argument: bytes) -> None:
        self._greet(argument, is_extended=True, is_lmtp=True)

    def _greet(
        self, argument: bytes, *, is_extended: bool, is_lmtp: bool = False
    ) -> None:
        options = self._options
        if is_lmtp is not options.is_lmtp:
            self._refuse(phrases.USE_EHLO if is_lmtp else phrases.USE_LHLO)
            return
        try:
            self.helo = parse_helo(argument)
        except BadArgument as bad:
            self._refuse(format_reply(bad.reply))
            return
        self._is_extended = is_extended
        self._give_up_transaction()  # §4.1.4
        rows = offered(
            options,
            is_tls=self.is_tls,
            is_known=bool(self.user),
            now=self._now() if self._now else None,
        )
        # AUTH= stands with MAIL also after the login (RFC 4954 §5).
        known = {"AUTH"} if options.mechanisms else set()
        self._keywords = frozenset({row.keyword for row in rows} | known)
        said = answer_ehlo(options, rows) if is_extended else answer_helo(options)
        self._say_idly(said)

    def _on_starttls(self, argument: bytes) -> None:
        if not self._options.starttls:
            self._refuse_content(phrases.NOT_IMPLEMENTED)
        elif argument.strip(b" "):
            self._refuse_content(phrases.NO_ARGUMENT)
        elif self.is_tls:
            self._refuse_content(phrases.HAS_TLS)
        elif self._is_last_of_group():  # CVE-2011-0411
            self._out.append(phrases.READY_FOR_TLS)
            self._ask(TlsWanted())

    def _on_auth(self, argument: bytes) -> None:
        refusal = self._why_no_login()
        if refusal:
            self._refuse_content(refusal)
        elif self._is_last_of_group():
            try:
                mechanism, initial = parse_auth(argument)
            except BadResponse as bad:
                self._refuse(phrases.bad_response(bad.text))
                return
            if mechanism not in self._options.mechanisms:
                self._refuse(phrases.NO_SUCH_MECHANISM)
                return
            self._login = LoginDialogue(mechanism)
            self._take_turn(self._login.begin(initial))

    def _why_no_login(self) -> bytes:
        if not self._options.mechanisms:
            return phrases.NOT_IMPLEMENTED
        if not self._is_extended:
            return phrases.EHLO_FIRST
        if self.user:
            return phrases.HAS_LOGIN
        if not self.is_idle:
            return phrases.NO_LOGIN_NOW
        if not self._options.takes_login(is_tls=self.is_tls):
            return phrases.ENCRYPT_FIRST
        return b""

    def _on_xclient(self, argument: bytes) -> None:
        if not self._options.takes_xclient:
            self._refuse_content(phrases.NOT_IMPLEMENTED)
        elif not self.is_idle:
            self._refuse_content(phrases.NESTED_MAIL)
        elif self._is_last_of_group():
            try:
                facts = parse_attributes(argument, XCLIENT_NAMES)
            except ValueError as error:
                self._refuse(phrases.bad_attributes(str(error)))
            else:
                self._ask(ClientDeclared(facts))

    def _on_xforward(self, argument: bytes) -> None:
        if not self._options.takes_xforward:
            self._refuse(phrases.NOT_IMPLEMENTED)
        elif not self.is_idle:
            self._refuse(phrases.NESTED_MAIL)
        else:
            try:
                facts = parse_attributes(argument, XFORWARD_NAMES)
            except ValueError as error:
                self._refuse(phrases.bad_attributes(str(error)))
            else:
                self._ask(OriginDeclared(facts))

    def _greet_first(self) -> bytes:
        return phrases.LHLO_FIRST if self._options.is_lmtp else phrases.EHLO_FIRST
