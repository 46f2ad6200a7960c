"""Which TLS policy mail to a domain goes under, from whom, until when.

Asked of what an attempt asks (``relay.security``); a policy that is not known yet is
fetched, as an attempt would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mta.errors import AttemptFailed
from mta.policy.mta_sts import StsPolicy
from mta.policy.tls import DomainPolicy, HostPolicy
from mta.relay.hosts import Target
from mta.relay.mta_sts import Found
from mta.relay.request import RelayRequest


class Security(Protocol):
    """What attempts ask; see ``mta.relay.security.Security``."""

    def for_domain(self, request: RelayRequest) -> DomainPolicy: ...

    def for_host(
        self, request: RelayRequest, security: DomainPolicy, host: str, port: int
    ) -> HostPolicy: ...

    def look(self, request: RelayRequest) -> Found: ...

    def why_dane(
        self, request: RelayRequest, security: DomainPolicy, host: str, port: int
    ) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStanding:
    """One host.

    Attributes:
        policy: None: it may not have the mail, or nobody knows.
        dane: What DNS says of it, or why that does not count.
        problem: Why there is no policy.
    """

    host: str
    policy: HostPolicy | None
    dane: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsStanding:
    """What holds for a domain's mail.

    Attributes:
        place: Where the operator says it, as ``zones.yaml:12``; empty: nowhere.
        sts: What the domain publishes; None: nothing that is followed.
        problem: Why what it publishes could not be had; empty if it could.
    """

    security: DomainPolicy
    place: str
    sts: StsPolicy | None
    problem: str
    hosts: tuple[HostStanding, ...]


def tls_standing(
    security: Security, request: RelayRequest, targets: Sequence[Target]
) -> TlsStanding:
    """Say what holds for a domain's mail, and for the hosts that would be tried."""
    domain = security.for_domain(request)
    found = security.look(request)
    ports = {target.host: target.port for target in targets}
    return TlsStanding(
        security=domain,
        place=request.config.place_of(*domain.level.said),
        sts=domain.sts,
        problem=found.text,
        hosts=tuple(
            _of_host(security, request, domain, host, port)
            for host, port in ports.items()
        ),
    )


def _of_host(
    security: Security,
    request: RelayRequest,
    domain: DomainPolicy,
    host: str,
    port: int,
) -> HostStanding:
    dane = security.why_dane(request, domain, host, port)
    try:
        policy = security.for_host(request, domain, host, port)
    except AttemptFailed as failure:
        problem = str(failure.reply)
        return HostStanding(host=host, policy=None, dane=dane, problem=problem)
    return HostStanding(host=host, policy=policy, dane=dane)
