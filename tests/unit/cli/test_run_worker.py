"""When a worker's process begins its shift, and when it ends itself."""

import os
import signal
from types import SimpleNamespace

import pytest

from mta.cli import run_worker


@pytest.fixture
def shift(monkeypatch):
    shift = run_worker.Shift()
    shift.main_pid = os.getpid()
    monkeypatch.setattr(run_worker, "shift", shift)
    return shift


@pytest.fixture
def alarms(monkeypatch):
    """What the process asked the system for, its end included."""
    calls = []
    monkeypatch.setattr(signal, "alarm", lambda after_s: calls.append("alarm"))
    monkeypatch.setattr(os, "_exit", lambda code: calls.append("exit"))
    return calls


def test_a_solo_pool_begins_once(shift, monkeypatch):
    """It calls its main process a new one, which begins when it is ready."""
    built = []
    monkeypatch.setattr(run_worker, "build_bench", lambda: built.append(1))

    run_worker.set_up_child()

    assert built == []


@pytest.mark.parametrize("is_prefork", [False, True])
def test_the_parent_of_children_counts_for_nobody(shift, monkeypatch, is_prefork):
    """They do the work and register."""
    begun = []
    monkeypatch.setattr(run_worker, "start_shift", lambda: begun.append(shift.life))
    counts = SimpleNamespace(capacity=0)
    shift.life = life = SimpleNamespace(attempts=SimpleNamespace(counts=counts))
    pool = SimpleNamespace(uses_semaphore=is_prefork, limit=10)

    run_worker.begin(sender=SimpleNamespace(pool=pool))

    assert begun == [None if is_prefork else life]
    assert counts.capacity == (0 if is_prefork else 10)


def test_a_worker_leaves_at_the_second_idle_alarm_in_a_row(shift, alarms, monkeypatch):
    """The first may come while it closes its sessions."""
    for active in [set(), {"delivery"}, set(), set()]:
        monkeypatch.setattr(run_worker.state, "active_requests", active)
        run_worker._leave_if_idle()

    assert alarms == ["alarm"] * 3 + ["exit"]
