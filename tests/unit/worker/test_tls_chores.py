"""What the leader does for TLS aside: one run at a time, and no longer than it may."""

import pytest

from mta.errors import StoreUnavailable
from mta.worker.tls_chores import REFRESH_RETRY, RUN_FOR_S, TlsChores
from tests.unit.relay.fakes import NOW, Clock


class World:
    """Policies that are old, and reports that are due."""

    def __init__(self):
        self.clock = Clock()
        self.threads = []
        self.old = ["a.test", "b.test"]
        self.broken = set()
        self.refreshed = []
        self.later = {}
        self.runs = 0
        self.trouble = None
        self.costs_s = 0.0

    def chores(self):
        return TlsChores(
            policies=self,
            store=self,
            reports=self,
            now=lambda: NOW,
            monotonic=self.clock,
            start_thread=self.threads.append,
        )

    def due(self, now, *, limit):
        if self.trouble:
            raise self.trouble
        return self.old[:limit]

    def refresh(self, domain):
        self.clock.now += self.costs_s
        self.refreshed.append(domain)
        return domain not in self.broken

    def put_off(self, domain, until):
        self.later[domain] = until

    def send_due(self, is_over):
        self.runs += not is_over()
        return 0


@pytest.fixture
def world():
    return World()


def test_policies_are_renewed_and_reports_sent(world):
    """In a thread of their own: a tick does not wait for strangers."""
    world.chores().start()

    assert (world.refreshed, world.runs) == ([], 0)

    world.threads.pop()()

    assert (world.refreshed, world.runs) == (["a.test", "b.test"], 1)


def test_there_is_one_run_at_a_time(world):
    """However often the leader asks."""
    chores = world.chores()
    for _ in range(3):
        chores.start()
    [run] = world.threads
    run()
    chores.start()

    assert len(world.threads) == 2


def test_what_cannot_be_renewed_is_put_off(world):
    """It must not keep others waiting."""
    world.broken = {"a.test"}
    world.chores().start()
    world.threads.pop()()

    assert world.later == {"a.test": NOW + REFRESH_RETRY}
    assert world.refreshed == ["a.test", "b.test"]


def test_a_run_ends_in_time(world):
    """What is left, the next one does."""
    world.costs_s = RUN_FOR_S + 1
    world.chores().start()
    world.threads.pop()()

    assert (world.refreshed, world.runs) == (["a.test"], 0)


@pytest.mark.parametrize("trouble", [StoreUnavailable("gone"), KeyError("bug")])
def test_trouble_ends_a_run_and_not_the_next(world, trouble):
    """Nobody watches the thread."""
    chores = world.chores()
    world.trouble = trouble
    chores.start()
    world.threads.pop()()
    world.trouble = None
    chores.start()
    world.threads.pop()()

    assert world.runs == 1


def test_a_thread_that_does_not_start_holds_nothing(world):
    """The system may have none left."""
    chores = world.chores()
    chores.start_thread = lambda run: (_ for _ in ()).throw(RuntimeError("no thread"))
    with pytest.raises(RuntimeError):
        chores.start()
    chores.start_thread = world.threads.append
    chores.start()

    assert len(world.threads) == 1
