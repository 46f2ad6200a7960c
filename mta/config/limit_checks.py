"""Whether limits fit each other, and leave a way for the mail they are about."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TypeAlias

from mta.config.document import Document, Path, format_path
from mta.config.draft import Draft
from mta.config.sections import Read
from mta.config.values import IPAddress
from mta.config.wording import join_words, shorten, suggest
from mta.config.zones import DomainLimits, PoolAddress, Provider, SharedLimit, Zone

# A task has its connection in its hands meanwhile, and RabbitMQ waits half an hour
# for a task.
LONGEST_REST = timedelta(minutes=10)

Limited: TypeAlias = (
    Read[Zone] | Read[DomainLimits] | Read[Provider] | Read[PoolAddress]
)

_LIMITS = ("max_connections", "rate", "limits")


def check_limits(document: Document, draft: Draft) -> None:
    """Note every problem between the limits of a file."""
    for provider in draft.providers.values():
        value = provider.value
        also = bool(value.limits or value.reuse_count)
        _check_has_limit(document, provider, also=also)
    for shared in draft.limits.values():
        _check_has_limit(document, shared)
    for part in _limited(draft):
        _check_names(document, draft, part)
    for zone in draft.zones.values():
        _check_rest(document, zone)
    _check_overlaps(document, draft)
    _check_sources(document, draft)
    for domain in draft.domains.values():
        _check_disabled(document, draft, domain)


def _check_has_limit(
    document: Document,
    part: Read[Provider] | Read[SharedLimit],
    *,
    also: bool = False,
) -> None:
    is_limited = part.value.max_connections or part.value.rate or also
    if part.is_sure(*_LIMITS, "reuse_count") and not is_limited:
        message = "has no limit; give it max_connections, a rate or both"
        document.note_key(part.path, message)


def _limited(draft: Draft) -> Iterator[Limited]:
    """The parts that may name shared limits."""
    yield from draft.zones.values()
    yield from draft.domains.values()
    yield from draft.providers.values()
    for pool in draft.pools.values():
        yield from {entry.path: entry for entry in pool}.values()


def _check_names(document: Document, draft: Draft, part: Limited) -> None:
    """A shared limit that is named is there."""
    if "limits" in draft.doubtful:
        return
    for index, name in enumerate(part.value.limits):
        if name not in draft.limits:
            there = f"there are {join_words([*draft.limits][:10], 'and')}"
            hint = suggest(name, draft.limits) or (there if draft.limits else "")
            message = f"no limit is called {shorten(name)}; {hint or 'there are none'}"
            document.note(part.path_of("limits", index), message)


def _check_rest(document: Document, zone: Read[Zone]) -> None:
    rate = zone.value.connection_throttling
    if rate is not None and rate.interval > LONGEST_REST:
        message = (
            "would have a connection rest for more than ten minutes; what is slower "
            "is for throttling"
        )
        document.note((*zone.path, "connection_throttling"), message)


def _check_overlaps(document: Document, draft: Draft) -> None:
    """A host has one provider, or the order of the file would decide."""
    owners: dict[str, str] = {}
    for name, provider in draft.providers.items():
        for pattern in provider.value.mx:
            owners.setdefault(pattern, name)
    for name, provider in draft.providers.items():
        for index, pattern in enumerate(provider.value.mx):
            for wider in _at_or_above(pattern):
                other = owners.get(wider, name)
                if other != name:
                    message = f"{shorten(pattern)} is among {shorten(wider)} of {other}"
                    document.note(provider.path_of("mx", index), message)
                    break


def _at_or_above(pattern: str) -> Iterator[str]:
    """The patterns that match all that this one does."""
    yield pattern
    name = pattern.removeprefix("*.")
    while name:
        yield f"*.{name}"
        name = name.partition(".")[2]


def _check_sources(document: Document, draft: Draft) -> None:
    """An address in several pools is one address, with one limit."""
    seen: dict[IPAddress, Read[PoolAddress]] = {}
    for pool in draft.pools.values():
        for entry in pool:
            if not entry.is_sure(*_LIMITS):
                continue
            first = seen.setdefault(entry.value.address, entry)
            if _limits_of(first) != _limits_of(entry):
                place = format_path(first.path)
                message = f"{entry.value.address} has other limits in {place}"
                document.note((*entry.path, "address"), message)


def _limits_of(entry: Read[PoolAddress]) -> tuple[object, ...]:
    return tuple(getattr(entry.value, name) for name in _LIMITS)


def _check_disabled(
    document: Document, draft: Draft, domain: Read[DomainLimits]
) -> None:
    """Every zone must be left an address to send from."""
    disabled = set(domain.value.disabled_addresses)
    if not disabled or "pools" in draft.doubtful:
        return
    path: Path = (*domain.path, "disabled_addresses")
    for name, zone in draft.zones.items():
        usable = set(_usable(draft, zone))
        if usable and usable <= disabled:
            message = f"zone {name} has no other address in its pool"
            document.note(path, f"{message} {zone.value.pool}")


def _usable(draft: Draft, zone: Read[Zone]) -> Iterator[IPAddress]:
    """What a zone may send from; nothing if that is not known."""
    ignores_ipv6 = zone.value.ignore_ipv6
    if ignores_ipv6 is None:
        ignores_ipv6 = draft.dns.value.ignore_ipv6
    if zone.value.disabled or not zone.is_sure("pool", "ignore_ipv6"):
        return
    for entry in draft.pools.get(zone.value.pool or "", ()):
        has_share = entry.value.ratio != 0
        if has_share and not (ignores_ipv6 and entry.value.address.version == 6):
            yield entry.value.address
