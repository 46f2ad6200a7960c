"""The composition root: builds stores and adapters and hands them over.

The only reader of the clock, and the only place where rooms meet. Build once per
process, after monkey patching and after any fork.
"""

import functools
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from flask import Flask

from mta.api.app import create_app
from mta.api.aside import aside
from mta.config.settings import Settings, limits_url
from mta.config.zones import Config
from mta.intake.accept import Intake
from mta.intake.expand import Expander
from mta.intake.http_auth import HttpAuth
from mta.intake.ids import MessageIds
from mta.intake.login import Logins
from mta.intake.pressure import PressureMonitor
from mta.intake.route import Routing
from mta.observe.memory import free_memory
from mta.operate.look import Look
from mta.operate.steer import Steer
from mta.policy.fairness import choose_lane
from mta.policy.logins import FailedLogins
from mta.policy.routing import Router
from mta.relay.connect import Connector
from mta.relay.held import Endings
from mta.relay.hosts import TargetFinder
from mta.relay.pool import SessionPool
from mta.relay.relay import Clockwork, Relay
from mta.relay.resolver import Resolver
from mta.relay.wire import Timeouts
from mta.store.census import Census
from mta.store.clock import DatabaseClock
from mta.store.deliveries import Deliveries
from mta.store.due import Due
from mta.store.inbox import Inbox
from mta.store.leader import Leadership
from mta.store.limits import Limits
from mta.store.messages import Messages
from mta.store.mongo import SPOOL_BUCKET, Mongo, connect, ensure_indexes
from mta.store.parking import ChooseLane, Parking
from mta.store.spool import Spool
from mta.store.steering import Steering
from mta.store.usage import Usage
from mta.store.users import Users
from mta.store.vitals import QueueVitals
from mta.store.workers import Workers
from mta.worker.attempt import Attempts
from mta.worker.celery import app
from mta.worker.doorbell import MAINTENANCE_QUEUE, Doorbell
from mta.worker.handover import HandOver
from mta.worker.leases import Leases
from mta.worker.library import Library
from mta.worker.life import Life
from mta.worker.mender import Mender
from mta.worker.outcome import Judge
from mta.worker.register import Register
from mta.worker.ringer import Ringer
from mta.worker.scheduler import Scheduler
from mta.worker.sweep import Sweeper
from mta.worker.watch import Watch

# Fairness needs no secrets: anybody may know whose turn it was.
_lottery = random.Random()  # noqa: S311

DEFAULT_MONGO_URI = "mongodb://127.0.0.1:27017/mta"


@functools.cache
def open_database(settings: Settings) -> Mongo:
    """Connect, lazily, to the database of ``MTA_MONGO_URI``; one client a process."""
    name = f"mta {settings.process_name}"
    return connect(settings.mongo_uri or DEFAULT_MONGO_URI, name=name)


@functools.cache
def open_clock(settings: Settings) -> DatabaseClock:
    """What tells this process the time; one a process, as the database."""
    db = open_database(settings)
    return DatabaseClock(db, wall=_wall, monotonic=time.monotonic)


def _wall() -> datetime:
    return datetime.now(UTC)


def prepare_database(settings: Settings) -> None:
    """Create the indexes, and set the clock; every process may do it at its start.

    Raises:
        StoreUnavailable: MongoDB does not answer.
    """
    ensure_indexes(open_database(settings))
    open_clock(settings).adjust()


def build_intake(settings: Settings, config: Config) -> Intake:
    """What both doors hand their messages to."""
    db = open_database(settings)
    messages = Messages(db)
    deliveries = Deliveries(db, lease=config.queue.lease)
    return Intake(
        config=config,
        hostname=settings.hostname,
        ids=MessageIds(),
        routing=Routing(config, Router(config)),
        spool=Spool(db, SPOOL_BUCKET),
        messages=messages,
        expander=Expander(
            deliveries, messages, Doorbell(app, by="intake"), config.connections_of
        ),
        now=open_clock(settings).now,
    )


def build_logins(settings: Settings, config: Config) -> Logins:
    """Who may log in at the SMTP door."""
    db = open_database(settings)
    url = config.users.http_auth
    return Logins(
        Users(db),
        FailedLogins(),
        usage=Usage(db),
        http=HttpAuth(url) if url else None,
        aside=aside,
        now=open_clock(settings).now,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )


def build_look(settings: Settings, config: Config) -> Look:
    """Read access for API, dashboard and command line."""
    db = open_database(settings)
    doorbell = Doorbell(app, by="nobody")
    return Look(
        config=config,
        db=db,
        messages=Messages(db),
        census=Census(db),
        spool=Spool(db, SPOOL_BUCKET),
        ask_broker=lambda: doorbell.depth(MAINTENANCE_QUEUE) is not None,
    )


def build_steer(settings: Settings, config: Config) -> Steer:
    """What operators do to deliveries."""
    db = open_database(settings)
    return Steer(
        steering=Steering(db),
        census=Census(db),
        messages=Messages(db),
        keep_records=config.queue.keep_records,
        now=open_clock(settings).now,
    )


def build_inbox(settings: Settings) -> Inbox:
    """The sandbox's inbox."""
    return Inbox(open_database(settings))


def build_pressure(settings: Settings, config: Config) -> PressureMonitor:
    """What keeps a door from taking more mail than can be held; not started yet."""
    return PressureMonitor(
        QueueVitals(open_database(settings)),
        config.pressure,
        monotonic=time.monotonic,
        free_memory=free_memory,
    )


def build_api(
    settings: Settings, config: Config, pressure: PressureMonitor | None = None
) -> Flask:
    """The HTTP API with the dashboard."""
    return create_app(
        pressure=pressure,
        config=config,
        settings=settings,
        intake=build_intake(settings, config),
        look=build_look(settings, config),
        steer=build_steer(settings, config),
        inbox=build_inbox(settings) if settings.sandbox else None,
        now=open_clock(settings).now,
    )


def build_worker(settings: Settings, config: Config) -> Life:
    """What a worker's deliveries are tried with, and what runs beside them."""
    db = open_database(settings)
    deliveries = Deliveries(db, lease=config.queue.lease)
    leases = Leases(deliveries)
    clock = open_clock(settings)
    limits = Limits(limits_url(settings))
    handover = HandOver(
        limits,
        Parking(db, deliveries, lane_chooser(config)),
        Doorbell(app, by="worker"),
        clock.now,
    )
    relay = build_relay(settings, config, limits, on_free=handover.ring_next)
    owner = owner_name()
    attempts = Attempts(
        deliveries=deliveries,
        judge=Judge(config),
        library=Library(Messages(db), Spool(db, SPOOL_BUCKET)),
        leases=leases,
        relay=relay,
        handover=handover,
        owner=owner,
        now=clock.now,
        spread=_lottery.random,
    )
    return Life(
        attempts=attempts,
        leases=leases,
        limits=limits,
        relay=relay,
        handover=handover,
        clock=clock,
        register=Register(
            Workers(db),
            owner=owner,
            host=socket.gethostname(),
            pid=os.getpid(),
            shares=limits,
            work=attempts.counts,
        ),
    )


def lane_chooser(config: Config) -> ChooseLane:
    """Draws whose turn it is, by the tenants' weights."""

    def choose(lanes: Sequence[str]) -> str:
        return choose_lane(
            lanes,
            weight_of=config.tenant_weight,
            floor=config.queue.transactional_share,
            draw=_lottery.random(),
        )

    return choose


def build_relay(
    settings: Settings,
    config: Config,
    limits: Limits,
    *,
    on_free: Callable[[Sequence[str]], None],
) -> Relay:
    """The outbound network.

    Args:
        on_free: Told of limits that have a slot again and are waited for.
    """
    timeouts = Timeouts()
    dns = config.dns
    resolver = Resolver(dns.nameservers, timeout=dns.timeout, cache_ttl=dns.cache_ttl)
    ours = [address for zone in config.zones.values() for address in zone.addresses]
    own_names = {settings.hostname, *(address.name for address in ours if address.name)}
    return Relay(
        config=config,
        targets=TargetFinder(
            names=resolver,
            dns=dns,
            shuffle=lambda records: random.sample(records, len(records)),
            own_names=frozenset(name.lower() for name in own_names),
            own_addresses=frozenset(address.address for address in ours),
            sandbox=settings.sandbox,
        ),
        connector=Connector(hostname=settings.hostname, timeouts=timeouts),
        limits=limits,
        on_free=on_free,
        pool=SessionPool(),
        endings=Endings(),
        clockwork=Clockwork(budget=timeouts.attempt),
    )


def build_sweeper(settings: Settings, config: Config) -> Sweeper:
    """What the maintenance worker deletes with."""
    db = open_database(settings)
    return Sweeper(
        messages=Messages(db),
        spool=Spool(db, SPOOL_BUCKET),
        queue=config.queue,
        now=open_clock(settings).now,
    )


def build_scheduler(settings: Settings, config: Config) -> Scheduler:
    """One replica of the scheduler."""
    db = open_database(settings)
    messages = Messages(db)
    deliveries = Deliveries(db, lease=config.queue.lease)
    due = Due(db, grace=deliveries.grace)
    doorbell = Doorbell(app, by="scheduler")
    return Scheduler(
        due=due,
        ringer=Ringer(due=due, broker=doorbell, config=config),
        mender=Mender(
            due=due,
            parking=Parking(db, deliveries, lane_chooser(config)),
            judge=Judge(config),
        ),
        watch=Watch(due=due, workers=Workers(db), broker=doorbell, config=config),
        census=Census(db),
        messages=messages,
        expander=Expander(deliveries, messages, doorbell, config.connections_of),
        broker=doorbell,
        leadership=Leadership(db, role="scheduler", owner=owner_name()),
        prepare=lambda: prepare_database(settings),
        config=config,
        now=open_clock(settings).now,
        vitals=QueueVitals(db),
    )


def owner_name() -> str:
    """A name for this process in leases; unique over hosts and restarts."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
