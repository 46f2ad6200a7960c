"""A Maildir that all of a server's mail lies in.

Servers store mail with the line ends of their system: the LF in it stands for CRLF, and
what is read here has CRLF again. Nothing else is undone: no ">From", no dots.
"""

import time
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it lies there."""

    header: bytes
    body: bytes


class Mailbox:
    """A folder; one message in it is known by its Message-ID."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def only(self, message_id: bytes) -> Letter:
        """Wait for a message; there is one and no second one."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := self._find(message_id)):
            assert time.monotonic() < deadline, f"no {message_id!r} in {self._folder}"
            time.sleep(0.05)
        (letter,) = found
        return letter

    def has(self, message_id: bytes) -> bool:
        return bool(self._find(message_id))

    def _find(self, message_id: bytes) -> list[Letter]:
        found = []
        for path in self._folder.glob("new/*"):
            content = path.read_bytes()
            # No octet of ours is a CR: what is there is a line end that was kept.
            assert b"\r" not in content
            header, _, body = content.replace(b"\n", b"\r\n").partition(b"\r\n\r\n")
            if message_id in header:
                found.append(Letter(header, body))
        return found
