"""A worker ends when it is told to, whatever has become of the broker."""

import os
import select
import signal

import pytest
from celery import Celery

from tests.support.stack import Stack

CONFIG = "{api: {port: 0}, flower: {enabled: false}, interfaces: {feeder: {port: 0}}}"
END_S = 60.0


def wait_for_end(pid):
    """True once the process, not a child of ours, is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], END_S)[0])
    finally:
        os.close(descriptor)


@pytest.mark.slow
def test_a_worker_that_cannot_answer_a_command_ends_all_the_same(tmp_path):
    """Redis dies between a remote command and its answer, and then comes SIGTERM."""
    with Stack(tmp_path, CONFIG, "--sandbox") as stack:
        (worker,), (redis,) = stack.pids("worker@default"), stack.pids("redis")
        os.kill(worker, signal.SIGSTOP)
        with Celery(broker=stack.ready["redis"]) as app:
            app.control.broadcast("ping")
        os.kill(stack.supervisor, signal.SIGKILL)  # the kernel tells everybody to stop
        assert wait_for_end(redis)

        os.kill(worker, signal.SIGCONT)

        assert wait_for_end(worker)
