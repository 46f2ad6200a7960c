"""Learns from replies, for all workers: takes the measures that rules ask for.

What is in force is read from MongoDB about once a second by every worker; one that
this process takes holds here at once. While MongoDB is away, what was known stays.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Final

from mta.config.zones import Config, ShapingRule
from mta.delivery import Delivery
from mta.errors import AttemptFailed, StoreUnavailable
from mta.observe import metrics
from mta.policy.classify import category_of
from mta.policy.measures import Measure, Refusal, follow, matching
from mta.store.known_measures import KnownMeasures
from mta.store.measures import Measures

log = logging.getLogger(__name__)

READ_EVERY_S: Final = 1.0
KNOWN_IN: Final = timedelta(seconds=2)  # by all workers


@dataclass(slots=True, kw_only=True)
class Shaper:
    """What one worker knows of measures, and adds to them.

    Attributes:
        now: The clock; aware UTC.
    """

    store: Measures
    now: Callable[[], datetime]
    every_s: float = READ_EVERY_S
    _known: KnownMeasures = field(init=False)
    _stopping: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._known = KnownMeasures(self.store, self.now)

    def start(self) -> None:
        """Read what is in force, and again every second."""
        self.read()
        Thread(target=self._run, name="shaper", daemon=True).start()

    def stop(self) -> None:
        """Read no more."""
        self._stopping.set()

    def __bool__(self) -> bool:
        """Whether anything at all is held back."""
        return bool(self._known)

    def in_force(self, places: Sequence[str], tenant: str) -> Sequence[Measure]:
        """List the measures for a tenant's mail to a place, by all its names."""
        return self._known.in_force(places, tenant)

    def note(self, claimed: Delivery, config: Config, failure: AttemptFailed) -> None:
        """Take the measures that follow from a reply; none if nobody replied.

        Whatever goes wrong here, the delivery itself must not suffer.
        """
        try:
            self._note(claimed, config, failure)
        except Exception:
            log.exception("shaping broke id=%s", claimed.id)

    def _note(self, claimed: Delivery, config: Config, failure: AttemptFailed) -> None:
        reasons = failure.reasons
        site = reasons.provider or reasons.site
        if failure.category != "smtp" or not site:
            return
        refusal = Refusal(
            zone=claimed.zone,
            site=site,
            provider=reasons.provider,
            source=reasons.pool_address,
            tenant=claimed.tenant,
            category=category_of(failure),
            reply=str(failure.reply),
            delivery=claimed.id,
        )
        for rule in matching(config.shaping, refusal):
            try:
                self._follow(rule, refusal)
            except StoreUnavailable as error:
                # The next such reply leads to it.
                log.warning("measure not taken rule=%s error=%s", rule.name, error)

    def _follow(self, rule: ShapingRule, refusal: Refusal) -> None:
        now = self.now()
        measure = follow(rule, refusal, now)
        if rule.after is not None and not self.store.count(measure.id, rule.after, now):
            return
        taken = self.store.take(measure)
        self._known.add(taken)
        metrics.MEASURES_TAKEN.labels(rule.name, rule.action).inc()
        log.warning(
            "measure rule=%s action=%s site=%s source=%s tenant=%s until=%s (%s)",
            *(rule.name, rule.action, taken.site, taken.source or "-"),
            *(taken.tenant or "-", taken.until.isoformat(), taken.cause),
        )

    def read(self) -> None:
        """Learn what is in force; while MongoDB is away, what was known stays."""
        self._known.read()

    def _run(self) -> None:
        while not self._stopping.wait(self.every_s):
            try:
                self.read()
            except Exception:
                log.exception("shaper broke")
