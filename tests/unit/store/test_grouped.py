"""Group commit: shared round trips, each caller's own result."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from mta.store.grouped import Grouped


def test_a_lone_caller_is_a_group_of_one():
    """Nobody waits for company."""
    groups = []
    double = Grouped(lambda items: groups.append(items) or [2 * i for i in items])

    assert double(21) == 42
    assert groups == [[21]]


def test_those_who_come_meanwhile_share_the_next_group():
    """One round trip under way, all others wait for one more."""
    groups, begun, go_on = [], Event(), Event()

    def run(items):
        groups.append(sorted(items))
        if len(groups) == 1:
            begun.set()
            go_on.wait(10)
        return [-item for item in items]

    negate = Grouped(run)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(negate, 0)
        begun.wait(10)
        others = [pool.submit(negate, n) for n in range(1, 9)]
        while len(negate._waiting) < 8:
            pass
        go_on.set()
        results = [first.result(10), *(other.result(10) for other in others)]

    assert results == [-n for n in range(9)]
    assert groups == [[0], list(range(1, 9))]


def test_no_group_is_larger_than_allowed():
    """The rest goes with the group after it, and nobody is forgotten."""
    sizes = []

    def run(items):
        sizes.append(len(items))
        return items

    same = Grouped(run, most=3)
    with ThreadPoolExecutor(30) as pool:
        results = list(pool.map(same, range(300)))

    assert results == list(range(300))
    assert max(sizes) <= 3


def test_a_failed_group_fails_all_of_it_and_nobody_else():
    """The next call starts anew."""
    is_broken = [True]

    def run(items):
        if is_broken:
            raise OSError("away")
        return items

    same = Grouped(run)
    with pytest.raises(OSError, match="away"):
        same(1)
    is_broken.clear()

    assert same(2) == 2


def test_a_run_that_forgets_a_result_is_an_error_for_all():
    """A result must never go to the wrong caller."""
    broken = Grouped(lambda items: [])

    with pytest.raises(ValueError, match="zip"):
        broken(1)


def test_a_caller_killed_while_it_waits_stops_nobody_else():
    """A greenlet may be killed anywhere; the lead must pass it by."""
    script = """
from gevent import monkey; monkey.patch_all()
import gevent
from mta.store.grouped import Grouped
go_on = gevent.event.Event()

def run(items):
    if items == ["first"]:
        go_on.wait(5)
    return items

same = Grouped(run)
calls = [gevent.spawn(same, name) for name in ("first", "killed", "third")]
gevent.sleep(0)
calls[1].kill()
go_on.set()
print(calls[0].get(timeout=5), calls[2].get(timeout=5), same("fourth"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, check=False
    )

    assert done.stdout.split() == [b"first", b"third", b"fourth"], done.stderr
