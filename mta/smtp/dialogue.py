"""What every SMTP server's session does with octets, whatever its commands mean.

Command lines are cut from what comes in, one at a time; while content is on its way,
everything is content. Events wait for the driver, replies for the network, both in
order. A session that offends too often, or is idle for too long, is over.

RFC 5321 §4.5.3.1, RFC 2920 (order of replies).
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import Final

from mta.reply import Reply
from mta.smtp import phrases
from mta.smtp.content import Incoming
from mta.smtp.events import (
    ContentChunk,
    Event,
    Question,
    SessionEnded,
    TransactionReset,
)
from mta.smtp.lines import CommandReader, LineFault
from mta.smtp.options import SessionOptions

# The tenth command of a session that is none ends it, as in ZoneMTA.
MAX_UNKNOWN_COMMANDS: Final = 10
# Refused and idle commands since the last MAIL; a client at work sends few.
MAX_FRUITLESS_COMMANDS: Final = 100


class Dialogue(ABC):
    """One client's octets, events and replies.

    Attributes:
        lines_read: Command lines so far, understood or not: how a driver tells
            work from dripping.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.lines_read = 0
        self._options = options
        self._commands = CommandReader()
        self._incoming: Incoming | None = None
        self._block = b""
        self._unknown = 0
        self._fruitless = 0
        self._out: list[bytes] = []
        self._events: deque[Event] = deque()
        self._question: Question | None = None
        self._is_over = False

    @property
    def is_reading_content(self) -> bool:
        """What comes next is content."""
        return self._incoming is not None

    def receive(self, data: bytes) -> None:
        """Take octets as they came from the network."""
        if self._is_over:
            return
        if self._incoming is None:
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
                raise RuntimeError(f"not answered: {type(self._question).__name__}")
            if not self._advance():
                return None
        return self._events.popleft()

    def data_to_send(self) -> bytes:
        """Hand over the replies since the last call, in order."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def hang_up(self, reply: Reply) -> None:
        """End the session from our side, saying why."""
        self._question = None
        self._end(phrases.format_answer(reply))

    @abstractmethod
    def _obey(self, line: bytes) -> None:
        """Do what a command line says."""

    @abstractmethod
    def _misread(self, fault: LineFault) -> bytes:
        """A line came that is none; what to say to it."""

    @abstractmethod
    def _take_content(self, incoming: Incoming) -> None:
        """The content has ended, or a chunk of it."""

    # Reading on.

    def _advance(self) -> bool:
        """Do one step; False if more octets are needed, or none wanted."""
        if self._is_over:
            return False
        if self._incoming is not None:
            return self._advance_content(self._incoming)
        line = self._commands.next_line()
        if line is None:
            return False
        self.lines_read += 1
        if isinstance(line, LineFault):
            self._refuse(self._misread(line))
            if line is LineFault.BARE_LF:
                self._end()
        else:
            self._obey(line)
        return True

    def _read_content(self, incoming: Incoming) -> None:
        """What comes from now on is content, until it ends."""
        if incoming.is_endless:
            self._end(incoming.refusal)
            return
        self._incoming = incoming
        self._block = self._commands.take_rest()

    def _advance_content(self, incoming: Incoming) -> bool:
        if not self._block and not incoming.is_complete:
            return False
        was_refused = incoming.is_refused
        content = incoming.feed(self._block)
        self._block = b""
        if content:
            self._events.append(ContentChunk(content))
        if incoming.is_refused and not was_refused:
            self._events.append(TransactionReset())
        if incoming.is_complete:
            self._incoming = None
            self._commands.feed(incoming.rest)
            self._take_content(incoming)
        elif incoming.is_endless:
            self._end(incoming.refusal)
        return True

    # Speaking.

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

    def _refuse_unknown(self) -> None:
        self._unknown += 1
        if self._unknown < MAX_UNKNOWN_COMMANDS:
            self._refuse(phrases.UNKNOWN)
        else:
            self._end(phrases.TOO_MANY_UNKNOWN)

    def _refuse_content(self, said: bytes) -> None:
        """Refuse DATA, or a BDAT of unknown length.

        What came in along with it was sent by a client that did not wait for
        our reply (RFC 2920 §3.1): it is content, and must not be executed.
        """
        self._refuse(said)
        if self._commands.has_input:
            self._end(phrases.OUT_OF_STEP)

    def _is_last_of_group(self) -> bool:
        """Nothing came after the command, as it must be; else the session is over."""
        if self._commands.has_input:
            self._end(phrases.OUT_OF_STEP)
        return not self._is_over

    def _end(self, said: bytes = b"") -> None:
        if self._is_over:
            return
        self._out.append(said)
        self._is_over = True
        self._events.append(SessionEnded())
