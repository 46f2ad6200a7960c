"""The next hop of our server: takes everything and keeps the envelope as it was said.

Built on aiosmtpd, which knows no DSN; so those parameters are noted and taken off
before it reads the command.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

PATIENCE_S = 20.0
_DSN = (b"RET=", b"ENVID=", b"NOTIFY=", b"ORCPT=")


@dataclass(frozen=True, slots=True)
class Letter:
    """One message for one recipient, as it arrived.

    Attributes:
        mail, rcpt: The words after the verbs: path first, then the parameters.
        content: With CRLF; the Received field of the last hop on top.
    """

    mail: tuple[str, ...]
    rcpt: tuple[str, ...]
    content: bytes

    @property
    def received(self) -> str:
        """The topmost Received field, unfolded."""
        header = self.content.replace(b"\r\n ", b" ").decode(errors="replace")
        return header.partition("\r\n")[0]

    @property
    def body(self) -> bytes:
        """What follows the empty line."""
        return self.content.partition(b"\r\n\r\n")[2]


class _Server(SMTP):
    mail_words: tuple[str, ...] = ()
    rcpt_words: tuple[str, ...] = ()

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        self.mail_words, arg = _split(arg)
        await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        self.rcpt_words, arg = _split(arg)
        await super().smtp_RCPT(arg)


def _split(arg: str) -> tuple[tuple[str, ...], str]:
    path, *parameters = arg.partition(":")[2].split(" ")
    kept = [word for word in arg.split(" ") if not word.encode().startswith(_DSN)]
    return (path, *parameters), " ".join(kept)


class _Controller(Controller):
    def factory(self) -> SMTP:
        return _Server(self.handler, **self.SMTP_kwargs)


class Witness:
    """Listens on ``host``:``port``; offers DSN, SMTPUTF8, 8BITMIME and SIZE."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._letters: dict[str, list[Letter]] = {}
        self._changed = threading.Condition()
        self._controller = _Controller(
            self, hostname=host, port=port, data_size_limit=200 * 1024 * 1024
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self,
        server: Any,
        session: Any,
        envelope: Any,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        return [responses[0], "250-DSN", *responses[1:]]

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        letter = Letter(server.mail_words, server.rcpt_words, envelope.content)
        with self._changed:
            for recipient in envelope.rcpt_tos:
                self._letters.setdefault(recipient, []).append(letter)
            self._changed.notify_all()
        return "250 2.0.0 taken"

    def only(self, recipient: str) -> Letter:
        """Wait for what is sent to ``recipient``: one message and no second one."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: recipient in self._letters, PATIENCE_S
            ), f"nothing for {recipient}, but for {sorted(self._letters)[-5:]}"
            (letter,) = self._letters[recipient]
            return letter

    def all_of(self, suffix: str, count: int) -> list[Letter]:
        """Wait until ``count`` messages for recipients that end so are here."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while len(found := self._ending(suffix)) < count:
                left = deadline - time.monotonic()
                assert self._changed.wait(max(0.0, left)) or left > 0, (
                    f"{len(found)} of {count} for {suffix}"
                )
            return found

    def counts(self) -> dict[str, int]:
        """How many messages came, per recipient."""
        with self._changed:
            return {who: len(letters) for who, letters in self._letters.items()}

    def _ending(self, suffix: str) -> list[Letter]:
        return [
            letter
            for recipient, letters in self._letters.items()
            if recipient.endswith(suffix)
            for letter in letters
        ]
