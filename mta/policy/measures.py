"""Measures: what is held back from a destination for a while, and why.

A measure follows from a reply that a rule knows (``follow``), or an operator takes it.
It is about one *site*, the hosts that receive for a domain, and may be about one of our
addresses or one tenant alone. Whoever is about to send looks at those in force
(``Board``): an address that rests is not chosen, mail to a site that is suspended
waits, and one that is slowed counts against a limit of the measure's own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, TypeAlias

from mta.config.values import Rate
from mta.config.zones import ShapingRule
from mta.policy.classify import MAX_SEARCHED
from mta.policy.limits import Pace, Slot, bounded_key, limit_key

Action: TypeAlias = Literal["rest", "suspend", "slow"]

MANUAL = "manual"  # the rule of what an operator did
MAX_CAUSE = 500  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure. Instants are aware UTC.

    Attributes:
        site: A provider's name, or as ``site_of`` names it, or a recipient domain;
            ``ANY``: wherever mail goes.
        source: The address of ours it is about; "": all.
        tenant: Whose mail it is about; "": everybody's.
        rate, max_connections: Of a measure that slows.
        cause: The reply that led to it, or an operator's reason.
        rule: Its name; ``MANUAL`` if there is none.
        is_pinned: It holds until somebody clears it.
        hits: Replies that led to it so far.
        delivery: The one of which the last reply spoke.
    """

    action: Action
    site: str
    since: datetime
    until: datetime
    cause: str
    rule: str
    source: str = ""
    tenant: str = ""
    rate: Rate | None = None
    max_connections: int | None = None
    is_pinned: bool = False
    hits: int = 1
    delivery: str = ""

    @property
    def id(self) -> str:
        """Its name: of the same rule, about the same, there is one at a time."""
        about = "\0".join((self.rule, self.site, self.source, self.tenant))
        return blake2b(about.encode("utf-8", "replace"), digest_size=8).hexdigest()

    def is_in_force(self, now: datetime) -> bool:
        """Whether it holds now."""
        return self.is_pinned or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A reply that did not take a message, and what it was about.

    Attributes:
        category: As ``category_of`` says.
        source: Our address; "" if the system chose it.
        delivery: The id of the one that it was about.
        provider: The site's, if it is known as one.
    """

    zone: str
    site: str
    provider: str
    source: str
    tenant: str
    category: str
    reply: str
    delivery: str


def matching(
    rules: Mapping[str, ShapingRule], refusal: Refusal
) -> Iterator[ShapingRule]:
    """Find the rules that a reply is for, in the order of the file."""
    for rule in rules.values():
        if not rule.disabled and _is_for(rule, refusal):
            yield rule


def follow(rule: ShapingRule, refusal: Refusal, now: datetime) -> Measure:
    """What a rule makes of a reply."""
    return Measure(
        action=rule.action,
        site=refusal.site,
        source=refusal.source,
        tenant=refusal.tenant if rule.per_tenant else "",
        rate=rule.rate,
        max_connections=rule.max_connections,
        since=now,
        until=now + rule.duration,
        cause=refusal.reply[:MAX_CAUSE],
        rule=rule.name,
        delivery=refusal.delivery,
    )


class Board:
    """All measures of one moment, by site."""

    def __init__(self, measures: Iterable[Measure] = ()) -> None:
        self._by_site: dict[str, list[Measure]] = {}
        for measure in measures:
            self._by_site.setdefault(measure.site, []).append(measure)

    def __bool__(self) -> bool:
        return bool(self._by_site)

    def with_(self, measure: Measure) -> "Board":
        """The board with one more, or with a later word on one that it has."""
        others = (m for same in self._by_site.values() for m in same)
        return Board([*(m for m in others if m.id != measure.id), measure])

    def at(
        self, sites: Iterable[str], *, tenant: str, now: datetime
    ) -> Sequence[Measure]:
        """List those in force for a tenant's mail to a place.

        Args:
            sites: The names it goes by.
        """
        return [
            measure
            for site in (*sites, ANY)
            for measure in self._by_site.get(site, ())
            if measure.tenant in ("", tenant) and measure.is_in_force(now)
        ]


ANY = "*"
EMPTY = Board()


def resting(measures: Iterable[Measure]) -> dict[str, Measure]:
    """The addresses that rest, each with the measure that says so."""
    return {m.source: m for m in measures if m.action == "rest" and m.source}


def suspension(measures: Iterable[Measure], source: str) -> Measure | None:
    """The longest measure by which nothing may leave from ``source``."""
    found = [
        measure
        for measure in measures
        if measure.action == "suspend" and measure.source in ("", source)
    ]
    return max(found, key=lambda m: (m.is_pinned, m.until), default=None)


def limits_of(
    measures: Iterable[Measure], source: str
) -> tuple[tuple[Slot, ...], tuple[Pace, ...]]:
    """What else a session from ``source`` counts against."""
    slow = [m for m in measures if m.action == "slow" and m.source in ("", source)]
    slots = tuple(
        Slot(limit_key("measure", m.id), m.max_connections)
        for m in slow
        if m.max_connections is not None
    )
    paces = tuple(
        Pace(limit_key("measure", m.id), m.rate) for m in slow if m.rate is not None
    )
    return slots, paces


def site_of(hosts: Iterable[str]) -> str:
    """Name the place where a domain's mail goes by all the hosts that take it."""
    return bounded_key("+".join(sorted(hosts)))


def _is_for(rule: ShapingRule, refusal: Refusal) -> bool:
    if rule.zones and refusal.zone not in rule.zones:
        return False
    if rule.providers and refusal.provider not in rule.providers:
        return False
    if rule.category and refusal.category not in rule.category:
        return False
    if rule.action == "rest" and not refusal.source:
        return False  # there is no other to take its place
    if rule.reply is None:
        return True
    return _compile(rule.reply).search(refusal.reply[:MAX_SEARCHED]) is not None


@lru_cache(maxsize=1000)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
