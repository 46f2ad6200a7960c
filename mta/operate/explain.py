"""Why mail goes as it goes: by the very functions that decide, asked without sending.

Each returns its result with its reasons. An attempt keeps them; here the same
questions are asked of what is in force now, for a message that is stored or only
supposed, and nothing is counted, reserved or sent.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from mta.config.live import Live
from mta.config.zones import Config, PoolAddress, Provider, Zone
from mta.delivery import Delivery, Wishes
from mta.errors import AttemptFailed, RateReached
from mta.intake.route import Routing
from mta.mail.address import domain_of
from mta.mail.envelope import Envelope
from mta.mail.header import HeaderSection
from mta.operate.limits import LimitNow, limits_now
from mta.operate.timeline import Window, window_of
from mta.operate.tls import Security, TlsStanding, tls_standing
from mta.policy.limits import PATIENCE
from mta.policy.measures import Measure
from mta.policy.routing import Explanation, Route
from mta.policy.source import SourceChoice
from mta.reasons import NO_REASONS, Reasons
from mta.relay.hosts import Target
from mta.relay.plan import Planner
from mta.relay.request import NOWHERE, Hop, Places, RelayRequest
from mta.relay.sources import Sources, Use
from mta.store.census import Census
from mta.store.documents import pool_key_of
from mta.store.limits_look import LimitsLook
from mta.store.messages import Messages

MAX_TARGETS = 5
_WORDS = {"warmup": "the ration of {} is used up", "measure": "suspended by {}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What decides about a message, stored or supposed.

    Attributes:
        header: As it is stored, or would be.
    """

    envelope: Envelope
    header: bytes
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdup:
    """What would keep it from being sent now.

    Attributes:
        key: The limit, ration or measure; "": the destination itself.
        wait: How long, if that is known.
    """

    text: str
    key: str = ""
    wait: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """How one copy would go now, from its zone on.

    Attributes:
        hosts: Those that DNS names for the domain; empty where it is not asked.
        targets: The first ones to try, best first.
        problem: Why there are none.
        choice: What the pool says; None if there is no pool.
        keeps_by: What keeps it to its address: a sender, or the delivery's id; "":
            it is only supposed, and the shares are all that is known.
        reasons: As an attempt would keep them.
        tls: Under which policy.
        holdups: The first one would be met first.
    """

    zone: Zone
    places: Places
    hosts: tuple[str, ...]
    targets: tuple[Target, ...]
    problem: str
    choice: SourceChoice | None
    keeps_by: str
    reasons: Reasons
    limits: tuple[LimitNow, ...]
    measures: tuple[Measure, ...]
    tls: TlsStanding
    holdups: tuple[Holdup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One recipient's copy.

    Attributes:
        delivery: As it stands; None if it is only supposed.
        route: By the rules in force now.
        journey: None: there is no zone for it, or it is finished.
        window: When it is tried next; None if it is not.
    """

    recipient: str
    delivery: Delivery | None
    route: Explanation
    journey: Journey | None
    window: Window | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain:
    """Explains messages.

    Attributes:
        open_sources: What chooses addresses, by what is known now; counts nothing.
        now: The clock; aware UTC.
    """

    routing: Live[Routing]
    messages: Messages
    census: Census
    open_sources: Callable[[], Sources]
    security: Security
    limits: LimitsLook
    now: Callable[[], datetime]

    def message(
        self, message_id: str, *, limit: int, only: str | None = None
    ) -> list[Explained] | None:
        """Explain a message's deliveries, in their order; None if it is unknown.

        Args:
            only: Id of the one that is asked for.
        """
        stored = self.messages.find(message_id)
        if stored is None:
            return None
        letter = Letter(
            envelope=stored.envelope, header=stored.header, tenant=stored.tenant
        )
        if only is None:
            rows = self.census.of_message(message_id, limit=limit)
        else:
            one = self.census.find(only)
            rows = [one] if one else []
        sources = self.open_sources()
        return [self._explain(letter, row.recipient, row, sources) for row in rows]

    def supposed(self, letter: Letter) -> list[Explained]:
        """Explain what would become of a message that does not exist."""
        sources = self.open_sources()
        return [
            self._explain(letter, recipient, None, sources)
            for recipient in letter.envelope.recipients
        ]

    def _explain(
        self,
        letter: Letter,
        recipient: str,
        delivery: Delivery | None,
        sources: Sources,
    ) -> Explained:
        routing = self.routing.current
        section = HeaderSection.parse(letter.header)
        domain = domain_of(recipient)
        route = routing.router.explain(routing.facts(letter.envelope, section), domain)
        zone = route.result.zone if isinstance(route.result, Route) else None
        if delivery is not None:
            zone = routing.config.zones.get(delivery.zone)
        is_over = delivery is not None and delivery.state.is_terminal
        journey = None
        if zone is not None and not zone.disabled and not is_over:
            request = _request(routing.config, zone, letter, recipient, delivery)
            traveller = _Traveller(sources, self.limits, self.security, request)
            journey = traveller.journey()
        waits = [h.wait for h in journey.holdups] if journey else []
        window = window_of(delivery, self.now(), waits) if delivery else None
        return Explained(
            recipient=recipient,
            delivery=delivery,
            route=route,
            journey=journey,
            window=window,
        )


@dataclass(slots=True)
class _Traveller:
    """Goes the way of an attempt as far as the dial."""

    sources: Sources
    limits: LimitsLook
    security: Security
    request: RelayRequest

    def journey(self) -> Journey:
        request, use = self.request, Use()
        problem, targets = self._find_targets()
        places = self._find_places(use)
        holdups: list[Holdup] = []
        source = self._choose(targets, use, holdups)
        if not self._keeps_by:  # any of them, by an id that does not exist yet
            source = use.source = None
            use.is_last_resort = False
        reasons, limits = self._count(source, use, holdups)
        return Journey(
            zone=request.zone,
            places=places,
            hosts=self._find_hosts(),
            targets=targets,
            problem=problem,
            choice=use.choice,
            keeps_by=self._keeps_by,
            reasons=reasons,
            limits=limits,
            measures=tuple(self._measures(use)),
            tls=tls_standing(self.security, request, targets),
            holdups=tuple(holdups),
        )

    @property
    def _keeps_by(self) -> str:
        return self.request.sender or self.request.delivery_id

    def _find_targets(self) -> tuple[str, tuple[Target, ...]]:
        found: list[Target] = []
        try:
            targets = self.sources.targets.find_targets(
                self.request.zone, self.request.domain
            )
            found.extend(islice(targets, MAX_TARGETS))
        except AttemptFailed as failure:
            return str(failure.reply), tuple(found)
        return "", tuple(found)

    def _find_hosts(self) -> tuple[str, ...]:
        try:
            return self.sources.targets.find_hosts(
                self.request.zone, self.request.domain
            )
        except AttemptFailed:
            return ()

    def _find_places(self, use: Use) -> Places:
        try:
            return self.sources.places(self.request, use)
        except AttemptFailed:
            return NOWHERE

    def _measures(self, use: Use) -> Sequence[Measure]:
        try:
            return self.sources.measures(self.request, use)
        except AttemptFailed:
            return ()

    def _choose(
        self, targets: Sequence[Target], use: Use, holdups: list[Holdup]
    ) -> PoolAddress | None:
        """Choose as an attempt does, for the best target."""
        if not targets:
            return None
        try:
            while True:
                source = self.sources.choose(self.request, targets[0], use)
                if self.sources.take_ration(self.request, use):
                    return source
        except RateReached as reached:
            kind = reached.key.partition(":")[0]
            if kind != "warmup" or self._keeps_by:  # else others may leave from others
                text = _WORDS.get(kind, "the rate of {} is reached").format(reached.key)
                holdups.append(Holdup(text=text, key=reached.key, wait=reached.wait))
        except AttemptFailed as failure:
            holdups.append(Holdup(text=str(failure.reply)))
        return use.choice.address if use.choice else None

    def _count(
        self, source: PoolAddress | None, use: Use, holdups: list[Holdup]
    ) -> tuple[Reasons, tuple[LimitNow, ...]]:
        request = self.request
        try:
            demand = self.sources.demand(request, source, use)
        except AttemptFailed:  # DNS, as is said already
            return NO_REASONS, ()
        trouble = Planner(self.sources.targets).trouble(request)
        in_use = self.limits.in_use(demand, trouble)
        limits = limits_now(
            demand,
            in_use,
            config=request.config,
            zone=request.zone,
            domain=request.domain,
            provider=_provider(use),
            source=source,
            measures=self._measures(use),
        )
        if in_use is not None and in_use.trouble is not None:
            left = in_use.trouble.left
            holdups.append(Holdup(text=in_use.trouble.text, wait=left))
        holdups.extend(_held_up_by(limits))
        return use.reasons(), limits


def _held_up_by(limits: Sequence[LimitNow]) -> Iterator[Holdup]:
    """Find limits that have no room for one who comes now."""
    for limit in limits:
        if limit.is_full:
            text = f"all {limit.allowed} connections of {limit.key} are in use"
            yield Holdup(text=text, key=limit.key)
        elif limit.wait is not None and limit.wait > PATIENCE:
            yield Holdup(
                text=f"the rate of {limit.key} is reached",
                key=limit.key,
                wait=limit.wait,
            )


def _provider(use: Use) -> Provider | None:
    return use.places.provider if use.places else None


def _request(
    config: Config,
    zone: Zone,
    letter: Letter,
    recipient: str,
    delivery: Delivery | None,
) -> RelayRequest:
    return RelayRequest(
        config=config,
        zone=zone,
        reverse_path=letter.envelope.reverse_path,
        recipient=recipient,
        domain=domain_of(recipient),
        delivery_id=delivery.id if delivery else "",
        sender=pool_key_of(zone, letter.envelope, letter.header),
        size=len(letter.header),
        needs_8bit=False,
        needs_utf8=False,
        tenant=letter.tenant,
        wishes=Wishes(require_tls=letter.envelope.require_tls),
        open_content=_nothing,
    )


def _nothing(hop: Hop) -> Iterator[bytes]:
    raise AssertionError("nothing is sent")
