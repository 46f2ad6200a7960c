"""What the clients were told about every token, written down as it happens."""

import hashlib
import itertools
import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Told(StrEnum):
    """What a client knows of one message once its try is over."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # or the final dot was never sent
    UNKNOWN = "unknown"  # the connection broke before the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One try to send one message: a token of its own, and recipients of its own."""

    token: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        door: ``smtp`` or ``http``.
        at: When the answer came; monotonic.
        took_s: From the first octet until then.
        answer: The reply, or what broke.
    """

    letter: Letter
    door: str
    told: Told
    at: float
    took_s: float
    answer: str


@dataclass(slots=True)
class Ledger:
    """All entries; any thread may add."""

    entries: list[Entry] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, entry: Entry) -> None:
        with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()

    def told(self, what: Told) -> list[Entry]:
        with self._changed:
            return [entry for entry in self.entries if entry.told is what]

    def wait_for_accepted(self, count: int, timeout_s: float) -> bool:
        """Wait until so many messages were accepted."""

        def is_enough() -> bool:
            told = Counter(entry.told for entry in self.entries)
            return told[Told.ACCEPTED] >= count

        with self._changed:
            return self._changed.wait_for(is_enough, timeout_s)

    def longest_s(self, door: str) -> float:
        """How long a client of ``door`` waited at most for an answer."""
        with self._changed:
            return max((e.took_s for e in self.entries if e.door == door), default=0.0)


# What the recipients of a hundred messages are like; see the sink.
MIX = {"": 80, "grey1-": 10, "no-": 5, "slow1-": 2, "dropkeep-": 2, "droplose-": 1}


class Letters:
    """Makes letters: the same sequence for the same ``seed``.

    Args:
        run: Part of every token, so that runs do not meet.
        mix: Prefix of the local part → share.
        domains: Of the recipients; each letter has one.
        senders: Their domains choose zones.
    """

    def __init__(
        self,
        run: str,
        *,
        seed: int,
        mix: dict[str, int] | None = None,
        domains: Sequence[str] = tuple(f"d{n}.test" for n in range(20)),
        senders: Sequence[str] = ("ada@a.test",),
    ) -> None:
        self._run = run
        self._random = random.Random(seed)
        self._prefixes, self._shares = zip(*(mix or MIX).items(), strict=True)
        self._domains = domains
        self._senders = senders
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __call__(self) -> Letter:
        with self._lock:
            number = next(self._numbers)
            (prefix,) = self._random.choices(self._prefixes, self._shares)
            size = self._random.choice((200, 800, 1500, 4000))
            # One recipient as a rule; now and then three.
            count = 3 if self._random.random() < 0.05 else 1
            filler = self._random.randbytes(size // 2).hex().encode()
        token = f"{self._run}-{number:06d}"
        domain = self._domains[number % len(self._domains)]
        names = "abc"[:count]
        recipients = tuple(f"{prefix}{token}{name}@{domain}" for name in names)
        sender = self._senders[number % len(self._senders)]
        content = _content(token, sender, recipients, filler)
        return Letter(
            token=token, sender=sender, recipients=recipients, content=content
        )


def _content(
    token: str, sender: str, recipients: Sequence[str], filler: bytes
) -> bytes:
    lines = [filler[start : start + 70] for start in range(0, len(filler), 70)]
    # Dots where they hurt.
    body = b"\r\n".join([b".", b"..", b".dot", *lines, b"", b".end"]) + b"\r\n"
    header = (
        f"From: {sender}\r\nTo: {', '.join(recipients)}\r\nSubject: {token}\r\n"
        f"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <{token}@a.test>\r\n"
        f"X-Token: {token}\r\nX-Sha256: {hashlib.sha256(body).hexdigest()}\r\n\r\n"
    )
    return header.encode() + body
