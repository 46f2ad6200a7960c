"""A worker ends when it is told to, whatever has become of the broker."""

import socket
from urllib.parse import urlsplit

import pytest
from celery import Celery

from tests.proof.rig import Rig

CONFIG = "{api: {port: 0}, flower: {enabled: false}, interfaces: {feeder: {port: 0}}}"


def await_visit(redis_url):
    """Wait until somebody looks for the Redis that was there, and let him down."""
    where = urlsplit(redis_url)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((where.hostname, where.port))
        server.listen()
        server.settimeout(30)
        visitor, _ = server.accept()
        visitor.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda rig: rig.start_worker("default"), id="gevent"),
        pytest.param(lambda rig: rig.start_maintenance(), id="solo"),
    ],
)
def test_a_worker_that_cannot_answer_a_command_ends_all_the_same(tmp_path, start):
    """Redis dies between a remote command and its answer, and then comes SIGTERM."""
    with Rig(tmp_path, CONFIG) as rig:
        name = start(rig)
        with Celery(broker=rig.redis) as app:
            # It has a connection for its answers from now on.
            assert app.control.ping(timeout=10.0, limit=1)
            rig.pause(name)
            app.control.broadcast("ping", reply=True, timeout=0.1)
        rig.kill_redis()
        rig.resume(name)
        await_visit(rig.redis)

        process = rig.processes[name]
        rig.stop_worker(name)

        assert process.returncode == 0
