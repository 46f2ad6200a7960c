"""Fixtures for all tests: real services, started once and only when asked for."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from mta.embedded.child import Child
from mta.embedded.find import find_mongod, find_redis
from mta.embedded.leash import leashed
from mta.embedded.mongod import mongo_uri, mongod_child
from mta.embedded.redis import redis_child, redis_url
from mta.store.mongo import Mongo, connect, ensure_indexes


def free_port() -> int:
    """A port that was free a moment ago."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(child: Child) -> Iterator[subprocess.Popen[bytes]]:
    """Run one embedded service until the block ends."""
    command = leashed(child.argv, parent=os.getpid(), python=sys.executable)
    with subprocess.Popen(
        command, env=dict(child.env), stdout=subprocess.DEVNULL, stderr=None
    ) as process:
        try:
            for _ in range(300):
                if child.is_ready():
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
                    raise RuntimeError(f"{child.name} ended: {process.returncode}")
            else:
                raise RuntimeError(f"{child.name} does not answer")
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def services_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("services")


@pytest.fixture(scope="session")
def mongo_server(services_folder: Path) -> Iterator[str]:
    """URI of a real MongoDB, without a database."""
    server = find_mongod(os.environ, services_folder / "lib")
    port = free_port()
    with running(mongod_child(server, services_folder, port, os.environ)):
        yield mongo_uri(port)


@pytest.fixture(scope="session")
def redis_server(services_folder: Path) -> Iterator[str]:
    """URL of database 0 of a real Redis."""
    port = free_port()
    child = redis_child(find_redis(os.environ), services_folder, port, os.environ)
    with running(child):
        yield redis_url(port, 0)


@pytest.fixture
def mongo_uri_of_test(mongo_server: str) -> Iterator[str]:
    """URI of an empty database of the test's own."""
    name = f"test-{secrets.token_hex(6)}"
    uri = mongo_server.replace("/mta?", f"/{name}?")
    yield uri
    with MongoClient(mongo_server) as client:
        client.drop_database(name)


@pytest.fixture
def db(mongo_uri_of_test: str) -> Iterator[Mongo]:
    """An empty database with our indexes."""
    database = connect(mongo_uri_of_test, name="test")
    ensure_indexes(database)
    yield database
    database.client.close()
