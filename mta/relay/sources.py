"""Our end of a session: which address an attempt leaves from, and which it may not.

The pool's own choice first (``policy.source``); an address that rests, and one whose
ration is used up, is passed over for the next. If all that is left rests, the pool's
choice is taken in spite of it: that is the last resort, and a reply that blames the
address again is the last word.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import Literal, Protocol

from mta.config.zones import IPAddress, PoolAddress, WarmUp, WarmupPlan, Zone
from mta.errors import AttemptFailed, RateReached, TransientFailure
from mta.policy.limits import NO_DEMAND, Demand, demand_of, limit_key
from mta.policy.measures import Measure, limits_of, resting, site_of, suspension
from mta.policy.source import SourceChoice, choose_source
from mta.reasons import MAX_LIMITS, NO_TLS_FACTS, Reasons, TlsFacts, group_by_cause
from mta.relay.hosts import Target
from mta.relay.plan import FindsTargets
from mta.relay.rations import Rations, Taken, UsedUp
from mta.relay.request import NOWHERE, Places, RelayRequest
from mta.reply import make_reply

OTHERS = "others"  # all who are known as no provider have one ration
# A measure that somebody has pinned has no end; whoever clears it wakes what waits.
PINNED_WAIT = timedelta(hours=1)

MAX_WHY = 200  # characters of a measure's cause
_USED_UP = "its ration is used up"

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
        family: Of the address it was last to leave from.
        choices: What the pool said last, by family.
        source: The address it was last sent from.
        places: Provider and site of its domain, once they are known.
        demand: What it last counted against.
        tls: What it came to, so far.
    """

    passed: dict[IPAddress, str] = field(default_factory=dict)
    taken: Taken | None = None
    is_last_resort: bool = False
    family: Literal[4, 6] = 4
    choices: dict[int, SourceChoice] = field(default_factory=dict)
    source: PoolAddress | None = None
    places: Places | None = None
    demand: Demand = NO_DEMAND
    tls: TlsFacts = NO_TLS_FACTS

    @property
    def choice(self) -> SourceChoice | None:
        """What the pool said of the address; None if there is no pool."""
        return self.choices.get(self.family)

    def reasons(self) -> Reasons:
        """What decided the attempt, so far."""
        provider, site = self.places or NOWHERE
        passed = self.choice.passed_over if self.choice else ()
        return Reasons(
            provider=provider.name if provider else "",
            site=site,
            pool_address=str(self.source.address) if self.source else "",
            is_last_resort=self.is_last_resort,
            passed_over=group_by_cause((str(e.address), cause) for e, cause in passed),
            limits=self.demand.limits()[:MAX_LIMITS],
            tls=self.tls,
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """Chooses addresses, and knows what a message from one of them counts against."""

    targets: FindsTargets
    held_back: HeldBack
    rations: Rations
    now: Callable[[], datetime]

    def idle(self, request: RelayRequest, use: Use) -> Iterator[PoolAddress | None]:
        """List the addresses of which idle sessions would do, the first ones first."""
        for family in _FAMILIES:
            try:
                yield self._pick(request, family, use)
            except RateReached:
                continue  # who chooses for a target of that family will say so
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
        use.family = _FAMILIES[target.address.version == 6]
        source = self._pick(request, use.family, use)
        if source is None and self._is_bound(request.zone):
            raise TransientFailure(
                _NO_SOURCE,
                category="policy",
                host=target.host,
                address=str(target.address),
                is_next_host_worth_trying=True,
            )
        self.enter(request, source, use)
        return source

    def enter(
        self, request: RelayRequest, source: PoolAddress | None, use: Use
    ) -> None:
        """Let a message leave from ``source``, unless something is suspended.

        Args:
            source: None: the system chooses.

        Raises:
            RateReached: It must wait.
        """
        measures = self.measures(request, use)
        address = str(source.address) if source else ""
        stopped = suspension(measures, address)
        if stopped is not None:
            wait = PINNED_WAIT if stopped.is_pinned else stopped.until - self.now()
            raise RateReached(limit_key("measure", stopped.id), wait, is_turn=False)
        use.is_last_resort = address in resting(measures)
        if use.taken is not None and use.taken.address != address:
            self.give_back(use)
        if source is not None:
            use.family = _FAMILIES[source.address.version == 6]
        use.source = source

    def take_ration(self, request: RelayRequest, use: Use) -> bool:
        """Count this message for its address, if that is warming up.

        Last of all, when nothing else can send the message back: what is counted
        and not sent keeps others from being sent.

        Returns:
            False if it may not leave from there, and another address is to be asked
            for.

        Raises:
            RateReached: It must wait, whatever address it would leave from.
        """
        source = use.source
        if source is None or source.warmup is None or use.taken is not None:
            return True
        answer = self.rations.take(*self._ration(request, source, use))
        if isinstance(answer, UsedUp):
            self._pass_over(request, source, use, answer.wait)
            return False
        use.taken = answer
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
        use.demand = demand_of(
            request.config,
            request.zone,
            request.domain,
            provider=places.provider,
            source=source,
        )
        address = str(source.address) if source else ""
        slots, paces = limits_of(self.measures(request, use), address)
        if slots or paces:
            own = use.demand
            use.demand = Demand((*slots, *own.slots), (*paces, *own.paces))
        return use.demand

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
        if failure.source is not None:  # somebody was talked to
            with suppress(AttemptFailed):  # it was known a moment ago
                use.places = use.places or self._find_places(request)
            is_null = not request.reverse_path
            has_pool = use.source is not None
            failure.may_move = has_pool and not use.is_last_resort and not is_null
        failure.reasons = use.reasons()
        if use.taken and failure.category == "smtp" and failure.reply.code < 500:
            self.rations.note_deferred(use.taken)

    def _is_known_used_up(
        self, request: RelayRequest, source: PoolAddress, use: Use
    ) -> bool:
        is_counted = use.taken is not None and use.taken.address == str(source.address)
        if source.warmup is None or is_counted:
            return False
        until = self.rations.used_up_until(*self._ration(request, source, use))
        if until is None:
            return False
        self._pass_over(request, source, use, until - self.now())
        return True

    def _pass_over(
        self, request: RelayRequest, source: PoolAddress, use: Use, wait: timedelta
    ) -> None:
        """Let another address step in for one whose ration is used up.

        Raises:
            RateReached: None may, or can.
        """
        _, name, _, plan = self._ration(request, source, use)
        if plan.overflow == "wait" or not self._has_other(request, source, use):
            key = limit_key("warmup", str(source.address), name)
            raise RateReached(key, wait, is_turn=False)
        use.passed[source.address] = _USED_UP

    def _ration(
        self, request: RelayRequest, source: PoolAddress, use: Use
    ) -> tuple[IPAddress, str, WarmUp, WarmupPlan]:
        """What names the ration of an address that is warming up."""
        if source.warmup is None:
            raise ValueError(f"{source.address} is not warming up")
        provider = self.places(request, use).provider
        plan = request.config.warmup[source.warmup.plan]
        name = provider.name if provider else OTHERS
        return source.address, name, source.warmup, plan

    def measures(self, request: RelayRequest, use: Use) -> Sequence[Measure]:
        """List what is held back from whom the message is for."""
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
        hop = zone.next_hop
        return Places(provider, site_of(hosts or (hop.host if hop else domain,)))

    def _is_bound(self, zone: Zone) -> bool:
        """The zone's mail leaves from its pool; in the sandbox it goes nowhere."""
        return bool(zone.addresses) and self.targets.sandbox is None

    def _has_other(self, request: RelayRequest, source: PoolAddress, use: Use) -> bool:
        """Whether the pool would have an address in the place of ``source``."""
        barred = {*self._barred(request), *use.passed, source.address}
        return any(
            entry.address not in barred
            for entry in request.zone.addresses
            if entry.ratio != 0 and entry.address.version == source.address.version
        )

    def _barred(self, request: RelayRequest) -> dict[IPAddress, str]:
        """The addresses that may not be used, come what may."""
        domain = request.domain
        disabled = request.config.domain_limits(domain).disabled_addresses
        return dict.fromkeys(disabled, f"disabled for {domain}")

    def _pick(
        self, request: RelayRequest, family: Literal[4, 6], use: Use
    ) -> PoolAddress | None:
        """Pick an address that is not known to have used up its ration.

        Raises:
            RateReached: All have, or the one that it is to wait for.
        """
        if not self._is_bound(request.zone):
            return None
        while True:
            source = self._ask_pool(request, family, use)
            if source is None or not self._is_known_used_up(request, source, use):
                return source

    def _ask_pool(
        self, request: RelayRequest, family: Literal[4, 6], use: Use
    ) -> PoolAddress | None:
        zone = request.zone
        key = request.sender or request.delivery_id
        barred = self._barred(request)
        rest = resting(self.measures(request, use))
        idle = {ip_address(a): _why_resting(m) for a, m in rest.items()}
        choose = partial(choose_source, zone.addresses, key, family, passed=use.passed)
        choice = choose(barred=barred | idle)
        if choice.address is None and idle:
            choice = choose(barred=barred)
        use.choices[family] = choice
        return choice.address


def _why_resting(measure: Measure) -> str:
    return f"rests: {measure.cause[:MAX_WHY]}"
