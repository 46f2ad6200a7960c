"""The composition root of the outbound network; ``wiring`` builds the rest."""

import functools
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from mta.config.live import Live
from mta.config.settings import Settings
from mta.config.zones import Config, DnsConfig, PoolAddress
from mta.relay.clockwork import Clockwork
from mta.relay.connect import Connector
from mta.relay.held import Endings
from mta.relay.hosts import LiveTargets, TargetFinder
from mta.relay.names import PATIENCE, EhloNames
from mta.relay.pool import SessionPool
from mta.relay.rations import Rations
from mta.relay.relay import Relay
from mta.relay.resolver import Resolver
from mta.relay.sources import HeldBack, Sources
from mta.relay.wire import Timeouts
from mta.store.limits import Limits
from mta.store.warmup import WarmupBook


def build_relay(
    settings: Settings,
    config: Live[Config],
    limits: Limits,
    *,
    book: WarmupBook,
    held_back: HeldBack,
    on_free: Callable[[Sequence[str]], None],
    now: Callable[[], datetime],
) -> Relay:
    """The outbound network.

    Args:
        book: Keeps the counts of addresses that warm up.
        held_back: Knows the measures in force.
        on_free: Told of limits that have a slot again and are waited for.
    """
    timeouts = Timeouts()
    names = config.derive(lambda said: _ehlo_names(said.dns, settings.hostname))

    def name_of(source: PoolAddress | None) -> str:
        return names.current(source)

    return Relay(
        config=config,
        sources=Sources(
            targets=live_targets(settings, config),
            held_back=held_back,
            rations=Rations(book, now),
            now=now,
        ),
        connector=Connector(name_of=name_of, timeouts=timeouts),
        limits=limits,
        on_free=on_free,
        pool=SessionPool(),
        endings=Endings(),
        clockwork=Clockwork(budget=timeouts.attempt),
    )


def live_targets(settings: Settings, config: Live[Config]) -> LiveTargets:
    """What finds where mail goes."""
    return LiveTargets(config.derive(partial(_find_targets, settings)))


def _find_targets(settings: Settings, config: Config) -> TargetFinder:
    ours = [address for zone in config.zones.values() for address in zone.addresses]
    own_names = {settings.hostname, *(address.name for address in ours if address.name)}
    return TargetFinder(
        names=_resolver(config.dns),
        dns=config.dns,
        shuffle=lambda records: random.sample(records, len(records)),
        own_names=frozenset(name.lower() for name in own_names),
        own_addresses=frozenset(address.address for address in ours),
        sandbox=settings.sandbox,
    )


@functools.lru_cache(maxsize=1)
def _ehlo_names(dns: DnsConfig, hostname: str) -> EhloNames:
    timeout = min(dns.timeout, PATIENCE)
    resolver = Resolver(dns.nameservers, timeout=timeout, cache_ttl=dns.cache_ttl)
    return EhloNames(resolver, hostname)


@functools.lru_cache(maxsize=1)  # a reload about something else forgets no answers
def _resolver(dns: DnsConfig) -> Resolver:
    return Resolver(dns.nameservers, timeout=dns.timeout, cache_ttl=dns.cache_ttl)
