"""Flower's process ends, whatever its threads wait for."""

import subprocess
import sys

_PROGRAM = """
import sys, threading
from mta.cli import run_flower

def flower_that_asks_a_broker_that_is_gone():
    threading.Thread(target=threading.Event().wait).start()
    sys.exit({status})

run_flower.celery_main = flower_that_asks_a_broker_that_is_gone
run_flower.main()
"""


def _run(status: int) -> int:
    argv = [sys.executable, "-c", _PROGRAM.format(status=status)]
    return subprocess.run(argv, check=False, timeout=60).returncode


def test_it_does_not_wait_for_threads_that_wait_for_the_broker():
    assert _run(0) == 0


def test_a_failure_is_told_all_the_same():
    assert _run(3) == 3
