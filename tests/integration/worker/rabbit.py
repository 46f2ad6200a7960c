"""A private RabbitMQ node: its own name, ports and folder; no service of the system."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import held_port

# Debian's own command would change the user and the folder.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
# Erlang's name server; a node without one would start a daemon that outlives it.
_EPMD = "epmd"
START_S = 60.0


@dataclass(frozen=True)
class Node:
    """A running RabbitMQ."""

    url: str
    environ: dict[str, str]

    @contextlib.contextmanager
    def short_of_memory(self):
        """Until the block ends it reads no more from who publishes."""
        self._control("set_vm_memory_high_watermark", "0")
        try:
            yield
        finally:
            self._control("set_vm_memory_high_watermark", "0.4")

    def _control(self, *arguments):
        node = self.environ["RABBITMQ_NODENAME"]
        program = Path(find_rabbitmq()).with_name("rabbitmqctl")
        subprocess.run(
            [program, "-q", "-n", node, *arguments], env=self.environ, check=True
        )


def find_rabbitmq():
    """The server program; skips where it is not installed, but not in CI."""
    found = PROGRAM if PROGRAM.exists() else shutil.which("rabbitmq-server")
    if found is None:
        if os.environ.get("CI") in {"1", "true"}:
            pytest.fail("rabbitmq-server is missing, and CI must have it")
        pytest.skip("rabbitmq-server is not installed")
    return str(found)


@contextlib.contextmanager
def running_rabbitmq(folder):
    """Run a node until the block ends."""
    program = find_rabbitmq()
    with held_port() as port, held_port() as dist_port, held_port() as epmd_port:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # the Erlang cookie
            "RABBITMQ_NODENAME": f"mta-test-{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        (folder / "plugins").write_text("[].\n")
        with (
            _running([_EPMD, "-port", str(epmd_port)], environ, folder),
            _running([program], environ, folder) as server,
        ):
            _wait_until_it_answers(port, server)
            yield Node(f"amqp://guest:guest@127.0.0.1:{port}//", environ)


@contextlib.contextmanager
def _running(command, environ, folder):
    """A process and its children, killed at the end of the block."""
    with subprocess.Popen(
        command,
        env=environ,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_it_answers(port, process):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"rabbitmq-server ended: {process.returncode}")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 1) as probe,
        ):
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            probe.settimeout(5)
            if probe.recv(1):
                return
        time.sleep(0.1)
    raise RuntimeError("rabbitmq-server does not answer")
