"""What the peers are told to send, and as whom."""

import itertools
from dataclasses import dataclass

SERVER_NAME = "mx.peers.test"
USER = "ada@peers.test"
# What base64, SCRAM and percent signs make of it, each side must undo.
PASSWORD = "s=cr,e%+t/9~"

# Dots wherever dot-stuffing could go wrong, and blanks that must not be cut.
TRICKY = (
    b".\r\n..\r\n...leading\r\n. \r\n\r\nFrom the top\r\n"
    b"blanks at the end   \r\n\ttab\r\n" + b"x" * 900 + b"\r\n.\r\nend\r\n"
)
EIGHT_BIT = (
    "Grüße aus Köln, \N{SNOWMAN}\r\n".encode() + bytes(range(0xA0, 256)) + b"\r\n"
)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Mail:
    """What a peer is told to send.

    Attributes:
        content: With CRLF; has all fields that our server would add.
    """

    sender: str
    recipient: str
    content: bytes

    @property
    def body(self) -> bytes:
        """What follows the empty line."""
        return self.content.partition(b"\r\n\r\n")[2]


def make_mail(
    body: bytes = TRICKY,
    *,
    sender: str = "ada@sender.test",
    local_part: str = "bob",
    domain: str = "peers.test",
    fields: bytes = b"",
) -> Mail:
    """Write a message to a recipient that no other message has."""
    number = next(_numbers)
    recipient = f"{local_part}{number}@{domain}"
    header = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\n"
        f"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
        f"Message-ID: <{number}@sender.test>\r\nSubject: number  {number}\r\n"
    ).encode()
    return Mail(sender, recipient, header + fields + b"\r\n" + body)
