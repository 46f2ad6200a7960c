import threading

import pytest

from mta.store.cache import SharedCache


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_value_is_loaded_once_within_its_time(clock):
    """What is known is not asked again."""
    cache = SharedCache(max_entries=10, monotonic=clock)
    values = iter([("first", 5.0), ("second", 5.0)])

    assert cache.get("key", lambda: next(values)) == "first"
    clock.now += 4.9
    assert cache.get("key", lambda: next(values)) == "first"
    clock.now += 0.1
    assert cache.get("key", lambda: next(values)) == "second"


def test_value_without_time_to_live_is_not_kept(clock):
    """A TTL of zero is for those who wait right now."""
    cache = SharedCache(max_entries=10, monotonic=clock)
    cache.get("key", lambda: ("first", 0.0))

    assert cache.get("key", lambda: ("second", 0.0)) == "second"
    assert len(cache) == 0


def test_what_was_unused_longest_makes_room(clock):
    """Memory is bounded, whatever is asked for."""
    cache = SharedCache(max_entries=2, monotonic=clock)
    for key in ("a", "b", "a", "c"):
        cache.get(key, lambda key=key: (key, 9.0))

    assert len(cache) == 2
    assert cache.get("a", lambda: ("loaded again", 9.0)) == "a"
    assert cache.get("b", lambda: ("loaded again", 9.0)) == "loaded again"


def test_many_who_ask_at_once_share_one_answer():
    """Ten thousand deliveries to one domain make one query."""
    cache = SharedCache(max_entries=10)
    may_answer = threading.Event()
    loads = []
    results = []

    def load():
        loads.append(1)
        may_answer.wait(10)
        return "answer", 0.0

    threads = [
        threading.Thread(target=lambda: results.append(cache.get("key", load)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    while not loads:
        pass
    may_answer.set()
    for thread in threads:
        thread.join(10)

    assert results == ["answer"] * 8
    assert len(loads) < 8


def test_load_that_breaks_is_tried_again_by_the_next(clock):
    """An error of ours is not an answer."""
    cache = SharedCache(max_entries=10, monotonic=clock)

    with pytest.raises(ZeroDivisionError):
        cache.get("key", lambda: 1 / 0)

    assert cache.get("key", lambda: ("fine", 1.0)) == "fine"
