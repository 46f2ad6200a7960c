"""Counting results of TLS: grouped, bounded, and only for who wants to know."""

from datetime import timedelta

import pytest

from mta.errors import StoreUnavailable, TransientFailure
from mta.policy.tls_report import Detail, Policy, Seen
from mta.policy.tls_results import TlsResult
from mta.relay import tls_tally
from mta.relay.tls_tally import TlsTally
from mta.reply import make_reply
from tests.unit.relay.fakes import NOW, Clock

WANTED = ("v=TLSRPTv1; rua=mailto:tls@d.test",)
OK = Detail(TlsResult.SUCCESS)


class World:
    """DNS, MongoDB and the clock.

    Attributes:
        written: Day, domain, result and count.
    """

    def __init__(self):
        self.texts = {"_smtp._tls.d.test": WANTED}
        self.written = []
        self.is_away = False
        self.now = NOW
        self.clock = Clock()
        self.threads = []
        self.asked = []

    def tally(self):
        return TlsTally(
            store=self,
            names=self,
            now=lambda: self.now,
            monotonic=self.clock,
            sleep=self.clock.sleep,
            start_thread=self.threads.append,
        )

    def find_texts(self, name):
        self.asked.append(name)
        found = self.texts.get(name, ())
        if found is None:
            raise TransientFailure(make_reply(450, "4.4.3", "x"), category="dns")
        return found

    def add(self, day, counts):
        if self.is_away:
            raise StoreUnavailable("gone")
        self.written += [
            (day.day, policy.domain, detail.result.value, count)
            for policy, details in counts.items()
            for detail, count in details.items()
        ]


@pytest.fixture
def world():
    return World()


def seen(domain="d.test", result="success"):
    return Seen(Policy("no-policy-found", domain), Detail(TlsResult(result)))


def test_many_results_are_one_write(world):
    """A campaign writes no more than a letter."""
    tally = world.tally()
    for _ in range(1000):
        tally.note(seen())
    tally.note(seen(result="certificate-expired"))
    tally.write()

    assert world.written == [
        (10, "d.test", "success", 1000),
        (10, "d.test", "certificate-expired", 1),
    ]
    assert world.asked == ["_smtp._tls.d.test"]


def test_nobody_is_told_of_a_domain_that_does_not_want_to_know(world):
    """Most do not."""
    tally = world.tally()
    tally.note(seen("other.test"))
    tally.write()

    assert world.written == []


def test_who_may_want_to_know_is_counted(world):
    """DNS did not tell: who sends the report asks again."""
    world.texts["_smtp._tls.d.test"] = None
    tally = world.tally()
    tally.note(seen())
    tally.write()

    assert world.written == [(10, "d.test", "success", 1)]


def test_a_result_belongs_to_its_day(world):
    """That of UTC on which it was seen, not written."""
    tally = world.tally()
    tally.note(seen())
    world.now += timedelta(days=1)
    tally.note(seen())
    tally.write()

    assert [day for day, *_ in world.written] == [10, 11]


def test_what_mongodb_does_not_take_is_kept(world):
    """Until it does."""
    tally = world.tally()
    tally.note(seen())
    world.is_away = True
    tally.write()
    world.is_away = False
    tally.note(seen())
    tally.write()

    assert world.written == [(10, "d.test", "success", 2)]


def test_there_is_a_thread_while_there_is_something_to_write(world):
    """One, which ends by itself."""
    tally = world.tally()
    for _ in range(3):
        tally.note(seen())
    [run] = world.threads
    run()

    assert world.written == [(10, "d.test", "success", 3)]
    assert world.clock.slept == [tls_tally.WRITE_EVERY_S]

    tally.note(seen())

    assert len(world.threads) == 2


def test_at_the_end_nobody_is_asked(world):
    """DNS may be what keeps the process from ending."""
    tally = world.tally()
    tally.note(seen())
    tally.close()

    assert world.written == [(10, "d.test", "success", 1)]
    assert world.asked == []


def test_memory_is_bounded(world, monkeypatch):
    """Of very many kinds of results, the rest is not counted."""
    monkeypatch.setattr(tls_tally, "MAX_PENDING", 10)
    tally = world.tally()
    for number in range(100):
        world.texts[f"_smtp._tls.d{number}.test"] = WANTED
        tally.note(seen(f"d{number}.test"))
    tally.write()

    assert len(world.written) == 10
