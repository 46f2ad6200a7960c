"""What domains say of TLS with their hosts (MTA-STS): fetched, kept and renewed.

A policy holds from when it was fetched until it runs out, whatever becomes of the
record and of the web server meanwhile: nobody gets rid of it by being in the way. Only
another policy replaces it. It is asked for again when the record names another, and
long before it ends.

A process looks at the record again after some minutes; all share what was fetched, and
when it could not be. Of those who need a domain's policy at once, one fetches it.

RFC 8461 §3.1 (record), §3.3 (fetching: HTTPS, no redirects, five minutes between
tries), §5.1 (what holds, and when it is renewed), §10.2.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from mta.errors import AttemptFailed, StoreUnavailable
from mta.policy.mta_sts import (
    MAX_POLICY_BYTES,
    StsPolicy,
    parse_policy,
    parse_record,
    refresh_at,
)
from mta.policy.tls_results import TlsResult
from mta.relay.web import Web, WebAnswer, WebFailed
from mta.store.cache import SharedCache
from mta.store.sts_policies import Stored

log = logging.getLogger(__name__)

CHECK_EVERY: Final = timedelta(minutes=5)  # that a process looks at the record
RETRY_AFTER: Final = timedelta(minutes=5)  # §3.3
USE_EVERY: Final = timedelta(days=1)  # that being used is written down
MAX_DOMAINS: Final = 20_000
PATH: Final = "/.well-known/mta-sts.txt"


class Names(Protocol):
    """The part of the resolver that is needed here."""

    def find_texts(self, name: str) -> tuple[str, ...]: ...


class Store(Protocol):
    """Keeps policies; see ``mta.store.sts_policies.StsStore``."""

    def find(self, domain: str) -> Stored: ...

    def keep(self, domain: str, policy: StsPolicy, now: datetime) -> None: ...

    def note_failure(
        self, domain: str, record_id: str, problem: TlsResult, text: str, now: datetime
    ) -> None: ...

    def note_use(self, domain: str, now: datetime) -> None: ...


class Found(NamedTuple):
    """What is known of a domain now.

    Attributes:
        policy: The one in force; None: there is none.
        problem: Why the one that it names could not be had; None: it could, or it
            names none.
        text: The same in words.
    """

    policy: StsPolicy | None = None
    problem: TlsResult | None = None
    text: str = ""


NOTHING_FOUND = Found()


class Unfetched(Exception):
    """The policy that a record names could not be had."""

    def __init__(self, problem: TlsResult, text: str) -> None:
        self.problem = problem
        super().__init__(text)


@dataclass(kw_only=True)
class StsPolicies:
    """The policies that this process knows of.

    Attributes:
        on_problem: Told of a domain whose policy could not be fetched.
        now: The clock; aware UTC.
    """

    names: Names
    web: Web
    store: Store
    now: Callable[[], datetime]
    on_problem: Callable[[str, TlsResult, str], None] = lambda *_: None
    monotonic: Callable[[], float] = time.monotonic
    _known: SharedCache[str, Found] = field(init=False)
    # While MongoDB is away, what was known last.
    _last: dict[str, Stored] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._known = SharedCache(max_entries=MAX_DOMAINS, monotonic=self.monotonic)

    def look(self, domain: str) -> Found:
        """The policy of a domain that is in force; fetched, if it has to be."""
        found = self._known.get(domain, lambda: self._load(domain))
        policy = found.policy
        if policy is not None and _is_over(policy, self.now()):
            return found._replace(policy=None)
        return found

    def refresh(self, domain: str) -> bool:
        """Fetch a policy before it runs out; tell whether that could be done."""
        record_id = self._find_record(domain)
        if record_id is None:
            return False
        found, _ = self._renew(domain, record_id, self._stored(domain), self.now())
        return found.problem is None

    def _load(self, domain: str) -> tuple[Found, float]:
        """Look at the record and at what is stored; fetch, if they differ."""
        now, stored = self.now(), self._stored(domain)
        policy = stored.policy
        if policy is not None and _is_over(policy, now):
            policy = None
        if policy is not None:
            self._note_use(domain, stored, now)
        record_id = self._find_record(domain)
        if record_id is None or (policy and _is_fresh(policy, record_id, now)):
            return Found(policy), _seconds(_lasting(policy, now))
        stored = stored._replace(policy=policy)
        if stored.tried_at is not None and stored.tried_id == record_id:
            left = stored.tried_at + RETRY_AFTER - now
            if left > timedelta(0):
                return Found(policy, stored.problem, stored.text), _seconds(left)
        return self._renew(domain, record_id, stored, now)

    def _find_record(self, domain: str) -> str | None:
        """The id that the record names; None if there is none, or nobody knows."""
        try:
            return parse_record(self.names.find_texts(f"_mta-sts.{domain}"))
        except AttemptFailed as failure:
            log.info("mta-sts record not found out domain=%s (%s)", domain, failure)
            return None

    def _renew(
        self, domain: str, record_id: str, stored: Stored, now: datetime
    ) -> tuple[Found, float]:
        try:
            said = self._fetch(domain)
        except Unfetched as unfetched:
            problem, text = unfetched.problem, str(unfetched)
            log.warning("mta-sts policy not fetched domain=%s (%s)", domain, text)
            self.on_problem(domain, problem, text)
            self._write(
                lambda: self.store.note_failure(domain, record_id, problem, text, now)
            )
            return Found(stored.policy, problem, text), _seconds(RETRY_AFTER)
        policy = replace(said, id=record_id, fetched_at=now, until=now + said.max_age)
        if policy != stored.policy:
            log.info(
                "mta-sts policy domain=%s mode=%s mx=%s until=%s",
                *(domain, policy.mode, " ".join(policy.mx)[:200]),
                policy.until.isoformat() if policy.until else "-",
            )
        self._last[domain] = Stored(policy, used_at=now)
        self._write(lambda: self.store.keep(domain, policy, now))
        return Found(policy), _seconds(_lasting(policy, now))

    def _fetch(self, domain: str) -> StsPolicy:
        """Fetch the policy of a domain.

        Raises:
            Unfetched: It could not be had.
        """
        host = f"mta-sts.{domain}"
        try:
            answer = self.web.get(host, PATH, max_bytes=MAX_POLICY_BYTES)
        except WebFailed as failure:
            problem = TlsResult.STS_POLICY_FETCH_ERROR
            if failure.is_untrusted:
                problem = TlsResult.STS_WEBPKI_INVALID
            raise Unfetched(problem, str(failure)) from failure
        _check(host, answer)
        try:
            return parse_policy(answer.body)
        except ValueError as error:
            raise Unfetched(TlsResult.STS_POLICY_INVALID, str(error)) from error

    def _stored(self, domain: str) -> Stored:
        try:
            stored = self.store.find(domain)
        except StoreUnavailable:
            return self._last.get(domain, Stored())
        if stored.policy is not None or domain in self._last:
            if len(self._last) >= MAX_DOMAINS:
                self._last.clear()
            self._last[domain] = stored
        return stored

    def _note_use(self, domain: str, stored: Stored, now: datetime) -> None:
        if stored.used_at is None or now - stored.used_at > USE_EVERY:
            self._write(lambda: self.store.note_use(domain, now))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StoreUnavailable as error:
            log.warning("mta-sts policy not stored error=%s", error)


def _check(host: str, answer: WebAnswer) -> None:
    """See whether an answer is a policy, whatever it says (§3.3)."""
    fetch_error = TlsResult.STS_POLICY_FETCH_ERROR
    if answer.status != 200:
        raise Unfetched(fetch_error, f"{host} answered {answer.status}")
    if answer.media_type != "text/plain":
        kind = answer.media_type[:60] or "of no kind"
        raise Unfetched(fetch_error, f"{host} answered {kind}, not text/plain")


def _is_fresh(policy: StsPolicy, record_id: str, now: datetime) -> bool:
    """Whether there is nothing to ask for."""
    due_at = refresh_at(policy)
    return policy.id == record_id and (due_at is None or now < due_at)


def _lasting(policy: StsPolicy | None, now: datetime) -> timedelta:
    """For how long a process believes what it has found."""
    if policy is None or policy.until is None:
        return CHECK_EVERY
    return max(timedelta(seconds=1), min(CHECK_EVERY, policy.until - now))


def _is_over(policy: StsPolicy, now: datetime) -> bool:
    return policy.until is None or policy.until <= now


def _seconds(length: timedelta) -> float:
    return length.total_seconds()
