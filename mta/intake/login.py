"""Who a client of the SMTP door is, whom it may send as, and how much.

A user of ours is checked here; whoever else says so is asked of the operator's web
service, if there is one. Whatever is wrong with a login, the client hears the same
words after the same time, and only the log says why. Failures slow a client down
before its next try is looked at, so that hanging up does not help it.

RFC 4954 §4 and §6 (AUTH and its replies).
"""

import hmac
import logging
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import partial
from threading import BoundedSemaphore
from typing import Final, Protocol, TypeVar

from mta.config.live import Live
from mta.config.wording import shorten
from mta.errors import Rejected, StoreUnavailable
from mta.intake.http_auth import CalloutFailed, HttpAuth
from mta.policy.logins import FailedLogins
from mta.reply import Reply, make_reply
from mta.smtp.sasl import Credentials, Password, Proof, Token
from mta.smtp.scram import ScramKeys
from mta.store.cache import SharedCache
from mta.store.passwords import (
    CannotVerify,
    Secrets,
    make_secrets,
    needs_renewal,
    verify,
)
from mta.store.usage import Exceeded, Usage
from mta.store.users import User, Users

log = logging.getLogger(__name__)

# How long a change of a user takes to be heard of.
USER_TTL_S: Final = 5.0
MAX_USERS: Final = 10_000
# How long a password that was right need not be computed again.
PASSWORD_TTL_S: Final = 60.0
MAX_PASSWORDS: Final = 10_000
# Each computation takes 64 MiB and all that a core can do.
MAX_CHECKS: Final = 4
MAX_CALLOUTS: Final = 32
TURN_PATIENCE_S: Final = 15.0  # to wait for one of either

INVALID: Final = make_reply(535, "5.7.8", "Authentication credentials invalid")
BLOCKED: Final = make_reply(421, "4.7.0", "Too many failed logins, try again later")
NOT_NOW: Final = make_reply(454, "4.7.0", "Temporary authentication failure")
NOT_FROM: Final = make_reply(550, "5.7.1", "You may not send from this address")
CLOSED: Final = make_reply(550, "5.7.1", "This account may not send")

T = TypeVar("T")


class _Wrong(Exception):
    """Credentials are not right; says why, to the log alone."""


class Aside(Protocol):
    """Runs a computation where it keeps nobody else waiting."""

    def __call__(self, compute: Callable[[], T], /) -> T:
        """What ``compute`` returns, or raises."""


class Logins:
    """The logins of one process.

    Args:
        http: Asked about names that are not in ``users``, and about tokens.
        aside: For what takes long; under gevent, a thread of its own.
        now: The clock of quotas; aware UTC.
        monotonic: Seconds of a clock that never jumps.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        users: Users,
        failed: FailedLogins,
        *,
        usage: Usage,
        http: Live[HttpAuth | None],
        aside: Aside,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._users = users
        self._failed = failed
        self._usage = usage
        self._http = http
        self._aside = aside
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._found: SharedCache[str, User | None] = SharedCache(
            max_entries=MAX_USERS, monotonic=monotonic
        )
        self._checked: SharedCache[bytes, bool] = SharedCache(
            max_entries=MAX_PASSWORDS, monotonic=monotonic
        )
        # So that what is remembered of passwords is worth nothing elsewhere.
        self._pepper = secrets.token_bytes(32)
        self._checks = BoundedSemaphore(MAX_CHECKS)
        self._callouts = BoundedSemaphore(MAX_CALLOUTS)

    def keys(self, username: str) -> ScramKeys | None:
        """What SCRAM checks this user's proof with; None if there is nothing.

        Raises:
            Rejected: 454: the store is away.
        """
        try:
            user = self._find(username)
        except StoreUnavailable as error:
            raise Rejected(NOT_NOW, detail=str(error)) from error
        return None if user is None or user.is_disabled else user.secrets.scram

    def login(self, credentials: Credentials, *, origin: str, mechanism: str) -> str:
        """Find out who this is; takes up to a minute for clients that fail.

        Args:
            origin: The client's IP address.
            mechanism: For the log.

        Returns:
            The user's name, which need not be the one that the client gave.

        Raises:
            Rejected: 535 for credentials that are not right; 421 for clients that
                failed too often, and the session is to end; 454 when somebody who
                has to be asked is away.
        """
        name = credentials.username
        self._refuse_blocked(origin)
        try:
            user = self._identify(credentials, origin)
        except _Wrong as wrong:
            self._failed.add(origin, name, self._monotonic())
            detail = f"{mechanism} login of {shorten(name)}: {wrong}"
            raise Rejected(INVALID, detail=detail) from None
        except (StoreUnavailable, CalloutFailed, CannotVerify) as error:
            raise Rejected(NOT_NOW, detail=f"{mechanism}: {error}") from error
        self._failed.forgive(name)
        return user

    def may_send(
        self, username: str, reverse_path: str, *, is_vouched: bool = False
    ) -> Reply | None:
        """Whether a user may send from a reverse path; None is yes.

        Args:
            reverse_path: Normalized; the null path ``""`` is anybody's.
            is_vouched: Somebody whom we believe said who it is (XCLIENT).

        Raises:
            StoreUnavailable: Nobody knows.
        """
        user = self._find(username)
        if user is None:
            # One of the web service's; or of ours, and removed meanwhile.
            return None if is_vouched or self._http.current is not None else CLOSED
        if user.is_disabled:
            return CLOSED
        return None if user.may_send_from(reverse_path) else NOT_FROM

    def reserve(self, username: str, recipients: int) -> Reply | None:
        """Count a message, with so many recipients, against the user's quota.

        Returns:
            None; or why it cannot be taken, and nothing is counted.

        Raises:
            StoreUnavailable: Nobody knows; it may be counted.
        """
        user = self._find(username)
        if user is None:
            return None
        exceeded = self._usage.reserve(username, user.quota, recipients, self._now())
        return _refuse(exceeded) if exceeded else None

    def give_back(
        self, username: str, recipients: int, *, reserved_at: datetime | None = None
    ) -> None:
        """Undo ``reserve``: the message was not taken after all.

        Args:
            reserved_at: When it was counted, if that is long ago: the hour may be
                another by now.

        Raises:
            StoreUnavailable: It stays counted.
        """
        user = self._find(username)
        if user is not None:
            at = reserved_at or self._now()
            self._usage.give_back(username, user.quota, recipients, at)

    def _identify(self, credentials: Credentials, origin: str) -> str:
        """The user's name; raises ``_Wrong``."""
        http = self._http.current
        match credentials:
            case Password(name, password):
                user = self._find(name)
                if user is None and http is not None:
                    return self._ask(http, credentials, origin)
                is_right = self._is_right(name, user, password, origin)
            case Token(name):
                if http is not None:
                    return self._ask(http, credentials, origin)
                self._hold_back(name, origin)
                raise _Wrong("nobody knows about tokens here")
            case Proof(name, is_right):
                self._hold_back(name, origin)
                user = self._find(name)
        if user is None:
            raise _Wrong("no such user")
        if not is_right:
            raise _Wrong("not the password")
        return self._admit(name, user)

    def _ask(self, http: HttpAuth, credentials: Password | Token, origin: str) -> str:
        self._hold_back(credentials.username, origin)
        ask = partial(http.check, credentials, origin)
        name = self._in_turn(self._callouts, origin, ask)
        if name is None:
            raise _Wrong("refused by the login service")
        return self._admit(name, self._find(name))

    def _admit(self, name: str, user: User | None) -> str:
        if user is not None and user.is_disabled:
            raise _Wrong("disabled")
        return name

    def _is_right(
        self, name: str, user: User | None, password: str, origin: str
    ) -> bool:
        """Whether the password is right, computed or remembered."""
        kept = user.secrets if user else Secrets()

        def check() -> tuple[bool, float]:
            self._hold_back(name, origin)
            is_right = self._compute(origin, partial(verify, kept, password))
            if not is_right or user is None or user.is_disabled:
                return is_right, 0.0
            if needs_renewal(kept):
                self._renew(user, password, origin)
            return True, PASSWORD_TTL_S

        texts = [text.encode() for text in (name, password, kept.hash)]
        facts = b"".join(len(text).to_bytes(4) + text for text in texts)
        # Those who try the same at the same time share the answer.
        return self._checked.get(hmac.digest(self._pepper, facts, "sha256"), check)

    def _renew(self, user: User, password: str, origin: str) -> None:
        try:
            renewed = self._compute(origin, partial(make_secrets, password))
            self._users.renew(user, renewed)
        except (StoreUnavailable, Rejected) as error:
            log.warning("password not renewed user=%r error=%s", user.name, error)

    def _compute(self, origin: str, compute: Callable[[], T]) -> T:
        return self._in_turn(self._checks, origin, lambda: self._aside(compute))

    def _in_turn(
        self, turns: BoundedSemaphore, origin: str, look: Callable[[], T]
    ) -> T:
        """Look whether credentials are right, when it is their turn."""
        if not turns.acquire(timeout=TURN_PATIENCE_S):
            raise Rejected(NOT_NOW, detail="too many logins at once")
        try:
            # Those that came at once fail one after the other.
            self._refuse_blocked(origin)
            return look()
        finally:
            turns.release()

    def _hold_back(self, name: str, origin: str) -> None:
        """Let those who failed before wait, and those who failed too often not in."""
        self._refuse_blocked(origin)
        delay_s = self._failed.delay(origin, name, self._monotonic())
        if delay_s:
            self._sleep(delay_s)
            self._refuse_blocked(origin)  # others may have failed from there meanwhile

    def _refuse_blocked(self, origin: str) -> None:
        if self._failed.is_blocked(origin, self._monotonic()):
            raise Rejected(BLOCKED, detail=f"too many failed logins from {origin}")

    def _find(self, name: str) -> User | None:
        return self._found.get(name, lambda: (self._users.find(name), USER_TTL_S))


def _refuse(exceeded: Exceeded) -> Reply:
    quota = f"Quota of {exceeded.limit} {exceeded.what} per {exceeded.period}"
    if exceeded.is_hopeless:
        return make_reply(550, "5.7.1", f"{quota} is less than this message takes")
    until = f"try again after {exceeded.until:%H:%M} UTC"
    return make_reply(450, "4.7.1", f"{quota} is used up; {until}")
