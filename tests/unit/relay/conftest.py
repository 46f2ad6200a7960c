from datetime import timedelta

import pytest

from mta.config.zones import Config
from mta.relay.held import Endings
from mta.relay.pool import SessionPool
from mta.relay.relay import Clockwork, Relay
from tests.unit.relay.fakes import SECOND, Clock, FakeLimits, FakeTargets


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
        connector, targets=None, *, config=None, start_thread=None, farewell=SECOND
    ):
        return Relay(
            config=config or Config(),
            targets=targets or FakeTargets("192.0.2.1", "192.0.2.2"),
            connector=connector,
            limits=limits,
            on_free=lambda keys: freed.append(list(keys)),
            pool=SessionPool(monotonic=clock, start_thread=lambda run: None),
            endings=Endings(
                start_thread=start_thread or (lambda run: run()), monotonic=clock
            ),
            clockwork=Clockwork(
                budget=timedelta(minutes=15),
                farewell=farewell,
                monotonic=clock,
                sleep=clock.sleep,
            ),
        )

    return build
