"""Fixtures for all tests: real services, started once and only when asked for."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from pymongo import MongoClient

from mta.embedded.child import Child
from mta.embedded.find import find_mongod, find_redis
from mta.embedded.leash import leashed
from mta.embedded.mongod import mongo_uri, mongod_child
from mta.embedded.ports import port_of, reserve
from mta.embedded.redis import redis_child, redis_url
from mta.store.mongo import Document, Mongo, connect, ensure_indexes

# A change is judged by what it does, not by the dice; at home they are thrown.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@contextlib.contextmanager
def held_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port for a server to listen on, which nobody else gets meanwhile."""
    with contextlib.closing(reserve(host, 0, what="tests")) as reservation:
        yield port_of(reservation)


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
    with held_port() as port:
        child = mongod_child(server, services_folder, port, os.environ)
        with running(child):
            yield mongo_uri(port)


@pytest.fixture(scope="session")
def redis_server(services_folder: Path) -> Iterator[str]:
    """URL of database 0 of a real Redis."""
    server = find_redis(os.environ)
    with held_port() as port:
        child = redis_child(server, services_folder, port, os.environ)
        with running(child):
            yield redis_url(port, 0)


@pytest.fixture
def mongo_uri_of_test(mongo_server: str) -> Iterator[str]:
    """URI of a database that is empty when the test begins, but for its indexes.

    The same for all: hundreds of databases, each with its many files, bring the
    small embedded mongod to a standstill, even when they are dropped again.
    """
    uri = mongo_server.replace("/mta?", "/test?")
    yield uri
    with MongoClient[Document](uri) as client:
        database = client.get_default_database()
        database.command("profile", 0)
        for name in database.list_collection_names():
            if name.startswith("system."):
                database.drop_collection(name)  # these take no orders from us
            else:
                database[name].delete_many({})


@pytest.fixture
def db(mongo_uri_of_test: str) -> Iterator[Mongo]:
    """A database without documents, with our indexes."""
    database = connect(mongo_uri_of_test, name="test")
    ensure_indexes(database)
    yield database
    database.client.close()
