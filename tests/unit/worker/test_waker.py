"""What is woken when limits were raised."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.config.values import Rate
from mta.config.zones import Config, DomainLimits, Zone
from mta.worker.waker import Waker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARKED_FOR = ["domain:a:b.test", "domain:other:b.test", "zone:a"]


class Recorder:
    """Rows and bells in one; remembers what was asked of it."""

    def __init__(self):
        self.rung = []
        self.ended = []

    def parked_for(self):
        return PARKED_FOR

    def end_turns(self, zone, now):
        self.ended.append((zone, now))
        return 0

    def ring_next(self, keys):
        self.rung += keys


@pytest.fixture
def recorder():
    return Recorder()


def config(connections=2, most=3, **zone):
    return Config(
        zones={"a": Zone(name="a", connections=connections, **zone)},
        domains={"default": DomainLimits(max_connections=most)},
    )


def wake(recorder, old, new):
    Waker(recorder, recorder, lambda: NOW).wake(["a"], old, new)


def test_as_many_are_woken_as_there_are_new_slots(recorder):
    """Of the zones that this worker serves; others see to their own."""
    wake(recorder, config(), config(connections=3, most=5))

    assert recorder.rung == ["domain:a:b.test"] * 2 + ["zone:a"]


def test_a_lowered_limit_wakes_nobody(recorder):
    """There is nothing to be had."""
    wake(recorder, config(), config(connections=1, most=1))

    assert recorder.rung == []


def test_mail_that_a_rate_put_off_asks_again(recorder):
    """Its time was reckoned by a rate that holds no more."""
    minute = timedelta(minutes=1)
    slow, fast = (config(throttling=Rate(count, minute)) for count in (1, 100))

    wake(recorder, slow, fast)

    assert recorder.ended == [("a", NOW)]


def test_another_kind_of_change_moves_no_mail(recorder):
    """A reload of nothing that limits costs nothing."""
    wake(recorder, config(), config().model_copy(update={"tenants": {}}))

    assert (recorder.rung, recorder.ended) == ([], [])
