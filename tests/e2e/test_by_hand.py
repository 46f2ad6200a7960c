"""Processes started one by one, as production does, on databases given by URL."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mta.embedded.ports import port_of, reserve
from mta.embedded.probes import Probe, http_answers

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HOST = "127.0.0.1"

CONFIG = """
dns: {{nameservers: ["{dns}"], allow_addresses: [127.77.0.0/16]}}
zones:
  default: {{connections: 10, port: {mx_port}}}
  bounces: {{connections: 1, port: {mx_port}}}
"""


@contextmanager
def running(*command: str, env: dict[str, str]) -> Iterator[None]:
    """A process, from the checkout's folder, until the block ends."""
    with subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        cwd=ROOT,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=None,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def wait_for(probe: Probe) -> None:
    """Ask, as the supervisor does, until the answer is yes."""
    deadline = time.monotonic() + 60
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("pool", ["gevent -c 10", "prefork -c 2"])
def test_a_plain_celery_worker_delivers(
    pool, tmp_path, mongo_uri_of_test, redis_server, dns_server, sink
):
    """`celery -A mta.worker worker` needs MTA_* and nothing of ours around it."""
    config = tmp_path / "zones.yaml"
    config.write_text(CONFIG.format(dns=dns_server.address, mx_port=sink.port))
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("MTA_")},
        "MTA_CONFIG": str(config),
        "MTA_MONGO_URI": mongo_uri_of_test,
        "MTA_BROKER_URL": redis_server.removesuffix("0") + "7",
    }
    celery = f"celery -A mta.worker worker -P {pool} -Q default"
    mail = {"from": "ada@a.test", "to": "hand@b.test", "text": "Hello"}

    with ExitStack() as held:
        port = port_of(held.enter_context(reserve(HOST, 0, what="the API")))
        held.enter_context(running("mta", "api", "--port", str(port), env=env))
        held.enter_context(running(*celery.split(), env=env))
        wait_for(http_answers(HOST, port, "/healthz"))
        request = urllib.request.Request(
            f"http://{HOST}:{port}/send",
            data=json.dumps(mail).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=30).close()

        assert sink.wait_for(["hand@b.test"], 60)
