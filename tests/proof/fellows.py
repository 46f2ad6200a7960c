"""More workers for the zones of a running ``mta up``, as on machines of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from mta.config.load import load_config
from mta.embedded import commands
from mta.embedded.child import READY_FILE, READY_SUFFIX, RELOADED_SUFFIX
from mta.embedded.leash import leashed
from tests.support.stack import Stack

START_S = 120.0
STOP_S = 60.0
_POLL_S = 0.05


class Fellow:
    """One worker process, with the environment of those that ``mta up`` runs.

    Args:
        folder: Where the zones.yaml of ``mta up`` is.
        name: The machine's, as peers see it in EHLO.
    """

    def __init__(
        self, stack: Stack, folder: Path, name: str, zones: Sequence[str]
    ) -> None:
        self.name = name
        self._stack = stack
        self._folder = folder
        self._zones = zones
        self._ready = folder / f"{name}{READY_SUFFIX}"
        self._reloaded = folder / f"{name}{RELOADED_SUFFIX}"
        self._log = folder / f"{name}.log"

    def __enter__(self) -> Self:
        config = load_config(self._folder / "zones.yaml", os.environ)
        zones = [config.zones[zone] for zone in self._zones]
        node = f"{commands.worker_name(zones)}@%h"
        command = [
            f"{self.name}@%h" if word == node else word
            for word in commands.worker_command(zones, log_level="info")
        ]
        own = {"MTA_HOSTNAME": self.name, "MTA_PROCESS_NAME": self.name}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                leashed(command, parent=os.getpid(), python=sys.executable),
                env={**self._environ(), **own, READY_FILE: str(self._ready)},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        if not self._wait_for(self._ready, START_S):
            self.__exit__()
            raise RuntimeError(f"{self.name} did not become ready; see {self._log}")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._process.kill()
        self._process.wait()

    def reload(self) -> None:
        """Ask for it, as an operator asks who has no ``mta up`` there."""
        self._reloaded.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGHUP)

    def wait_reloaded(self, timeout_s: float) -> float | None:
        """When it had reloaded, on the wall clock; None: it has not."""
        if not self._wait_for(self._reloaded, timeout_s):
            return None
        return self._reloaded.stat().st_mtime

    def _environ(self) -> dict[str, str]:
        (pid, *_) = self._stack.pids("worker@")
        block = Path(f"/proc/{pid}/environ").read_bytes().decode()
        return dict(pair.split("=", 1) for pair in block.split("\0") if pair)

    def _wait_for(self, file: Path, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not file.exists():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_S)
                return False
            if time.monotonic() > deadline:
                return False
        return True
