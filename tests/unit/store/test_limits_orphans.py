"""Slots to be released when Redis can be asked again."""

from threading import Event, Thread

import pytest
from redis.exceptions import ConnectionError as Away

from mta.store.limits_orphans import Orphans


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def orphans(clock):
    return Orphans(16.0, monotonic=lambda: clock[0])


def nobody(member, key):
    return False


def test_a_member_gives_all_back_at_once(orphans):
    """One question for many keys, and none for a slot that is held after all."""
    orphans.add("a", ["x", "y"])
    orphans.add("a", ["z"])
    calls = []

    def release(*call):
        calls.append(list(call))
        return ["z"]

    freed = orphans.release(lambda member, key: key == "y", release)

    assert calls == [["a", ["x", "z"]]]
    assert freed == ["z"]  # somebody waits for it
    assert len(orphans) == 0


def test_what_redis_has_forgotten_is_forgotten(orphans, clock):
    """Also while it cannot be asked: they would be ever more."""
    orphans.add("a", ["x"])
    clock[0] += 10
    orphans.add("b", ["x"])
    clock[0] += 10
    orphans.prune()

    assert len(orphans) == 1


def test_what_was_not_heard_is_kept(orphans):
    """The next beat says it again."""

    def fail(member, keys):
        raise Away

    orphans.add("a", ["x"])
    with pytest.raises(Away):
        orphans.release(nobody, fail)

    assert len(orphans) == 1


def test_nobody_waits_while_redis_is_asked(orphans):
    """Except the member itself, whose slot would be taken from it otherwise."""
    orphans.add("a", ["x"])
    asked, answered, adopted = Event(), Event(), Event()

    def release(member, keys):
        asked.set()
        answered.wait(5)
        return []

    def adopt():
        orphans.adopt("a")
        adopted.set()

    beat = Thread(target=orphans.release, args=(nobody, release))
    beat.start()
    asked.wait(5)
    orphans.adopt("b")
    orphans.add("b", ["x"])
    Thread(target=adopt).start()
    was_early = adopted.wait(0.05)
    answered.set()

    assert not was_early
    assert adopted.wait(5)
    beat.join(5)
    assert len(orphans) == 1
