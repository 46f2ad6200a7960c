"""Which TLS policy a session is opened under: asks all who may say something of it.

What follows from what they say is ``policy.tls``' affair. Neither DNS nor anybody's
policy is asked where the operator ignores TLS; MTA-STS speaks of hosts that DNS names,
so not of a relay that the operator names. In the sandbox nobody's word counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mta.config.tls import OPPORTUNISTIC
from mta.errors import AttemptFailed, TransientFailure
from mta.observe import metrics
from mta.policy.mta_sts import Mode
from mta.policy.tls import (
    BY_DANE,
    BY_STS,
    DomainPolicy,
    HostPolicy,
    Level,
    follows,
    level_of,
    policy_for,
)
from mta.policy.tls_report import MAX_TEXT, Detail, Seen, policy_seen
from mta.policy.tls_results import TlsResult
from mta.relay.guard import MakeContext, make_context
from mta.relay.held import HeldSession
from mta.relay.hosts import Target
from mta.relay.mta_sts import NOTHING_FOUND, Found
from mta.relay.plan import FindsTargets
from mta.relay.request import RelayRequest
from mta.relay.tlsa import Published

NOBODY_VALIDATES = (
    "not asked: no nameserver is trusted to validate answers (dns.trust_ad)"
)

# Told what came of TLS with a host, what our end's address was, and more of it.
NoteTls = Callable[[TlsResult, str, str], None]


class Tells(Protocol):
    """Counts results for reports; see ``mta.relay.tls_tally.TlsTally``."""

    def note(self, seen: Seen) -> None: ...

    def close(self) -> None: ...


class FindsSts(Protocol):
    """Knows what domains say; see ``mta.relay.mta_sts.StsPolicies``."""

    def look(self, domain: str) -> Found: ...


class FindsTlsa(Protocol):
    """Knows what hosts say; see ``mta.relay.tlsa.Dane``."""

    @property
    def can_be_used(self) -> bool: ...

    def look(
        self, domain: str | None, host: str, port: int
    ) -> tuple[Published | None, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Finds the policies that apply, and has told what came of them.

    Attributes:
        sts, dane: None: nobody is asked.
        tally: Told what TLS came to in sessions; None: nobody is.
        make_context: Makes what sessions are encrypted with.
    """

    targets: FindsTargets
    sts: FindsSts | None = None
    dane: FindsTlsa | None = None
    tally: Tells | None = None
    make_context: MakeContext = make_context

    def for_domain(self, request: RelayRequest) -> DomainPolicy:
        """What holds for a request, whichever host takes it."""
        config, zone, domain = request.config, request.zone, request.domain
        minimum, wants = config.tls.minimum, request.wishes.require_tls
        if self.targets.sandbox is not None:
            level = Level(OPPORTUNISTIC)
            return DomainPolicy(level=level, minimum=minimum, require_tls=wants)
        level = level_of(config, zone, domain)
        asks_domain, asks_hosts = follows(config, domain)
        is_report = request.reverse_path == config.tls_report.sender
        if level.value == "ignore" or is_report:
            # RFC 8460 §3: what is wrong there must not keep the report about it away.
            asks_domain = asks_hosts = False
        return DomainPolicy(
            level=level,
            minimum=minimum,
            sts=self.look(request).policy if asks_domain else None,
            uses_dane=asks_hosts and self.dane is not None and self.dane.can_be_used,
            require_tls=wants,
        )

    def look(self, request: RelayRequest) -> Found:
        """What a domain says by MTA-STS, and what is wrong with that."""
        asks_domain, _ = follows(request.config, request.domain)
        if self.sts is None or not asks_domain or not self._is_found_by_mx(request):
            return NOTHING_FOUND
        return self.sts.look(request.domain)

    def why_dane(
        self, request: RelayRequest, security: DomainPolicy, host: str, port: int
    ) -> str:
        """What a host publishes by DANE, or why nobody asks it; for people."""
        if self.dane is None or not security.uses_dane:
            can = self.dane is not None and self.dane.can_be_used
            return "not asked" if can else NOBODY_VALIDATES
        is_mx = self._is_found_by_mx(request)
        try:
            return self.dane.look(request.domain if is_mx else None, host, port)[1]
        except AttemptFailed as failure:
            return str(failure.reply)

    def for_host(
        self, request: RelayRequest, security: DomainPolicy, host: str, port: int
    ) -> HostPolicy:
        """What a session with a host has to be.

        Raises:
            AttemptFailed: It may not have the mail, or nobody knows whether it may.
        """
        found = None
        if self.dane is not None and security.uses_dane:
            is_mx = self._is_found_by_mx(request)
            found, _ = self.dane.look(request.domain if is_mx else None, host, port)
        if found is None:
            return policy_for(security, host, None, ())
        return policy_for(security, host, found.records, found.names)

    def still_fits(
        self, request: RelayRequest, security: DomainPolicy, held: HeldSession
    ) -> bool:
        """Whether an open session is what one with its host would have to be now."""
        host, port = held.target.host, held.target.port
        try:
            return held.policy == self.for_host(request, security, host, port)
        except AttemptFailed:
            return False  # who opens another one will say so

    def begin(
        self, request: RelayRequest, security: DomainPolicy, target: Target
    ) -> tuple[HostPolicy, NoteTls]:
        """What a new session has to be, and what is to be told what came of it.

        Raises:
            AttemptFailed: As ``for_host``.
        """
        told = partial(self._note, request, security, target)
        try:
            policy = self.for_host(request, security, target.host, target.port)
        except TransientFailure as failure:
            result = TlsResult.VALIDATION_FAILURE
            if failure.category == "dns":
                result = TlsResult.DNSSEC_INVALID
            told(None, result, "", str(failure.reply))
            raise
        flaw = _flaw(security, policy, target.host)
        if flaw is not None:
            told(policy, flaw, "", "")
            return policy, _tell_nobody  # that is what the session came to
        return policy, partial(told, policy)

    def _note(
        self,
        request: RelayRequest,
        security: DomainPolicy,
        target: Target,
        policy: HostPolicy | None,
        result: TlsResult,
        ours: str,
        text: str,
    ) -> None:
        is_dane = result is TlsResult.DNSSEC_INVALID
        by = policy.by if policy else BY_DANE if is_dane else BY_STS
        kind = by if by in (BY_DANE, BY_STS) else security.level.value
        metrics.TLS_SESSIONS.labels(kind, result.value).inc()
        reporter = request.config.tls_report.sender
        if self.tally is None or reporter is None or not self._is_found_by_mx(request):
            return
        if request.reverse_path == reporter:
            return  # a report about reports would follow from each of them
        tlsa = policy.tlsa if policy else ()
        judged = policy_seen(request.domain, by, security.sts, tlsa)
        # A server's own words are of endless variety, and it knows them.
        is_ours = result is not TlsResult.STARTTLS_NOT_SUPPORTED
        detail = Detail(
            *(result, ours, target.host, str(target.address)),
            text[:MAX_TEXT] if is_ours else "",
        )
        self.tally.note(Seen(judged, detail))

    def close(self) -> None:
        """Write what was counted."""
        if self.tally is not None:
            self.tally.close()

    def _is_found_by_mx(self, request: RelayRequest) -> bool:
        is_named = self.targets.sandbox is not None or request.zone.next_hop is not None
        return not is_named and not request.domain.startswith("[")


def _flaw(security: DomainPolicy, policy: HostPolicy, host: str) -> TlsResult | None:
    """What is wrong about a host although it may have the mail."""
    if policy.by == BY_DANE:
        return None if policy.tlsa else TlsResult.TLSA_INVALID
    sts = security.sts
    is_stranger = sts is not None and not sts.matches(host)
    is_testing = sts is not None and sts.mode is Mode.TESTING
    return TlsResult.VALIDATION_FAILURE if is_stranger and is_testing else None


def _tell_nobody(result: TlsResult, source: str, detail: str) -> None:
    pass
