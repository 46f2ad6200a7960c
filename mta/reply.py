"""SMTP replies as values: the word every room speaks.

A reply is a code, perhaps an enhanced status, and text. This module parses what
a server sent and formats what we send; it decides nothing about either.

RFC 5321 §4.2 (replies), RFC 2034 and RFC 3463 (enhanced status codes).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

# RFC 5321 §4.2: three digits, the first 2 to 5, the second 0 to 5 in the grammar.
# Servers in the wild use any second digit, so we accept any.
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_STATUS = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:\s+|$)")
# What must not travel on: controls and DEL would let a server write to our log.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class EnhancedStatus:
    """An enhanced mail system status code such as 5.1.1 (RFC 3463 §2)."""

    severity: int
    subject: int
    detail: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"5.1.1"``.

        Raises:
            ValueError: ``text`` is not three numbers, the first of 2, 4 and 5.
        """
        match = _STATUS.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not an enhanced status code")
        return cls(int(match[1]), int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.severity}.{self.subject}.{self.detail}"


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply: code, enhanced status if any, text without either.

    Raises:
        ValueError: ``status`` contradicts ``code``.
    """

    code: int
    status: EnhancedStatus | None = None
    text: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # RFC 2034 §4: the two agree. Some servers do send "550 4.7.1 ...";
        # parse_reply() drops their status, so no reader ever has to choose.
        if self.status and self.status.severity != self.code // 100:
            raise ValueError(f"status {self.status} contradicts code {self.code}")

    @property
    def is_positive(self) -> bool:
        """2yz: the server did it."""
        return self.code // 100 == 2

    @property
    def is_intermediate(self) -> bool:
        """3yz: the server waits for more."""
        return self.code // 100 == 3

    @property
    def is_transient(self) -> bool:
        """4yz: not now."""
        return self.code // 100 == 4

    @property
    def is_permanent(self) -> bool:
        """5yz: not ever, as it stands."""
        return self.code // 100 == 5

    def __str__(self) -> str:
        status = f" {self.status}" if self.status else ""
        return f"{self.code}{status} {' '.join(self.text)}".rstrip()


def make_reply(code: int, status: str | None = None, *text: str) -> Reply:
    """Build a reply of ours, as in ``make_reply(550, "5.1.1", "No such user")``."""
    return Reply(code, EnhancedStatus.parse(status) if status else None, text)


def parse_reply(lines: Sequence[bytes]) -> Reply:
    """Read one reply from its lines, without their line ends.

    Undecodable bytes and control characters are replaced, so that the text is
    safe to log and to show. An enhanced status is taken off every line that
    repeats the first one's.

    Raises:
        ValueError: no lines, a line that is no reply line, two different codes,
            or a last line that says more is to come.
    """
    parts = [_split_line(line) for line in lines]
    if not parts:
        raise ValueError("a reply has at least one line")
    if len({code for code, _, _ in parts}) > 1:
        raise ValueError("a reply has one code")
    if any(is_last for _, is_last, _ in parts[:-1]) or not parts[-1][1]:
        raise ValueError("a reply ends where its code is followed by a space")
    code = parts[0][0]
    texts = [text for _, _, text in parts]
    status = _leading_status(texts[0], code)
    if status is not None:
        texts = [_without_status(text, status) for text in texts]
    return Reply(code, status, tuple(texts))


def format_reply(reply: Reply) -> bytes:
    """Write a reply for the wire, CRLF included; the status stands on each line."""
    status = f"{reply.status} " if reply.status else ""
    texts = [_UNPRINTABLE.sub("?", text) for text in reply.text] or [""]
    lines = [f"{reply.code}-{status}{text}" for text in texts[:-1]]
    lines.append(f"{reply.code} {status}{texts[-1]}".rstrip())
    # Non-ASCII text is for SMTPUTF8 sessions only (RFC 6531 §3.7.4.2).
    return b"".join(
        line.encode("ascii", "backslashreplace") + b"\r\n" for line in lines
    )


def _split_line(line: bytes) -> tuple[int, bool, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a reply line: {line[:60]!r}")
    text = (match[3] or b"").decode("utf-8", "replace")
    return int(match[1]), match[2] != b"-", _UNPRINTABLE.sub("?", text).strip()


def _leading_status(text: str, code: int) -> EnhancedStatus | None:
    match = _STATUS.match(text)
    if match is None or int(match[1]) != code // 100:
        return None
    return EnhancedStatus(int(match[1]), int(match[2]), int(match[3]))


def _without_status(text: str, status: EnhancedStatus) -> str:
    prefix = str(status)
    if text == prefix or text.startswith(prefix + " "):
        return text[len(prefix) :].lstrip()
    return text
