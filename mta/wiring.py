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
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from flask import Flask

from mta.api.app import create_app
from mta.api.aside import aside
from mta.config.live import Live
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
from mta.operate.measures import Shaping
from mta.operate.steer import Steer
from mta.policy.fairness import choose_lane
from mta.policy.logins import FailedLogins
from mta.policy.routing import Router
from mta.relay.sources import OTHERS
from mta.store.census import Census
from mta.store.clock import DatabaseClock
from mta.store.deliveries import Deliveries
from mta.store.due import Due
from mta.store.inbox import Inbox
from mta.store.leader import Leadership
from mta.store.limits import Limits
from mta.store.measures import Measures
from mta.store.messages import Messages
from mta.store.mongo import SPOOL_BUCKET, Mongo, connect, ensure_indexes
from mta.store.parking import ChooseLane, Parking
from mta.store.spool import Spool
from mta.store.steering import Steering
from mta.store.transcripts import Transcripts
from mta.store.usage import Usage
from mta.store.users import Users
from mta.store.vitals import QueueVitals
from mta.store.warmup import WarmupBook
from mta.store.workers import Workers
from mta.wiring_asking import build_explain
from mta.wiring_content import build_requests
from mta.wiring_relay import build_relay, live_targets
from mta.wiring_tls import build_chores, build_security
from mta.worker.attempt import Attempts
from mta.worker.celery import app
from mta.worker.doorbell import MAINTENANCE_QUEUE, Doorbell
from mta.worker.handover import HandOver
from mta.worker.leases import Leases
from mta.worker.life import Life
from mta.worker.mender import Mender
from mta.worker.outcome import Judge
from mta.worker.register import Register
from mta.worker.ringer import Ringer
from mta.worker.scheduler import Scheduler
from mta.worker.shaper import KNOWN_IN as MEASURES_KNOWN_IN
from mta.worker.shaper import Shaper
from mta.worker.sweep import Sweeper
from mta.worker.waker import Waker
from mta.worker.watch import Watch
from mta.worker.witness import Witness

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


def count_live_in(settings: Settings) -> Callable[[Collection[str]], dict[str, int]]:
    """Counts the mail that is not finished in each of some zones, if there is any."""
    return Census(open_database(settings)).count_live_in


def build_intake(settings: Settings, config: Live[Config]) -> Intake:
    """What both doors hand their messages to."""
    db = open_database(settings)
    messages = Messages(db)
    deliveries = Deliveries(db, lease=config.current.queue.lease)
    return Intake(
        config=config,
        hostname=settings.hostname,
        ids=MessageIds(),
        routing=build_routing(config),
        spool=Spool(db, SPOOL_BUCKET),
        messages=messages,
        expander=Expander(
            deliveries,
            messages,
            Doorbell(app, by="intake"),
            connections_in(config),
        ),
        now=open_clock(settings).now,
    )


def build_logins(settings: Settings, config: Live[Config]) -> Logins:
    """Who may log in at the SMTP door."""
    db = open_database(settings)
    return Logins(
        Users(db),
        FailedLogins(),
        usage=Usage(db),
        http=config.derive(_http_auth),
        aside=aside,
        now=open_clock(settings).now,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )


def _http_auth(config: Config) -> HttpAuth | None:
    return HttpAuth(config.users.http_auth) if config.users.http_auth else None


def build_look(settings: Settings, config: Live[Config]) -> Look:
    """Read access for API, dashboard and command line."""
    db = open_database(settings)
    doorbell = Doorbell(app, by="nobody")
    return Look(
        config=config,
        db=db,
        messages=Messages(db),
        census=Census(db),
        spool=Spool(db, SPOOL_BUCKET),
        transcripts=Transcripts(db),
        ask_broker=lambda: doorbell.depth(MAINTENANCE_QUEUE) is not None,
    )


def build_steer(settings: Settings, config: Live[Config]) -> Steer:
    """What operators do to deliveries."""
    db = open_database(settings)
    return Steer(
        steering=Steering(db),
        census=Census(db),
        messages=Messages(db),
        keep_records=config.derive(lambda said: said.queue.keep_records),
        now=open_clock(settings).now,
    )


def build_shaping(settings: Settings, config: Live[Config]) -> Shaping:
    """What is held back, for API and dashboard."""
    db = open_database(settings)
    now = open_clock(settings).now
    deliveries = Deliveries(db, lease=config.current.queue.lease)
    parking = Parking(db, deliveries, lane_chooser(config))

    def wake() -> None:
        for zone in config.current.zones:
            parking.end_turns(zone, now(), now() + MEASURES_KNOWN_IN)

    return Shaping(
        config=config,
        measures=Measures(db),
        book=WarmupBook(db),
        now=now,
        others=OTHERS,
        wake=wake,
    )


def build_routing(config: Live[Config]) -> Live[Routing]:
    """What chooses zones."""
    return config.derive(lambda said: Routing(said, Router(said)))


def build_inbox(settings: Settings) -> Inbox:
    """The sandbox's inbox."""
    return Inbox(open_database(settings))


def build_pressure(settings: Settings, config: Live[Config]) -> PressureMonitor:
    """What keeps a door from taking more mail than can be held; not started yet."""
    return PressureMonitor(
        QueueVitals(open_database(settings)),
        config.derive(lambda said: said.pressure),
        monotonic=time.monotonic,
        free_memory=free_memory,
    )


def build_api(
    settings: Settings, config: Live[Config], pressure: PressureMonitor | None = None
) -> Flask:
    """The HTTP API with the dashboard."""
    return create_app(
        pressure=pressure,
        config=config,
        settings=settings,
        intake=build_intake(settings, config),
        look=build_look(settings, config),
        steer=build_steer(settings, config),
        shaping=build_shaping(settings, config),
        explain=build_explain(
            settings,
            config,
            build_routing(config),
            db=open_database(settings),
            now=open_clock(settings).now,
        ),
        inbox=build_inbox(settings) if settings.sandbox else None,
        now=open_clock(settings).now,
    )


def build_worker(settings: Settings, config: Live[Config]) -> Life:
    """What a worker's deliveries are tried with, and what runs beside them."""
    db = open_database(settings)
    deliveries = Deliveries(db, lease=config.current.queue.lease)
    leases = Leases(deliveries)
    clock = open_clock(settings)
    limits = Limits(limits_url(settings))
    parking = Parking(db, deliveries, lane_chooser(config))
    handover = HandOver(
        limits,
        parking,
        Doorbell(app, by="worker"),
        clock.now,
    )
    shaper = Shaper(store=Measures(db), now=clock.now)
    relay = build_relay(
        settings,
        config,
        limits,
        security=build_security(
            settings, config, live_targets(settings, config), db, now=clock.now
        ),
        book=WarmupBook(db),
        held_back=shaper,
        on_free=handover.ring_next,
        now=clock.now,
    )
    owner = owner_name()
    attempts = Attempts(
        deliveries=deliveries,
        judge=config.derive(Judge),
        requests=build_requests(db, config, deliveries, leases, clock.now),
        leases=leases,
        relay=relay,
        shaper=shaper,
        handover=handover,
        witness=Witness(Transcripts(db), lambda: config.current.queue.keep_transcripts),
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
        shaper=shaper,
        waker=Waker(parking, handover, clock.now),
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


def connections_in(config: Live[Config]) -> Callable[[str], int]:
    """How many connections a zone has now."""

    def connections_of(zone: str) -> int:
        return config.current.connections_of(zone)

    return connections_of


def lane_chooser(config: Live[Config]) -> ChooseLane:
    """Draws whose turn it is, by the tenants' weights."""

    def choose(lanes: Sequence[str]) -> str:
        said = config.current
        return choose_lane(
            lanes,
            weight_of=said.tenant_weight,
            floor=said.queue.transactional_share,
            draw=_lottery.random(),
        )

    return choose


def build_sweeper(settings: Settings, config: Live[Config]) -> Sweeper:
    """What the maintenance worker deletes with."""
    db = open_database(settings)
    return Sweeper(
        messages=Messages(db),
        spool=Spool(db, SPOOL_BUCKET),
        queue=config.derive(lambda said: said.queue),
        now=open_clock(settings).now,
    )


def build_scheduler(settings: Settings, config: Live[Config]) -> Scheduler:
    """One replica of the scheduler."""
    db = open_database(settings)
    messages = Messages(db)
    deliveries = Deliveries(db, lease=config.current.queue.lease)
    due = Due(db, grace=deliveries.grace)
    doorbell = Doorbell(app, by="scheduler")
    return Scheduler(
        due=due,
        ringer=Ringer(due=due, broker=doorbell, config=config),
        mender=Mender(
            due=due,
            parking=Parking(db, deliveries, lane_chooser(config)),
            judge=config.derive(Judge),
        ),
        watch=Watch(due=due, workers=Workers(db), broker=doorbell, config=config),
        census=Census(db),
        messages=messages,
        expander=Expander(deliveries, messages, doorbell, connections_in(config)),
        broker=doorbell,
        leadership=Leadership(db, role="scheduler", owner=owner_name()),
        prepare=lambda: prepare_database(settings),
        config=config,
        now=open_clock(settings).now,
        vitals=QueueVitals(db),
        chores=build_chores(
            *(settings, config, live_targets(settings, config), db),
            build_intake(settings, config),
        ),
    )


def owner_name() -> str:
    """A name for this process in leases; unique over hosts and restarts."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
