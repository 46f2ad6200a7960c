"""A process of the API on a fake intake: what test_api_serve.py talks to.

Argument: the patience with clients, in seconds. Prints its port, and at the end by
how many KiB its memory grew since then.
"""

# ruff: noqa: E402 - patching comes before every other import
from gevent import monkey

monkey.patch_all()

import hashlib
import logging
import resource
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mta.api.app import create_app
from mta.api.serve import serve
from mta.config.live import Live
from mta.config.load import load_config
from mta.config.settings import load_settings
from mta.errors import StoreUnavailable

CHUNK = b"0123456789abcdef" * 4096


@dataclass(frozen=True)
class Accepted:
    id: str
    reverse_path: str = "ada@example.test"
    recipients: tuple[str, ...] = ("bob@example.test",)


class HashingSubmission:
    """Keeps nothing of the message but its hash, which becomes its id."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)

    def commit(self) -> Accepted:
        return Accepted(self._hash.hexdigest())

    def abort(self) -> None:
        print("aborted", flush=True)


class HashingIntake:
    def begin(self, envelope) -> HashingSubmission:
        return HashingSubmission()


class TwoMessages:
    """A look that knows ``large``, of 64 MiB, and ``lost``, of which half is gone."""

    def open_content(self, message_id, *, body_only):
        if message_id == "large":
            return (CHUNK for _ in range(1024))
        return _half() if message_id == "lost" else None

    def zones(self, **_):
        return []


def _half():
    yield CHUNK
    raise StoreUnavailable("away")


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    app = create_app(
        config=Live(load_config(None, {})),
        settings=load_settings({"MTA_HOSTNAME": "mta.test"}),
        intake=HashingIntake(),
        look=TwoMessages(),
        steer=None,
        shaping=None,
        explain=None,
        inbox=None,
        now=lambda: datetime.now(UTC),
    )
    logging.disable()
    app.test_client().get("/healthz")  # what loads late is loaded now
    before = peak_kib()
    serve(
        app,
        "127.0.0.1",
        0,
        ready=lambda host, port: print(port, flush=True),
        grace=timedelta(seconds=20),
        patience_s=float(sys.argv[1]),
    )
    print("grew", peak_kib() - before, flush=True)


if __name__ == "__main__":
    main()
