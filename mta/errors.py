"""The exceptions of this package, and what each means at the edges.

::

    MtaError
    ├── ConfigError         the operator's files or environment are wrong: exit 2
    ├── Rejected            a submission we refuse: its reply, or HTTP 4xx
    ├── StoreUnavailable    MongoDB cannot take or give: 451 4.3.0, or HTTP 503
    ├── ContentMissing      a message is not whole: deferred, and a line in the log
    ├── KeyUnusable         a message cannot be signed: deferred, and a line in the log
    ├── MessageGone         there is no such message any more
    ├── UserExists, NoSuchUser, KeyExists   the operator named something wrongly
    ├── CannotVerify, CalloutFailed     nobody can say now whether a login is right: 454
    ├── Postponed           no attempt was made, and nobody is to blame
    │   ├── SlotsTaken          a limit of open connections is reached
    │   ├── RateReached         a limit of messages per time is
    │   └── Stopping            this process is about to end
    └── AttemptFailed       an attempt at a delivery did not succeed
        ├── TransientFailure    try later
        └── PermanentFailure    never, as it stands

Any other exception during an attempt means "later".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from mta.reasons import NO_REASONS
from mta.reply import Reply


class MtaError(Exception):
    """The root of this package's exceptions."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the configuration, in the operator's words.

    Attributes:
        file: Path as the operator gave it, or ``"environment"``.
        line: 1-based; 0 where a line makes no sense (environment, missing file).
        column: 1-based; 0 likewise.
        path: Dotted path of the setting, such as ``zones.bulk.connections``.
        message: What is wrong and what would be right.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}"


class ConfigError(MtaError):
    """The configuration is not usable; holds every mistake found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Rejected(MtaError):
    """A submission we refuse; each edge says ``reply`` in its own protocol.

    ``reply`` is safe to show the client. ``detail`` is for our log alone: it
    may name rules, hosts and other people's addresses. ``pointer`` names the
    bad field of a JSON request (RFC 6901), where there is one.
    """

    def __init__(self, reply: Reply, *, detail: str = "", pointer: str = "") -> None:
        self.reply = reply
        self.detail = detail
        self.pointer = pointer
        super().__init__(str(reply))


class StoreUnavailable(MtaError):
    """MongoDB did not answer in time or refused; nothing was promised."""


class ContentMissing(MtaError):
    """A stored message or body is not whole; waiting is not expected to help."""


class KeyUnusable(MtaError):
    """A key that signs mail cannot be read or used; the text holds no part of it."""


class MessageGone(MtaError):
    """The message of a delivery is not there any more."""


class Postponed(MtaError):
    """Nothing was tried: not an attempt, and no fault of the next hop's."""


class SlotsTaken(Postponed):
    """As many connections are open as ``key`` allows; wait for one of them to end."""

    def __init__(self, key: str, limit: int) -> None:
        self.key = key
        self.limit = limit
        super().__init__(f"all {limit} connections of {key} are in use")


class RateReached(Postponed):
    """``key`` allows nothing before ``wait`` is over.

    Attributes:
        is_turn: The delivery is expected then, and others stand behind it; else it
            only asks again.
    """

    def __init__(self, key: str, wait: timedelta, *, is_turn: bool = True) -> None:
        self.key = key
        self.wait = wait
        self.is_turn = is_turn
        super().__init__(f"the rate of {key} is reached")


class Stopping(Postponed):
    """This process is ending, and the final dot was not sent."""


class AttemptFailed(MtaError):
    """One attempt failed.

    Attributes:
        reply: What the server said, or a reply of ours in its place.
        category: ``smtp`` if the server said it, else ``dns``, ``network``,
            ``protocol``, ``policy`` or ``message``.
        host: Name of the server that was talked to, if any.
        address: Its IP address, if any.
        source: Our end's IP address, once there was a connection.
        is_next_host_worth_trying: Another target of the same destination may do
            better.
        is_in_doubt: The final dot was sent and no reply to it was read: the
            recipient may have the message (RFC 1047).
        reasons: What decided the attempt.
        may_move: Another address of ours, or this one after a rest, may do better.
        talk: What was said to whom; its ``str`` is for people.
    """

    talk: object = ""
    reasons = NO_REASONS
    may_move = False

    def __init__(
        self,
        reply: Reply,
        *,
        category: str,
        host: str | None = None,
        address: str | None = None,
        source: str | None = None,
        is_next_host_worth_trying: bool = False,
        is_in_doubt: bool = False,
    ) -> None:
        self.reply = reply
        self.category = category
        self.host = host
        self.address = address
        self.source = source
        self.is_next_host_worth_trying = is_next_host_worth_trying
        self.is_in_doubt = is_in_doubt
        super().__init__(str(reply))


class TransientFailure(AttemptFailed):
    """Try again later (RFC 5321 §4.2.1: 4yz), or the network's equivalent."""


class PermanentFailure(AttemptFailed):
    """Do not try again (RFC 5321 §4.2.1: 5yz), or DNS's equivalent."""
