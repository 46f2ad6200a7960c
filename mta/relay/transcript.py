"""What was said in a session, for people: bounded, without secrets and content."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mta.reply import Reply

MAX_LINES: Final = 200
MAX_CHARS: Final = 500  # of a line
MAX_REPLY_CHARS: Final = 4_000
# Of which the first ones, and the last, say what happened.
_KEPT_FIRST: Final = MAX_LINES // 2


class Line(NamedTuple):
    """One line.

    Attributes:
        at: On the monotonic clock.
        who: ``C`` for us, ``S`` for the server, ``-`` for neither.
    """

    at: float
    who: str
    what: bytes | Reply | str | int


@dataclass(slots=True)
class Transcript:
    """What one session says, from the beginning or from one transaction on."""

    monotonic: Callable[[], float] = time.monotonic
    lines: list[Line] = field(default_factory=list)
    left_out: int = 0

    def begin(self) -> None:
        """Begin anew; who holds the lines so far may keep them."""
        self.lines, self.left_out = [], 0

    def sent(self, octets: bytes) -> None:
        """We said something that anybody may read."""
        self._add("C", octets)

    def sent_content(self, count: int) -> None:
        """We sent so many octets of content."""
        self._add("C", count)

    def heard(self, reply: Reply) -> None:
        """The server replied."""
        is_short = sum(map(len, reply.text)) <= MAX_REPLY_CHARS
        self._add("S", reply if is_short else _shorten(reply))

    def note(self, text: str) -> None:
        """Something happened that nobody said."""
        self._add("-", text)

    def _add(self, who: str, what: bytes | Reply | str | int) -> None:
        last = self.lines[-1] if self.lines else None
        if last and isinstance(what, int) and isinstance(last.what, int):
            self.lines[-1] = Line(last.at, who, last.what + what)
            return
        if len(self.lines) >= MAX_LINES:
            del self.lines[_KEPT_FIRST]
            self.left_out += 1
        self.lines.append(Line(self.monotonic(), who, what))

    def snapshot(self) -> "Talk":
        """What was said so far; what comes later may follow in it."""
        return Talk(self.lines, self.left_out)


class Talk(NamedTuple):
    """Some lines of a transcript."""

    lines: Sequence[Line] = ()
    left_out: int = 0

    def __bool__(self) -> bool:
        return bool(self.lines)

    def __str__(self) -> str:
        """The text: seconds since the first line, who, and what."""
        if not self.lines:
            return ""
        start = self.lines[0].at
        texts = []
        for number, line in enumerate(self.lines):
            if self.left_out and number == _KEPT_FIRST:
                texts.append(f"... {self.left_out} lines are left out")
            seconds = f"{line.at - start:8.3f}"
            texts += [f"{seconds} {line.who} {text}" for text in _texts(line.what)]
        return "\n".join(texts)


class Talks(NamedTuple):
    """With several hosts, one after the other."""

    parts: Sequence[object]

    def __bool__(self) -> bool:
        return any(self.parts)

    def __str__(self) -> str:
        return "\n\n".join(filter(None, map(str, self.parts)))


def _shorten(reply: Reply) -> Reply:
    """Keep the beginning of a long reply, so that no server fills our memory."""
    count = MAX_REPLY_CHARS // MAX_CHARS
    kept = tuple(line[:MAX_CHARS] for line in reply.text[:count])
    return Reply(reply.code, reply.status, (*kept, "..."))


def _texts(what: bytes | Reply | str | int) -> list[str]:
    if isinstance(what, int):
        return [f"[{what} octets of content]"]
    if isinstance(what, Reply):
        head = f"{what.code} {what.status or ''}".rstrip()
        return [f"{head} {line}"[:MAX_CHARS] for line in what.text or ("",)]
    text = what if isinstance(what, str) else what.decode("utf-8", "backslashreplace")
    return [line[:MAX_CHARS] for line in text.splitlines() if line]
