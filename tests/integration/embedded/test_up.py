"""``mta up`` as a user runs it: all processes, then none."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

START_S = 120
END_S = 90

CONFIG = """
api: {port: 0}
flower: {port: 0}
interfaces:
  feeder: {port: 0, processes: 2}
zones:
  default: {connections: 10}
  bounces: {connections: 1}
"""


class Up:
    """One run of ``mta up --sandbox``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready_file = folder / "ready.json"
        (folder / "zones.yaml").write_text(CONFIG)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MTA_")}
        root = Path(__file__).parents[3]
        self.log: IO[bytes] = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mta.cli.main", "up", "--sandbox"),
                *("--state", "var", "--ready-file", str(self.ready_file)),
            ],
            cwd=folder,
            env={**environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def line(self) -> str:
        """The next line on stdout, once it is there."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], START_S)[0]
        return self.process.stdout.readline()

    def ready(self) -> dict[str, Any]:
        return json.loads(self.ready_file.read_text())

    def pid(self, name: str) -> int:
        [pid] = [p["pid"] for p in self.ready()["processes"] if p["name"] == name]
        return pid

    def pids(self) -> dict[int, str]:
        return {p["pid"]: p["name"] for p in self.ready()["processes"]}

    def close(self) -> None:
        """Whatever happened, leave nothing behind."""
        self.process.kill()
        self.process.communicate()
        self.log.close()


def alive(pids: dict[int, str]) -> list[str]:
    """Wait for the end of processes that are not our children; who does not end?"""
    deadline = time.monotonic() + END_S
    names = []
    for pid, name in pids.items():
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        left = max(0.0, deadline - time.monotonic())
        ended, _, _ = select.select([descriptor], [], [], left)
        os.close(descriptor)
        if not ended:
            names.append(name)
    return names


@pytest.fixture
def up(tmp_path) -> Iterator[Up]:
    started = Up(tmp_path)
    yield started
    started.close()


def test_up_starts_restarts_and_stops_everything(up):
    """One ready line; what dies comes back; SIGTERM ends all, with status 0."""
    line = up.line()
    ready = up.ready()
    with urllib.request.urlopen(f"{ready['api']}/healthz", timeout=10) as answer:
        assert answer.status == 200
    scheduler = up.pid("scheduler")
    changed_at = up.ready_file.stat().st_ino

    os.kill(scheduler, signal.SIGKILL)
    deadline = time.monotonic() + START_S
    while up.ready_file.stat().st_ino == changed_at:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert up.pid("scheduler") != scheduler
    assert json.loads((up.folder / "var" / "ready.json").read_text()) == up.ready()

    pids = up.pids()
    up.process.send_signal(signal.SIGTERM)
    rest, _ = up.process.communicate(timeout=END_S)

    assert line.startswith("ready: SMTP 127.0.0.1:")
    assert rest == ""
    assert up.process.returncode == 0
    assert alive(pids) == []
    assert not up.ready_file.exists()
    names = [process["name"] for process in ready["processes"]]
    assert names == [
        *("mongod", "redis", "worker@default", "worker@bounces", "maintenance", "api"),
        *("smtp@feeder.1", "smtp@feeder.2", "scheduler", "sandbox", "flower"),
    ]


def test_nothing_outlives_a_killed_up(up):
    """kill -9 of the supervisor ends databases and workers, too."""
    up.line()
    pids = up.pids()

    up.process.send_signal(signal.SIGKILL)

    assert alive(pids) == []
