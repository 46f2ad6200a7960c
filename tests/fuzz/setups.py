"""What the first line of a dialogue says: the listener's options, and the answers.

``SAr nyc`` is STARTTLS, AUTH and no stray line ends; the first question is answered
with no, the second with yes, the third with 421, and then all over again. Letters that
mean nothing change nothing.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mta.reply import Reply, make_reply
from mta.smtp.options import SessionOptions
from mta.smtp.sasl import MECHANISMS
from tests.fuzz.replies import HOSTNAME

NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)

_BASE = SessionOptions(hostname=HOSTNAME, max_size=5000, max_recipients=20)
_CHANGES: Final[dict[str, dict[str, Any]]] = {
    "L": {"is_lmtp": True},
    "S": {"starttls": True},
    "s": {"starttls": True, "requires_tls": True},
    "A": {"mechanisms": MECHANISMS},
    "a": {"mechanisms": MECHANISMS, "requires_login": True},
    "c": {"allows_clear_login": True},
    "r": {"refuses_stray_line_ends": True},
    "x": {"takes_xclient": True},
    "f": {"takes_xforward": True},
    "F": {"max_hold": timedelta(days=7)},
    "z": {"max_size": 60},
    "1": {"max_recipients": 1},
    "h": {"hidden": frozenset({"SIZE", "8BITMIME", "DSN", "DELIVERBY"})},
    "H": {"hidden": frozenset({"CHUNKING", "SMTPUTF8", "FUTURERELEASE", "AUTH"})},
    "d": {"disabled": frozenset({"VRFY", "BDAT", "STARTTLS"})},
    "D": {"disabled": frozenset({"DATA", "AUTH", "EHLO"})},
}
_TLS = "T"  # from the first octet
_CLOCK = "F"
_NO: Final = {
    "n": make_reply(550, "5.7.1", "No"),
    "t": make_reply(451, None, "Not now"),
    "c": make_reply(421, "4.3.2", "Go away"),
    "m": make_reply(554, None, "One\r\n250 2.0.0 two", "\u2028 zw\u00f6lf " * 60, ""),
}
_YES_AT_LENGTH: Final = ("x" * 600, "\x00\r\n.\r\n")


@dataclass(frozen=True)
class Setup:
    """How a session is set up, and what its driver will say."""

    options: SessionOptions
    answers: str
    is_tls: bool
    has_clock: bool

    @classmethod
    def parse(cls, line: bytes) -> "Setup":
        letters, _, answers = line.decode("latin-1").partition(" ")
        options = _BASE
        for letter in letters[:40]:
            options = replace(options, **_CHANGES.get(letter, {}))
        return cls(options, answers or "y", _TLS in letters, _CLOCK in letters)

    def answer(self, number: int, *, yes: int = 250) -> Reply | None:
        """Reply to a question; None is the usual yes, ``yes`` the code of another."""
        letter = self.answers[number % len(self.answers)]
        if letter == "Y":
            return make_reply(yes, None, *_YES_AT_LENGTH)
        return _NO.get(letter)
