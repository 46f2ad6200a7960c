"""The composition root of the outbound network; ``wiring`` builds the rest."""

import functools
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from mta.config.live import Live
from mta.config.settings import Settings
from mta.config.zones import Config, DnsConfig, PoolAddress, TimeoutsConfig
from mta.relay.clockwork import Clockwork
from mta.relay.connect import Connector
from mta.relay.held import Endings
from mta.relay.hosts import LiveTargets, TargetFinder
from mta.relay.names import PATIENCE, EhloNames
from mta.relay.pool import SessionPool
from mta.relay.rations import Rations
from mta.relay.relay import Relay
from mta.relay.resolver import Resolver
from mta.relay.security import Security
from mta.relay.sources import HeldBack, Sources
from mta.relay.wire import Timeouts
from mta.store.limits import Limits
from mta.store.warmup import WarmupBook
from mta.wiring_tls import resolver_of


def build_relay(
    settings: Settings,
    config: Live[Config],
    limits: Limits,
    *,
    security: Security,
    book: WarmupBook,
    held_back: HeldBack,
    on_free: Callable[[Sequence[str]], None],
    now: Callable[[], datetime],
) -> Relay:
    """The outbound network.

    Args:
        security: What sessions have to be.
        book: Keeps the counts of addresses that warm up.
        held_back: Knows the measures in force.
        on_free: Told of limits that have a slot again and are waited for.
    """
    targets = live_targets(settings, config)
    return Relay(
        config=config,
        sources=Sources(
            targets=targets,
            held_back=held_back,
            rations=Rations(book, now),
            now=now,
        ),
        connector=Connector(
            security=security,
            name_of=live_names(settings, config),
            timeouts=live_timeouts(config),
        ),
        limits=limits,
        on_free=on_free,
        pool=SessionPool(),
        endings=Endings(),
        clockwork=Clockwork(),
    )


def live_names(
    settings: Settings, config: Live[Config]
) -> Callable[[PoolAddress | None], str]:
    """What we call ourselves, by the address that we speak from."""
    names = config.derive(lambda said: _ehlo_names(said.dns, settings.hostname))

    def name_of(source: PoolAddress | None) -> str:
        return names.current(source)

    return name_of


def live_timeouts(config: Live[Config]) -> Live[Timeouts]:
    """How long next hops are waited for."""
    return config.derive(lambda said: _timeouts(said.timeouts))


def _timeouts(said: TimeoutsConfig) -> Timeouts:
    return Timeouts(**{name: getattr(said, name) for name in type(said).model_fields})


def live_targets(settings: Settings, config: Live[Config]) -> LiveTargets:
    """What finds where mail goes."""
    return LiveTargets(config.derive(partial(_find_targets, settings)))


def _find_targets(settings: Settings, config: Config) -> TargetFinder:
    ours = [address for zone in config.zones.values() for address in zone.addresses]
    own_names = {settings.hostname, *(address.name for address in ours if address.name)}
    return TargetFinder(
        names=resolver_of(settings, config.dns),
        dns=config.dns,
        shuffle=lambda records: random.sample(records, len(records)),
        own_names=frozenset(name.lower() for name in own_names),
        own_addresses=frozenset(address.address for address in ours),
        sandbox=settings.sandbox,
        limits_of=config.domain_limits,
    )


@functools.lru_cache(maxsize=1)
def _ehlo_names(dns: DnsConfig, hostname: str) -> EhloNames:
    timeout = min(dns.timeout, PATIENCE)
    resolver = Resolver(dns.nameservers, timeout=timeout, cache_ttl=dns.cache_ttl)
    return EhloNames(resolver, hostname)
