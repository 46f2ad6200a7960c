"""The real embedded servers, in a folder of the test."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymongo import MongoClient
from redis import Redis

from mta.embedded.child import Child
from mta.embedded.find import find_mongod, find_redis
from mta.embedded.mongod import mongo_uri, mongod_child
from mta.embedded.ports import port_of, reserve
from mta.embedded.redis import redis_child, redis_url

HOST = "127.0.0.1"


@pytest.fixture
def port() -> Iterator[int]:
    with reserve(HOST, 0, what="test") as reservation:
        yield port_of(reservation)


@contextmanager
def running(child: Child) -> Iterator[None]:
    """Start a server, ask as the supervisor does, and stop it."""
    process = subprocess.Popen(
        child.argv, env=dict(child.env), stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not child.is_ready():
            assert process.poll() is None
            assert time.monotonic() < deadline
        yield
    finally:
        process.terminate()
        process.wait(60)


def a_mongod(folder: Path, port: int) -> Child:
    server = find_mongod(os.environ, folder / "lib")
    return mongod_child(server, folder, port, dict(os.environ))


def a_redis(folder: Path, port: int) -> Child:
    return redis_child(find_redis(os.environ), folder, port, dict(os.environ))


def test_mongod_takes_durable_writes_and_keeps_them(tmp_path, port):
    """It is a replica set, so a majority's journal is what it says; data stays."""
    with running(a_mongod(tmp_path, port)), MongoClient(mongo_uri(port)) as client:
        client.mta.notes.insert_one({"_id": 1})

    with running(a_mongod(tmp_path, port)), MongoClient(mongo_uri(port)) as client:
        assert client.mta.notes.count_documents({}) == 1


def test_mongod_may_move_to_another_port(tmp_path, port):
    """The set's only member is told its new name; the data stays."""
    with reserve(HOST, 0, what="test") as reservation:
        other = port_of(reservation)
        with running(a_mongod(tmp_path, port)), MongoClient(mongo_uri(port)) as client:
            client.mta.notes.insert_one({"_id": 1})

        with (
            running(a_mongod(tmp_path, other)),
            MongoClient(mongo_uri(other)) as moved,
        ):
            assert moved.mta.notes.count_documents({}) == 1


def test_redis_keeps_its_queues_and_evicts_nothing(tmp_path, port):
    """Append-only, noeviction, two databases."""
    with running(a_redis(tmp_path, port)), Redis.from_url(redis_url(port, 0)) as client:
        client.lpush("default", "id")
        assert client.config_get("maxmemory-policy") == {
            "maxmemory-policy": "noeviction"
        }

    with running(a_redis(tmp_path, port)), Redis.from_url(redis_url(port, 0)) as client:
        assert client.lrange("default", 0, -1) == [b"id"]
        with Redis.from_url(redis_url(port, 1)) as limits:
            assert limits.dbsize() == 0
