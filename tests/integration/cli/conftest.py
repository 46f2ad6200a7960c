"""Commands of the terminal on the test's own database."""

import os
from collections.abc import Iterator

import pytest

from mta import wiring
from mta.store.mongo import Mongo


@pytest.fixture
def of_this_test(
    db: Mongo, mongo_uri_of_test: str, monkeypatch, tmp_path
) -> Iterator[None]:
    """Commands find this test's database, and no settings but those of the test."""
    for name in list(os.environ):
        if name.startswith("MTA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MTA_MONGO_URI", mongo_uri_of_test)
    monkeypatch.chdir(tmp_path)
    opened = []
    connect = wiring.connect

    def note(uri: str, *, name: str) -> Mongo:
        opened.append(connect(uri, name=name))
        return opened[-1]

    monkeypatch.setattr(wiring, "connect", note)
    _forget()
    yield
    for database in opened:
        database.client.close()
    _forget()


def _forget() -> None:
    wiring.open_database.cache_clear()
    wiring.open_clock.cache_clear()
