"""Measures and warm-up as people and programs see them: list, take, clear, pin."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from mta.config.live import Live
from mta.config.values import parse_domain
from mta.config.zones import Config, PoolAddress, Rate
from mta.errors import MtaError
from mta.policy.measures import ANY, MANUAL, MAX_CAUSE, Action, Measure, site_of
from mta.policy.warmup import Ration, ration_of, warm_from
from mta.store.measures import Measures
from mta.store.warmup import WarmupBook

log = logging.getLogger(__name__)


class NoSuchMail(MtaError):
    """A measure that could never be about any mail; ``field`` is why."""

    def __init__(self, field: str, text: str) -> None:
        self.field = field
        super().__init__(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A measure that an operator wants; the names are those of ``Measure``."""

    action: Action
    site: str
    reason: str
    duration: timedelta
    source: str = ""
    tenant: str = ""
    rate: Rate | None = None
    max_connections: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupStatus:
    """How far an address is with one provider.

    Attributes:
        ration: What it may send today; None: it is warm.
        day: Of its warm-up, from 1.
        sent_today, sent_this_hour: So far.
        warm_from: The day, if no more days are repeated.
    """

    pool: str
    address: str
    provider: str
    plan: str
    day: int
    ration: Ration | None
    sent_today: int
    sent_this_hour: int
    warm_from: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """What is held back, and why.

    Attributes:
        now: The clock; aware UTC.
        others: The name of all who are no provider.
        wake: Lets what a measure has put off ask again.
    """

    config: Live[Config]
    measures: Measures
    book: WarmupBook
    now: Callable[[], datetime]
    others: str
    wake: Callable[[], None]

    def in_force(self) -> list[Measure]:
        """List the measures that hold now, the longest first."""
        return self.measures.in_force(self.now())

    def take(self, wanted: Wanted) -> Measure:
        """Take a measure by hand, or prolong the one that is there.

        Raises:
            NoSuchMail: No mail goes to such a place, or leaves from such an address.
        """
        now = self.now()
        taken = self.measures.take(
            Measure(
                action=wanted.action,
                site=self._find_site(wanted.site),
                source=self._find_source(wanted.source),
                tenant=wanted.tenant,
                rate=wanted.rate,
                max_connections=wanted.max_connections,
                since=now,
                until=now + wanted.duration,
                cause=wanted.reason[:MAX_CAUSE],
                rule=MANUAL,
            )
        )
        log.warning("measure taken by hand id=%s site=%s", taken.id, taken.site)
        return taken

    def clear(self, measure_id: str) -> Measure | None:
        """End a measure; None if there is none of that id."""
        cleared = self.measures.clear(measure_id)
        if cleared is not None:
            log.warning("measure cleared id=%s site=%s", cleared.id, cleared.site)
            self.wake()
        return cleared

    def pin(self, measure_id: str, *, is_pinned: bool) -> Measure | None:
        """Let a measure hold until it is cleared, or run out as before."""
        changed = self.measures.pin(measure_id, is_pinned=is_pinned)
        if changed is not None and not is_pinned:
            self.wake()
        return changed

    def _find_site(self, text: str) -> str:
        config = self.config.current
        hops = (zone.next_hop for zone in config.zones.values())
        relays = [hop.host for hop in hops if hop]
        if text in (ANY, *config.providers, *relays):
            return text
        try:
            hosts = [parse_domain(host) for host in text.split("+")]
        except ValueError as error:
            raise NoSuchMail("site", f"{text[:80]!r} {error}") from None
        if len(hosts) > 1:
            return site_of(hosts)
        if "." not in hosts[0]:
            message = f"{text[:80]!r} is no provider here, and a domain has a dot"
            raise NoSuchMail("site", message)
        return hosts[0]

    def _find_source(self, text: str) -> str:
        pools = self.config.current.pools.values()
        known = {str(entry.address) for pool in pools for entry in pool}
        if text and text not in known:
            raise NoSuchMail("source", f"{text} is in none of the pools")
        return text

    def warmup(self) -> list[WarmupStatus]:
        """How far each address is that warms up, with each provider it had mail for."""
        return list(self._warmup(self.now()))

    def _warmup(self, now: datetime) -> Iterator[WarmupStatus]:
        for pool, entries in self.config.current.pools.items():
            for entry in entries:
                if entry.warmup is None:
                    continue
                names = self.book.sites(str(entry.address), now.date())
                for name in names or [self.others]:
                    yield self._status(pool, entry, name, now)

    def _status(
        self, pool: str, entry: PoolAddress, provider: str, now: datetime
    ) -> WarmupStatus:
        if entry.warmup is None:
            raise ValueError(f"{entry.address} does not warm up")
        address, today = str(entry.address), now.date()
        plan = self.config.current.warmup[entry.warmup.plan]
        history = self.book.history(address, provider, entry.warmup.started)
        ration = ration_of(entry.warmup, plan, today, history)
        used = self.book.used(address, provider, ration, now) if ration else {}
        return WarmupStatus(
            pool=pool,
            address=address,
            provider=provider,
            plan=entry.warmup.plan,
            day=max(0, (today - entry.warmup.started).days) + 1,
            ration=ration,
            sent_today=used.get("messages_per_day", 0),
            sent_this_hour=used.get("messages_per_hour", 0),
            warm_from=warm_from(ration, today) if ration else None,
        )
