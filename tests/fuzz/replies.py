"""What may be said to a client, octet by octet (RFC 5321 §4.2, RFC 2034 §4)."""

import re
from dataclasses import dataclass
from typing import Final

from tests.fuzz.promises import promise

HOSTNAME: Final = "mx.fuzz.test"
MAX_REPLY_LINE: Final = 512  # RFC 5321 §4.5.3.1.5, CRLF included

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([\t -~]*))?")
_STATUS = re.compile(rb"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?: |\Z)")
# The greeting, and the replies to HELO and EHLO, begin with our name.
_NAMED = re.compile(rb"mx\.fuzz\.test(?: |\Z)")


@dataclass(frozen=True)
class Said:
    """One reply: its code, and its lines without code and line end."""

    code: int
    lines: list[bytes]

    @property
    def is_hello(self) -> bool:
        """It needs no enhanced status."""
        return _NAMED.match(self.lines[0]) is not None


def read_replies(wire: bytes) -> list[Said]:
    """Take whole replies apart, and hold each to the rules."""
    promise(wire.endswith(b"\r\n") or not wire, "a reply ends with CRLF")
    replies: list[Said] = []
    lines: list[bytes] = []
    codes: set[bytes] = set()
    for line in wire.split(b"\r\n")[:-1]:
        promise(len(line) + 2 <= MAX_REPLY_LINE, "a reply line has 512 octets at most")
        match = _LINE.fullmatch(line)
        promise(match, "a reply line is code and printable text")
        lines.append(match[3] or b"")
        codes.add(match[1])
        if match[2] != b"-":
            promise(len(codes) == 1, "a reply has one code")
            replies.append(Said(int(match[1]), lines))
            lines, codes = [], set()
    promise(not lines, "a reply is said to its end")
    for reply in replies:
        _check_status(reply)
    return replies


def _check_status(reply: Said) -> None:
    if reply.is_hello and reply.code in {220, 250}:
        return
    for line in reply.lines:
        match = _STATUS.match(line)
        if reply.code // 100 == 3:
            promise(match is None, "3yz has no enhanced status")
        else:
            is_right = match is not None and int(match[1]) == reply.code // 100
            promise(is_right, "a reply has the enhanced status of its class")
