"""What follows from a request before anything is dialed: addresses, keys, demands."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from mta.config.zones import Config, PoolAddress, Provider, Zone
from mta.errors import TransientFailure
from mta.policy.limits import Demand, demand_of
from mta.policy.source import choose_source, leave_out
from mta.relay.held import Key
from mta.relay.hosts import Target
from mta.relay.request import RelayRequest
from mta.reply import make_reply

_NO_SOURCE = make_reply(
    450,
    "4.4.4",
    "Network error: the pool has no address of the target's family for this domain",
)
_FAMILIES: tuple[Literal[4, 6], ...] = (4, 6)


class FindsTargets(Protocol):
    """Knows where to go; see ``mta.relay.hosts.TargetFinder``."""

    @property
    def sandbox(self) -> object | None: ...

    def destination(self, zone: Zone, domain: str) -> str: ...

    def find_hosts(self, zone: Zone, domain: str) -> tuple[str, ...]: ...

    def find_targets(self, zone: Zone, domain: str) -> Iterator[Target]: ...


@dataclass(frozen=True, slots=True)
class Planner:
    """Knows what the configuration says about a request."""

    config: Config
    targets: FindsTargets

    def idle_keys(self, request: RelayRequest) -> Iterator[Key]:
        """List the keys of the sessions that would do, the first ones first."""
        sources = (self._choose(request, family) for family in _FAMILIES)
        yield from dict.fromkeys(self.key(request, source) for source in sources)

    def key(self, request: RelayRequest, source: PoolAddress | None) -> Key:
        """What a session must have been opened for to fit this request."""
        destination = self.targets.destination(request.zone, request.domain)
        return request.zone.name, str(source.address) if source else "", destination

    def trouble(self, request: RelayRequest) -> str:
        """Name the destination in the memory of troubles; the sandbox has none."""
        if self.targets.sandbox is not None:
            return ""
        destination = self.targets.destination(request.zone, request.domain)
        return f"{request.zone.name}:{destination}"

    def source(self, request: RelayRequest, target: Target) -> PoolAddress | None:
        """Choose our end's address for a target; None: the system does.

        Raises:
            TransientFailure: none may be used. Mail never leaves from an address
                that is not in its pool.
        """
        family = _FAMILIES[target.address.version == 6]
        source = self._choose(request, family)
        if source is None and self._is_bound(request.zone):
            raise TransientFailure(
                _NO_SOURCE,
                category="policy",
                host=target.host,
                address=str(target.address),
                is_next_host_worth_trying=True,
            )
        return source

    def provider(self, request: RelayRequest) -> Provider | None:
        """Find out who receives for the domain, if that is anybody in particular.

        Raises:
            AttemptFailed: DNS did not tell.
        """
        if not self.config.providers:
            return None
        hosts = self.targets.find_hosts(request.zone, request.domain)
        return self.config.provider_of(hosts)

    def demand(
        self,
        request: RelayRequest,
        source: PoolAddress | None,
        provider: Provider | None,
    ) -> Demand:
        """List what a session counts against that carries this request."""
        return demand_of(
            self.config,
            request.zone,
            request.domain,
            provider=provider,
            source=source,
        )

    def _is_bound(self, zone: Zone) -> bool:
        """The zone's mail leaves from its pool; in the sandbox it goes nowhere."""
        return bool(zone.addresses) and self.targets.sandbox is None

    def _choose(
        self, request: RelayRequest, family: Literal[4, 6]
    ) -> PoolAddress | None:
        zone = request.zone
        if not self._is_bound(zone):
            return None
        disabled = self.config.domain_limits(request.domain).disabled_addresses
        stick_to_sender = zone.pool_hash == "from" and request.reverse_path
        key = request.reverse_path if stick_to_sender else request.delivery_id
        return choose_source(leave_out(zone.addresses, disabled), key, family)
