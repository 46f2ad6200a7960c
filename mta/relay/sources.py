"""Our end of a session: which address an attempt leaves from, and which it may not.

The pool's own choice first (``policy.source``); an address that rests, and one whose
ration is used up, is passed over for the next. If all that is left rests, the pool's
choice is taken in spite of it: that is the last resort, and a reply that blames the
address again is the last word.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Literal, Protocol

from mta.config.zones import IPAddress, PoolAddress, Zone
from mta.errors import AttemptFailed, RateReached, TransientFailure
from mta.policy.limits import Demand, demand_of, limit_key
from mta.policy.measures import Measure, limits_of, resting, site_of, suspension
from mta.policy.source import choose_source
from mta.relay.hosts import Target
from mta.relay.plan import FindsTargets
from mta.relay.rations import Rations, Taken, UsedUp
from mta.relay.request import NOWHERE, Places, RelayRequest
from mta.reply import make_reply

OTHERS = "others"  # all who are known as no provider have one ration
# A measure that somebody has pinned has no end; whoever clears it wakes what waits.
PINNED_WAIT = timedelta(hours=1)

_NO_SOURCE = make_reply(
    450,
    "4.4.4",
    "Network error: the pool has no address of the target's family for this domain",
)
_FAMILIES: tuple[Literal[4, 6], ...] = (4, 6)


class HeldBack(Protocol):
    """Knows what is held back now; see ``mta.worker.shaper.Shaper``."""

    def __bool__(self) -> bool: ...

    def in_force(self, places: Sequence[str], tenant: str) -> Sequence[Measure]: ...


@dataclass(slots=True)
class Use:
    """What one attempt has had of our addresses.

    Attributes:
        passed: Not to be used by it, and why.
        taken: What it counts against, if that is anything.
        is_last_resort: Its address should rest, and there was no other.
        source: The address it was last sent from.
        places: Provider and site of its domain, once they are known.
    """

    passed: dict[IPAddress, str] = field(default_factory=dict)
    taken: Taken | None = None
    is_last_resort: bool = False
    source: PoolAddress | None = None
    places: Places | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """Chooses addresses, and knows what a message from one of them counts against."""

    targets: FindsTargets
    held_back: HeldBack
    rations: Rations
    now: Callable[[], datetime]

    def idle(self, request: RelayRequest, use: Use) -> Iterator[PoolAddress | None]:
        """List the addresses of which idle sessions would do, the first ones first."""
        try:
            for family in _FAMILIES:
                yield self._pick(request, family, use)
        except AttemptFailed:
            return  # DNS: who looks for targets will say so

    def choose(
        self, request: RelayRequest, target: Target, use: Use
    ) -> PoolAddress | None:
        """Choose our end's address for a target; None: the system does.

        Raises:
            RateReached: It must wait.
            TransientFailure: None may be used. Mail never leaves from an address
                that is not in its pool.
        """
        family = _FAMILIES[target.address.version == 6]
        while True:
            source = self._pick(request, family, use)
            if source is None and self._is_bound(request.zone):
                raise TransientFailure(
                    _NO_SOURCE,
                    category="policy",
                    host=target.host,
                    address=str(target.address),
                    is_next_host_worth_trying=True,
                )
            if self.enter(request, source, use):
                return source

    def enter(
        self, request: RelayRequest, source: PoolAddress | None, use: Use
    ) -> bool:
        """See whether this message may leave from ``source``, and count it.

        Args:
            source: None: the system chooses.

        Returns:
            False if it may not, and another address is to be asked for.

        Raises:
            RateReached: It must wait, whatever address it would leave from.
        """
        measures = self._measures(request, use)
        address = str(source.address) if source else ""
        stopped = suspension(measures, address)
        if stopped is not None:
            wait = PINNED_WAIT if stopped.is_pinned else stopped.until - self.now()
            raise RateReached(limit_key("measure", stopped.id), wait, is_turn=False)
        use.is_last_resort = address in resting(measures)
        if use.taken is None or use.taken.address != address:
            self.give_back(use)
            if not self._take_ration(request, source, use):
                return False
        use.source = source
        return True

    def places(self, request: RelayRequest, use: Use) -> Places:
        """Find out who receives for the domain, if anything depends on it.

        Raises:
            AttemptFailed: DNS did not tell.
        """
        if use.places is not None:
            return use.places
        if not request.config.providers and not self.held_back:
            return NOWHERE
        use.places = self._find_places(request)
        return use.places

    def demand(
        self, request: RelayRequest, source: PoolAddress | None, use: Use
    ) -> Demand:
        """List what a session counts against that carries this request."""
        places = self.places(request, use)
        own = demand_of(
            request.config,
            request.zone,
            request.domain,
            provider=places.provider,
            source=source,
        )
        address = str(source.address) if source else ""
        slots, paces = limits_of(self._measures(request, use), address)
        if not slots and not paces:
            return own
        return Demand((*slots, *own.slots), (*paces, *own.paces))

    def give_back(self, use: Use) -> None:
        """Nobody heard of the message: it counts against nothing."""
        taken, use.taken = use.taken, None
        if taken is not None:
            self.rations.give_back(taken)

    def settle(self, failure: AttemptFailed, request: RelayRequest, use: Use) -> None:
        """Say in a failure whom it came from, and what it means for our address.

        What nobody heard of counts against no ration.
        """
        if failure.category != "smtp" and not failure.is_in_doubt:
            self.give_back(use)
        source = use.source
        if failure.source is None:
            return  # nobody was talked to
        try:
            places = use.places or self._find_places(request)
        except AttemptFailed:  # it was known a moment ago
            return
        failure.provider = places.provider.name if places.provider else ""
        failure.site = failure.provider or places.site
        if source is not None:
            failure.pool_address = str(source.address)
            is_null = not request.reverse_path
            failure.may_move = not use.is_last_resort and not is_null
        if use.taken and failure.category == "smtp" and failure.reply.code < 500:
            self.rations.note_deferred(use.taken)

    def _take_ration(
        self, request: RelayRequest, source: PoolAddress | None, use: Use
    ) -> bool:
        if source is None or source.warmup is None:
            return True
        name = self._ration_name(request, use)
        plan = request.config.warmup[source.warmup.plan]
        answer = self.rations.take(source.address, name, source.warmup, plan)
        if not isinstance(answer, UsedUp):
            use.taken = answer
            return True
        key = limit_key("warmup", str(source.address), name)
        if answer.must_wait or not self._has_other(request, source, use):
            raise RateReached(key, answer.wait, is_turn=False)
        use.passed[source.address] = key
        return False

    def _ration_name(self, request: RelayRequest, use: Use) -> str:
        provider = self.places(request, use).provider
        return provider.name if provider else OTHERS

    def _used_up(self, request: RelayRequest, use: Use) -> dict[IPAddress, str]:
        """Addresses whose ration is known to be used up, if others may step in."""
        found = {}
        for entry in request.zone.addresses:
            if entry.warmup is None:
                continue
            plan = request.config.warmup[entry.warmup.plan]
            name = self._ration_name(request, use)
            facts = (entry.address, name, entry.warmup, plan)
            if plan.overflow == "next" and self.rations.used_up_until(*facts):
                found[entry.address] = "its ration is used up"
        return found

    def _measures(self, request: RelayRequest, use: Use) -> Sequence[Measure]:
        if not self.held_back:
            return ()
        places = self.places(request, use)
        names = dict.fromkeys((*places.names, request.domain))
        return self.held_back.in_force(tuple(names), request.tenant)

    def _find_places(self, request: RelayRequest) -> Places:
        zone, domain = request.zone, request.domain
        if self.targets.sandbox is not None:
            return NOWHERE
        hosts = self.targets.find_hosts(zone, domain)
        provider = request.config.provider_of(hosts)
        return Places(provider, site_of(hosts or (zone.host or domain,)))

    def _is_bound(self, zone: Zone) -> bool:
        """The zone's mail leaves from its pool; in the sandbox it goes nowhere."""
        return bool(zone.addresses) and self.targets.sandbox is None

    def _has_other(self, request: RelayRequest, source: PoolAddress, use: Use) -> bool:
        """Whether the pool would have an address in the place of ``source``."""
        barred = {*self._barred(request, use), source.address}
        return any(
            entry.address not in barred
            for entry in request.zone.addresses
            if entry.ratio != 0 and entry.address.version == source.address.version
        )

    def _barred(self, request: RelayRequest, use: Use) -> dict[IPAddress, str]:
        """The addresses that may not be used, come what may."""
        domain = request.domain
        disabled = request.config.domain_limits(domain).disabled_addresses
        return {**dict.fromkeys(disabled, f"disabled for {domain}"), **use.passed}

    def _pick(
        self, request: RelayRequest, family: Literal[4, 6], use: Use
    ) -> PoolAddress | None:
        zone = request.zone
        if not self._is_bound(zone):
            return None
        key = request.sender or request.delivery_id
        barred = self._barred(request, use)
        rest = resting(self._measures(request, use))
        idle = {ip_address(a): f"rests: {m.cause}" for a, m in rest.items()}
        idle |= self._used_up(request, use)
        choice = choose_source(zone.addresses, key, family, barred | idle)
        if choice.address is None and idle:
            choice = choose_source(zone.addresses, key, family, barred)
        return choice.address
