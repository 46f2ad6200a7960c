import pytest

from mta.config.live import Live
from mta.relay.held import Endings
from mta.relay.pool import SessionPool
from mta.relay.rations import Rations
from mta.relay.relay import Clockwork, Relay
from mta.relay.sources import Sources
from tests.unit.relay.fakes import (
    CONFIG,
    NOW,
    SECOND,
    Book,
    Clock,
    FakeLimits,
    FakeTargets,
    HeldBack,
)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limits():
    return FakeLimits()


@pytest.fixture
def freed():
    """What the relay said to be free and waited for, call by call."""
    return []


@pytest.fixture
def a_relay(clock, limits, freed):
    """Build a relay over fakes; sessions end at once unless told otherwise."""

    def build(
        connector,
        targets=None,
        *,
        config=CONFIG,
        measures=(),
        held_back=None,
        book=None,
        start_thread=None,
        farewell=SECOND,
    ):
        targets = targets or FakeTargets("192.0.2.1", "192.0.2.2")
        return Relay(
            config=Live(config),
            sources=Sources(
                targets=targets,
                held_back=HeldBack(measures) if held_back is None else held_back,
                rations=Rations(book or Book(), lambda: NOW),
                now=lambda: NOW,
            ),
            connector=connector,
            limits=limits,
            on_free=lambda keys: freed.append(list(keys)),
            pool=SessionPool(monotonic=clock, start_thread=lambda run: None),
            endings=Endings(
                start_thread=start_thread or (lambda run: run()), monotonic=clock
            ),
            clockwork=Clockwork(
                farewell=farewell,
                monotonic=clock,
                sleep=clock.sleep,
            ),
        )

    return build
