"""What a beat makes of the trust in Redis, without one."""

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
        pass


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
        super().end()


def test_an_idle_process_ceases_to_decide_alone():
    """Else it would not wait for what others were granted when Redis goes away."""
    clock = SharedClock()
    beats, local = FakeBeats(), NotedLocal(clock)
    link = Link(beats, local, Wanted(None), clock)
    link.beat()
    beats.left_us = 0
    link.beat()

    assert local.notes == ["begin", "end"]
