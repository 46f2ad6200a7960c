"""A second reading of a dialogue, when it is over: plain, and without a state machine.

It goes through the client's octets, and takes for each command the reply that must be
its own. Where they do not fit, somebody has taken content for a command, or a command
for content; or a client was not answered, or was answered twice.
"""

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from tests.fuzz.promises import promise
from tests.fuzz.replies import Said

# What these are followed by in one go was sent too early, unless all is well.
_LAST_OF_GROUP: Final = frozenset({b"DATA", b"BDAT", b"AUTH", b"STARTTLS", b"XCLIENT"})
_GREETINGS: Final = frozenset({b"HELO", b"EHLO", b"LHLO", b"RSET"})
_LAST_WORDS: Final = frozenset({221, 421, 521})

_BDAT = re.compile(rb"BDAT +([0-9]{1,20})( +LAST)? *", re.IGNORECASE)
_CONTROL = re.compile(rb"[\0-\x1f\x7f]")
_END = b"\r\n.\r\n"
_TOO_LONG = 12_286  # octets of a line; whether it had come to its end, nobody knows


class Reading:
    """Reads a dialogue; ``check()`` raises ``BrokenPromise``.

    Args:
        pieces: What the client sent, as it came.
        replies: What it heard after the greeting.
        is_over: The session has ended.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        replies: Sequence[Said],
        *,
        is_lmtp: bool,
        is_over: bool,
    ) -> None:
        self.lines = 0
        self._stream = b"".join(pieces)
        self._ends = set(accumulate(map(len, pieces)))
        self._replies = list(replies)
        self._is_lmtp = is_lmtp
        self._is_over = is_over
        self._at = 0
        self._is_login = False  # the next line is a response
        self._recipients: int | None = None  # None: no transaction

    def check(self) -> bool:
        """Read it all; False if that cannot be done."""
        if any(len(line) > _TOO_LONG for line in self._stream.split(b"\r\n")):
            return False
        while self._replies or not self._is_over:
            line, end, _ = self._stream[self._at :].partition(b"\r\n")
            if b"\n" in line:
                codes = [reply.code for reply in self._replies]
                is_last = self._is_over and codes in ([521], [421])
                promise(is_last, "a lone LF ends the session")
                return True
            if not end:
                break
            self.lines += 1
            self._at += len(line) + 2
            if not self._read(line):
                return True
        promise(not self._replies or self._is_over, "no command is answered twice")
        promise(len(self._replies) <= 1, "the end is said once")
        return True

    def _read(self, line: bytes) -> bool:
        """Read a command; False if there is no more."""
        chunk = None if self._is_login else _BDAT.fullmatch(line)
        if chunk is not None and self._next_code() != 502:  # taken, or skipped
            return self._read_chunk(int(chunk[1]), is_last=chunk[2] is not None)
        was_login, at = self._is_login, self._at
        code = self._take()
        self._is_login = code == 334
        verb = line.partition(b" ")[0].upper()
        if was_login or _CONTROL.search(line):
            return code not in _LAST_WORDS
        if verb == b"DATA" and code == 354:
            return self._read_data()
        if verb in _LAST_OF_GROUP and at not in self._ends:
            is_over = self._is_over and len(self._replies) <= 1
            promise(is_over, "what comes too early is not executed")
            return False
        self._note(verb, code)
        return code not in _LAST_WORDS

    def _read_chunk(self, size: int, *, is_last: bool) -> bool:
        if len(self._stream) - self._at < size:
            promise(not self._replies or self._is_over, "a chunk is read to its end")
            return False
        self._at += size
        return self._take_end() if is_last else self._take() not in _LAST_WORDS

    def _read_data(self) -> bool:
        end = self._stream.find(_END, self._at - 2)
        if end < 0:
            promise(not self._replies or self._is_over, "content is read to its end")
            return False
        self._at = end + len(_END)
        return self._take_end()

    def _take_end(self) -> bool:
        """Take the replies to a message, or to a last chunk that belongs to none."""
        times = self._recipients if self._is_lmtp else 1
        codes = set()
        for _ in range(times or 1):
            codes.add(self._take())
            if 421 in codes:
                return False
        promise(len(codes) == 1, "a message has one fate")
        if self._recipients:
            self._recipients = None
        return not codes & _LAST_WORDS

    def _next_code(self) -> int:
        return self._replies[0].code if self._replies else 0

    def _take(self) -> int:
        promise(self._replies, "every command is answered")
        return self._replies.pop(0).code

    def _note(self, verb: bytes, code: int) -> None:
        if verb == b"MAIL" and code == 250:
            self._recipients = 0
        elif verb == b"RCPT" and code // 100 == 2 and self._recipients is not None:
            self._recipients += 1
        elif code == 220 or (verb in _GREETINGS and code == 250):
            self._recipients = None
