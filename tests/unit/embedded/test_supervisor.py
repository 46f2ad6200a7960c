import os
import signal
import time
from pathlib import Path

import pytest

from mta.embedded.child import Role
from mta.embedded.failure import StartFailed
from mta.embedded.supervisor import Patience

DIES_ONCE = """
import os, pathlib
if not os.path.exists(ONCE):
    pathlib.Path(ONCE).touch()
    sys = __import__("sys"); sys.exit(3)
"""

IGNORES = """
import pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(MARKER).touch()
while True: signal.pause()
"""

# Stops with the first signal, and sends process UP the second on its way out.
WAITS_AND_ASKS = """
import os, pathlib, signal, sys
def end(*_):
    os.kill(UP, signal.SIGINT)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(MARKER).touch()
while True: signal.pause()
"""

LEAVES_A_GRANDCHILD = """
import os, pathlib, signal
pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True: signal.pause()
pathlib.Path(PID).write_text(str(pid))
pathlib.Path(MARKER).touch()
signal.pause()
"""


# Is ready once it reads that another one has stopped.
AFTER_THE_OTHER = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while "gone stopped" not in pathlib.Path(OTHER).read_text(): time.sleep(0.01)
pathlib.Path(MARKER).touch()
while True: signal.pause()
"""

# Stops its supervisor once it has heard of a reload.
RELOADS = """
import os, pathlib, signal, sys
def note(*_):
    with open(LOG, "a") as log: log.write(NAME + " reloaded\\n")
    os.kill(UP, signal.SIGINT)
signal.signal(signal.SIGHUP, note)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path(MARKER).touch()
while True: signal.pause()
"""


def is_running(pid: int) -> bool:
    """A zombie runs no more: whoever adopted it just has not looked yet."""
    try:
        status = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def test_groups_start_one_after_the_other(bench):
    """A group is started only when all of the one before answer."""
    stores = [bench.a_child("mongod", role=Role.MONGOD)]
    doors = [bench.a_child("api", role=Role.DOOR)]

    bench.run(stores, doors)

    assert bench.history[:2] == ["mongod started", "api started"]


def test_all_processes_are_named_when_ready(bench):
    """The callback tells every process's name and pid."""
    bench.run([bench.a_child("a"), bench.a_child("b")])

    assert [process.name for process in bench.ready[0]] == ["a", "b"]


def test_roles_stop_in_order(bench):
    """Doors stop first and databases last, whatever the order of the start."""
    bench.run(
        [bench.a_child("mongod", role=Role.MONGOD)],
        [
            bench.a_child("worker", role=Role.WORKER),
            bench.a_child("api", role=Role.DOOR),
        ],
    )

    assert bench.history[3:] == ["api stopped", "worker stopped", "mongod stopped"]


def test_nothing_is_left_after_the_stop(bench):
    """Every process is gone, and told to be, when run returns."""
    bench.run([bench.a_child("a"), bench.a_child("b")])

    pids = [process.pid for process in bench.ready[0]]
    assert not any(map(is_running, pids))
    assert sorted(bench.ended) == sorted(pids)


def test_a_grandchild_does_not_outlive_its_parent(bench):
    """What a child leaves in its process group is killed with it."""
    pid = bench.folder / "pid"

    bench.run([bench.a_child(program=LEAVES_A_GRANDCHILD, PID=str(pid))])

    grandchild = int(pid.read_text())
    deadline = time.monotonic() + 10  # SIGKILL was sent; the kernel acts at once
    while is_running(grandchild) and time.monotonic() < deadline:
        os.sched_yield()
    assert not is_running(grandchild)


def test_what_ignores_sigterm_is_killed_after_its_grace(bench):
    """A child has its grace, and not more."""
    bench.run([bench.a_child(program=IGNORES, grace_s=0.05)])

    assert len(bench.ended) == 1


def test_a_second_signal_hastens_the_stop(bench, monkeypatch):
    """Who asks twice does not wait for the graces of what hangs."""
    monkeypatch.setattr("mta.embedded.supervisor.HASTE_S", 0.01)
    door = bench.a_child("door", role=Role.DOOR, program=IGNORES, grace_s=600)
    asks = WAITS_AND_ASKS.replace("UP", str(os.getpid()))
    bench.run([door, bench.a_child("asks", role=Role.DOOR, program=asks)])

    assert len(bench.ended) == 2


def test_databases_are_last_even_in_haste(bench, monkeypatch):
    """Otherwise everything else would fill the terminal with its complaints."""
    monkeypatch.setattr("mta.embedded.supervisor.HASTE_S", 0.1)
    asks_again = WAITS_AND_ASKS.replace("UP", str(os.getpid()))

    bench.run(
        [bench.a_child("mongod", role=Role.MONGOD)],
        [
            bench.a_child("door", role=Role.DOOR, program=asks_again),
            bench.a_child("worker", program=IGNORES, grace_s=600),
        ],
    )

    assert bench.ended[-1] == bench.ready[0][0].pid


def test_what_dies_is_started_again(bench):
    """A death is answered by a restart, and the new pid is told."""

    def kill_once(processes):
        if len(bench.ready) == 1:
            os.kill(processes[0].pid, signal.SIGKILL)
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    bench.run([bench.a_child()], on_ready=kill_once)

    first, second = (processes[0].pid for processes in bench.ready)
    assert first != second


def test_a_death_before_the_first_answer_is_forgiven(bench):
    """One early death does not end the start."""
    from_then_on = DIES_ONCE + bench.a_child().argv[-1]

    bench.run([bench.a_child(program=from_then_on, ONCE=str(bench.folder / "once"))])

    assert len(bench.ready) == 1


def test_five_early_deaths_end_the_start(bench):
    """A child that cannot start is named with its exit status; the rest is stopped."""
    other = bench.a_child("other")

    with pytest.raises(StartFailed, match=r"broken ended 5 times .* exit status 7"):
        bench.run([other, bench.a_child("broken", program="raise SystemExit(7)")])

    assert bench.history[-1] == "other stopped"
    assert bench.ready == []


def test_a_failed_start_shows_the_end_of_the_log(bench):
    """Where a child logs to a file, the error shows its last lines."""
    log = bench.folder / "mongod.log"
    log.write_text("first\n" * 10 + "the disk is full\n")
    child = bench.a_child("mongod", program="raise SystemExit(1)")
    object.__setattr__(child, "log", log)

    with pytest.raises(StartFailed, match="the disk is full"):
        bench.run([child])


def test_what_a_child_says_beside_its_log_lands_there(bench, capfd):
    """A server's murmurs are kept, but are not for the terminal."""
    log = bench.folder / "mongod.log"
    murmur = "import sys\nprint('no version information', file=sys.stderr)\n"
    child = bench.a_child(program=murmur + bench.a_child().argv[-1])
    object.__setattr__(child, "log", log)

    bench.run([child])

    assert log.read_text() == "no version information\n"
    assert capfd.readouterr().err == ""


def test_what_a_child_prints_is_dropped(bench, capfd):
    """Stdout belongs to the ready line alone; logs come on stderr."""
    speaks = "import sys\nprint('Warm shutdown')\nprint('log', file=sys.stderr)\n"

    bench.run([bench.a_child(program=speaks + bench.a_child().argv[-1])])

    assert capfd.readouterr() == ("", "log\n")


def test_a_stale_marker_does_not_count(bench):
    """The marker of an earlier process says nothing about this one."""
    bench.marker("broken").touch()

    with pytest.raises(StartFailed):
        bench.run([bench.a_child("broken", program="raise SystemExit(7)")])


def test_a_signal_during_the_start_stops_it(bench):
    """Ctrl-C works before anything answers."""
    never = f"import os, signal\nos.kill({os.getpid()}, signal.SIGINT)\n" + (
        "while True: signal.pause()"
    )

    bench.run([bench.a_child(program=never)])

    assert bench.ready == []
    assert len(bench.ended) == 1


def test_handlers_are_restored(bench):
    """After the run, signals mean what they meant before."""
    before = signal.getsignal(signal.SIGINT)

    bench.run([bench.a_child()])

    assert signal.getsignal(signal.SIGINT) is before


def test_pauses_between_restarts_double_up_to_a_bound(bench, caplog):
    """A child that keeps dying is started ever more rarely."""
    patience = Patience(probe_s=0.01, first_s=0.01, longest_s=0.03, early_deaths=5)
    caplog.set_level("WARNING")

    with pytest.raises(StartFailed):
        bench.run([bench.a_child(program="raise SystemExit(1)")], patience=patience)

    pauses = [
        record.args[-1] for record in caplog.records if "restarting" in record.msg
    ]
    assert pauses == [0.01, 0.02, 0.03, 0.03]


def ask_to_reload(_):
    os.kill(os.getpid(), signal.SIGHUP)


def test_a_reload_starts_who_is_new_and_stops_who_is_gone(bench):
    """The others run on, each in the process it has."""
    gone, stays = bench.a_child("gone"), bench.a_child("stays")
    pids = []

    def on_ready(processes):
        pids.append({process.name: process.pid for process in processes})
        if len(pids) == 1:
            ask_to_reload(processes)
        elif pids[-1].keys() == {"stays", "new"} and "gone stopped" in bench.history:
            os.kill(os.getpid(), signal.SIGINT)

    # Before the new one answers, the one that is gone has had its time.
    new = bench.a_child("new", program=AFTER_THE_OTHER, OTHER=str(bench.log))
    bench.run([gone, stays], on_ready=on_ready, on_hangup=lambda: [stays, new])

    assert pids[-1]["stays"] == pids[0]["stays"]
    assert bench.history.count("stays started") == 1


def test_only_those_that_can_reload_hear_of_it(bench):
    """To a database SIGHUP means something else."""
    up = os.getpid()
    worker = bench.a_child("worker", program=RELOADS, UP=up)
    store = bench.a_child("store", program=RELOADS, role=Role.REDIS, UP=up)

    bench.run(
        [worker, store], on_ready=ask_to_reload, on_hangup=lambda: [worker, store]
    )

    assert bench.history == ["worker reloaded"]


def test_a_reload_that_is_refused_changes_nothing(bench):
    """Nobody hears of it."""
    child = bench.a_child("worker", program=RELOADS, UP=os.getpid())

    def refuse():
        os.kill(os.getpid(), signal.SIGINT)

    bench.run([child], on_ready=ask_to_reload, on_hangup=refuse)

    assert not bench.log.exists()


def test_a_change_of_the_file_is_a_reload_too(bench):
    """Asked once all are ready."""
    child = bench.a_child("worker", program=RELOADS, UP=os.getpid())

    bench.run(
        [child],
        on_ready=lambda _: None,
        on_hangup=lambda: [child],
        is_changed=lambda: True,
    )

    assert set(bench.history) == {"worker reloaded"}
