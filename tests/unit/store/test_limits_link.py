"""What a beat makes of the trust in Redis, without one."""

from queue import Queue

from mta.store.limits_link import Link
from mta.store.limits_local import LocalLimits, SharedClock
from mta.store.limits_redis import Pulse
from mta.store.limits_wanted import Wanted


class FakeBeats:
    """Answers every beat; unsettled for ``left_us``."""

    left_us = 1_000_000

    def find_run(self):
        return "run"

    def beat(self, run, known):
        return Pulse("1", self.left_us, 1_800_000_000_000_000, True)

    def bury(self, keys):
        return []

    def register(self, held, grants):
        pass

    def restore_wanted(self, keys):
        pass

    def release(self, member, keys):
        return [key for key in keys if key == "wanted"]


class NotedLocal(LocalLimits):
    """Notes when the process began and ceased to decide alone."""

    def __init__(self, clock):
        super().__init__(clock)
        self.notes = []

    def begin(self, *, after_others):
        self.notes.append("begin")
        super().begin(after_others=after_others)

    def end(self):
        self.notes.append("end")
        return super().end()


def test_an_idle_process_ceases_to_decide_alone():
    """Else it would not wait for what others were granted when Redis goes away."""
    clock = SharedClock()
    beats, local = FakeBeats(), NotedLocal(clock)
    link = Link(beats, local, Wanted(None), clock)
    link.beat()
    beats.left_us = 0
    link.beat()

    assert local.notes == ["begin", "end"]


def test_what_is_waited_for_is_told_when_redis_decides_again():
    """Who was denied a share may have what others leave of theirs."""
    clock, heard = SharedClock(), Queue()
    beats, wanted = FakeBeats(), Wanted(None)
    link = Link(beats, LocalLimits(clock), wanted, clock)
    link._on_freed = heard.put
    wanted.add("wanted")
    link.beat()
    beats.left_us = 0
    link.beat()

    assert set(heard.get(timeout=5)) == {"wanted"}


def test_slots_given_back_late_are_told_of():
    """Redis had granted them, and its answer was not heard."""
    clock, heard = SharedClock(), Queue()
    beats = FakeBeats()
    beats.left_us = 0
    link = Link(beats, LocalLimits(clock), Wanted(None), clock)
    link._on_freed = heard.put
    link.orphan("me.1", ["wanted", "not wanted"])
    link.beat()

    assert heard.get(timeout=5) == ["wanted"]
