"""The composition root of questions: what would be, asked of the code that does it."""

import time
from collections.abc import Callable
from datetime import datetime

from mta.config.live import Live
from mta.config.settings import Settings, limits_url
from mta.config.zones import Config
from mta.intake.route import Routing
from mta.operate.explain import Explain
from mta.relay.connect import Connector
from mta.relay.probe import Prober
from mta.relay.rations import Rations
from mta.relay.sources import Sources
from mta.store.census import Census
from mta.store.known_measures import KnownMeasures
from mta.store.limits_look import LimitsLook
from mta.store.measures import Measures
from mta.store.messages import Messages
from mta.store.mongo import Mongo
from mta.store.warmup import WarmupPeek
from mta.wiring_relay import live_names, live_targets, live_timeouts
from mta.wiring_tls import build_security


def build_explain(
    settings: Settings,
    config: Live[Config],
    routing: Live[Routing],
    *,
    db: Mongo,
    now: Callable[[], datetime],
) -> Explain:
    """Why mail goes as it goes."""
    targets = live_targets(settings, config)
    return Explain(
        routing=routing,
        messages=Messages(db),
        census=Census(db),
        open_sources=_peeking(settings, config, db=db, now=now),
        security=build_security(settings, config, targets, db, now=now),
        limits=LimitsLook(limits_url(settings)),
        now=now,
    )


def build_prober(
    settings: Settings,
    config: Live[Config],
    *,
    db: Mongo,
    now: Callable[[], datetime],
) -> Prober:
    """What tries destinations by hand."""
    security = build_security(
        settings, config, live_targets(settings, config), db, now=now
    )
    return Prober(
        sources=_peeking(settings, config, db=db, now=now)(),
        connector=Connector(
            security=security,
            name_of=live_names(settings, config),
            timeouts=live_timeouts(config),
        ),
        monotonic=time.monotonic,
    )


def _peeking(
    settings: Settings,
    config: Live[Config],
    *,
    db: Mongo,
    now: Callable[[], datetime],
) -> Callable[[], Sources]:
    """What chooses addresses by what is known now, and counts nothing."""
    known = KnownMeasures(Measures(db), now)
    targets = live_targets(settings, config)

    def open_sources() -> Sources:
        known.read()
        rations = Rations(WarmupPeek(db), now)
        return Sources(targets=targets, held_back=known, rations=rations, now=now)

    return open_sources
