"""What follows from a request before anything is dialed: names for where it goes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mta.config.zones import PoolAddress, Zone
from mta.policy.tls import DomainPolicy
from mta.relay.held import Key
from mta.relay.hosts import Target
from mta.relay.request import RelayRequest


class FindsTargets(Protocol):
    """Knows where to go; see ``mta.relay.hosts.TargetFinder``."""

    @property
    def sandbox(self) -> object | None: ...

    def destination(self, zone: Zone, domain: str) -> str: ...

    def find_hosts(self, zone: Zone, domain: str) -> tuple[str, ...]: ...

    def find_targets(self, zone: Zone, domain: str) -> Iterator[Target]: ...


@dataclass(frozen=True, slots=True)
class Planner:
    """Names sessions that fit a request, and its destination."""

    targets: FindsTargets

    def key(
        self,
        request: RelayRequest,
        source: PoolAddress | None,
        security: DomainPolicy,
    ) -> Key:
        """What a session must have been opened for to fit this request."""
        destination = self.targets.destination(request.zone, request.domain)
        ours = str(source.address) if source else ""
        return Key(request.zone.name, ours, destination, security)

    def trouble(self, request: RelayRequest) -> str:
        """Name the destination in the memory of troubles; the sandbox has none."""
        if self.targets.sandbox is not None:
            return ""
        destination = self.targets.destination(request.zone, request.domain)
        return f"{request.zone.name}:{destination}"
