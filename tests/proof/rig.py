"""The processes of one system, each started by hand: how many, where, and when.

``mta up`` runs one worker of each zone; what is to be shown here needs many, or
several "hosts". A host is a name (MTA_HOSTNAME), a state folder and a process group
of each process: killing all of a host's groups is pulling its plug.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from mta.config.load import load_config
from mta.embedded import commands
from mta.embedded.child import READY_FILE, Child
from mta.embedded.find import find_mongod, find_redis
from mta.embedded.leash import leashed
from mta.embedded.mongod import mongo_uri, mongod_child
from mta.embedded.probes import http_answers
from mta.embedded.redis import redis_child, redis_url
from tests.conftest import held_port, running

START_S = 120.0
STOP_S = 60.0
HOST = "127.0.0.1"
_POLL_S = 0.05


class Rig:
    """Databases at once; all else when asked for. Everything ends with the block.

    Args:
        config: The text of zones.yaml.
        python: Runs Celery's programs; another one may have a clock of its own.
    """

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self.config_path = folder / "zones.yaml"
        self.config_path.write_text(config)
        self.config = load_config(self.config_path, os.environ)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._hosts: dict[str, list[str]] = {}
        self._held = ExitStack()
        self.mongo = self.redis = self.api = ""
        self.smtp = ""

    def __enter__(self) -> Self:
        environ = self._environ()
        mongo_port = self._held.enter_context(held_port())
        redis_port = self._held.enter_context(held_port())
        server = find_mongod(environ, self.folder / "lib")
        self._run_database(mongod_child(server, self.folder, mongo_port, environ))
        self._redis_child = redis_child(
            find_redis(environ), self.folder, redis_port, environ
        )
        self._run_database(self._redis_child)
        self.mongo = mongo_uri(mongo_port)
        self.redis = redis_url(redis_port, 0)
        self._redis_limits = redis_url(redis_port, 1)
        return self

    def __exit__(self, *_: object) -> None:
        databases = ("mongod", "redis")
        others = [name for name in self.processes if name not in databases]
        for name in others:
            self._signal(name, signal.SIGCONT)
            self._signal(name, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for name in others:
            with suppress(subprocess.TimeoutExpired):
                self.processes[name].wait(max(0.0, deadline - time.monotonic()))
            self._signal(name, signal.SIGKILL)
            self.processes[name].wait()
        self._held.close()

    def start_scheduler(self) -> None:
        """The scheduler."""
        self._start("scheduler", commands.scheduler_command())

    def start_maintenance(self) -> str:
        """The worker for housekeeping; returns its name."""
        self._start("maintenance", commands.maintenance_command(log_level="warning"))
        return "maintenance"

    def start_smtp(self, interface: str = "feeder") -> None:
        """One process of the SMTP door."""
        port = self._held.enter_context(held_port())
        self._start("smtp", commands.smtp_command(interface, port))
        self.smtp = f"{HOST}:{port}"

    def start_api(self) -> None:
        """The HTTP door."""
        port = self._held.enter_context(held_port())
        self.api = f"http://{HOST}:{port}"
        self._spawn("api", commands.api_command(port), {})
        answers = http_answers(HOST, port, "/readyz")
        self._wait("api", answers)

    def start_worker(
        self,
        zone: str,
        number: int = 1,
        *,
        host: str = "",
        env: Mapping[str, str] | None = None,
    ) -> str:
        """A worker of a zone, ready to deliver; returns its name.

        Args:
            number: Several of one zone have one each.
            host: Its machine's name, if it is to be on one of its own.
        """
        name = self.spawn_worker(zone, number, host=host, env=env)
        self.wait_ready(name)
        return name

    def spawn_worker(
        self,
        zone: str,
        number: int = 1,
        *,
        host: str = "",
        env: Mapping[str, str] | None = None,
    ) -> str:
        """As ``start_worker``, without waiting for it."""
        config = self.config.zones[zone]
        command = commands.worker_command([config], log_level="warning")
        node = f"{zone}-{number}@{host or '%h'}"
        name = f"worker@{zone}.{number}"
        own = dict(env or {})
        if host:
            state = self.folder / host
            state.mkdir(exist_ok=True)
            own |= {"MTA_HOSTNAME": host, "MTA_STATE_DIR": str(state)}
            self._hosts.setdefault(host, []).append(name)
        renamed = [node if word == f"{zone}@%h" else word for word in command]
        self._spawn(name, renamed, own)
        return name

    def wait_ready(self, name: str) -> None:
        """Return once a process has said that it does its work."""
        self._wait(name, self._marker(name).exists)

    def kill_host(self, host: str) -> None:
        """``kill -9`` of every process group of a host."""
        for name in self._hosts.pop(host):
            self._signal(name, signal.SIGKILL)
            self.processes.pop(name).wait()

    def stop_worker(self, name: str) -> None:
        """SIGTERM, and wait for its end."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(STOP_S)

    def kill_redis(self) -> None:
        """End Redis with ``kill -9``."""
        self._redis.close()

    def restart_redis(self) -> None:
        """Start it again on what its disk holds; returns when it answers."""
        self._run_database(self._redis_child)

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        os.kill(self.processes[name].pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        os.kill(self.processes[name].pid, signal.SIGCONT)

    def resident_bytes(self) -> dict[str, int]:
        """Memory of each process now."""
        return {
            name: _resident_bytes(process.pid)
            for name, process in self.processes.items()
        }

    def _run_database(self, child: Child) -> None:
        held = ExitStack()
        process = held.enter_context(running(child))
        self.processes[child.name] = process
        if child.name == "redis":
            self._redis = held
        self._held.callback(held.close)

    def _start(self, name: str, command: Sequence[str]) -> None:
        self._spawn(name, command, {})
        self.wait_ready(name)

    def _spawn(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        marker = self._marker(name)
        marker.unlink(missing_ok=True)
        own = {
            "MTA_MONGO_URI": self.mongo,
            "MTA_BROKER_URL": self.redis,
            "MTA_REDIS_URL": self._redis_limits,
            "MTA_CONFIG": str(self.config_path),
            "MTA_STATE_DIR": str(self.folder),
            "MTA_PROCESS_NAME": name,
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics()),
            READY_FILE: str(marker),
        }
        argv = leashed(command, parent=os.getpid(), python=sys.executable)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                argv,
                env={**self._environ(), **own, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self, name: str, is_ready) -> None:
        deadline = time.monotonic() + START_S
        process = self.processes[name]
        while not is_ready():
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
            if process.returncode is not None or time.monotonic() > deadline:
                tail = (self.folder / f"{name}.log").read_text(errors="replace")
                raise RuntimeError(f"{name} did not become ready:\n{tail[-4000:]}")

    def _signal(self, name: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, number)

    def _marker(self, name: str) -> Path:
        return self.folder / f"{name}.ready"

    def _metrics(self) -> Path:
        folder = self.folder / "metrics"
        folder.mkdir(exist_ok=True)
        return folder

    def _environ(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if not k.startswith("MTA_")}


def free_hosts(count: int, *, net: int) -> list[str]:
    """Loopback addresses for MXs, 127.77.NET.1 and on."""
    hosts = [f"127.77.{net}.{number + 1}" for number in range(count)]
    for host in hosts:
        with socket.socket() as probe:
            probe.bind((host, 0))
    return hosts


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
