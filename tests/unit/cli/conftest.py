"""A server that answers as the API does, and commands that ask it."""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

from mta.cli.main import cli


class FakeApi:
    """Answers what it is told to, by method and path; notes what it is asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[dict[str, Any], int]] = {}
        self.asked: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.documents: list[Any] = []
        self.url = ""

    def answer(self, path: str = "") -> Any:
        key = f"{request.method} {request.path}"
        self.asked.append(key)
        self.queries.append(request.args.to_dict())
        self.documents.append(request.get_json(silent=True))
        document, status = self.answers.get(key, ({"detail": "unknown"}, 404))
        return jsonify(document), status


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi()
    app = Flask("fake-api")
    app.add_url_rule("/<path:path>", view_func=fake.answer, methods=["GET", "POST"])
    server = make_server("127.0.0.1", 0, app)
    fake.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run_mta(api: FakeApi, monkeypatch, tmp_path) -> Callable[..., Result]:
    """Runs ``mta ...`` on that server."""
    for name in list(os.environ):
        if name.startswith("MTA_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        command = (*arguments, "--api", api.url)
        return CliRunner().invoke(cli, command, catch_exceptions=False)

    return run
