"""A running system, as its user sees it: ``mta up`` in a folder of its own."""

import json
import os
import re
import signal
import smtplib
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from mta.embedded.leash import leashed

START_S = 90.0
STOP_S = 90.0


class Stack:
    """``mta up`` with ``config`` (the text of a zones.yaml), started and ready."""

    def __init__(self, folder: Path, config: str, *arguments: str) -> None:
        self._folder = folder
        self._config = folder / "zones.yaml"
        self._config.write_text(config)
        self._ready_file = folder / "ready.json"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.log_file = folder / "mta.log"
        self.accepted: list[str] = []  # ids of what was sent by HTTP

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "mta.cli.main", "up"]
        command += ["--config", str(self._config), "--state", str(self._folder / "var")]
        command += ["--ready-file", str(self._ready_file), *self._arguments]
        # Should these tests be killed, it does not run on.
        command = leashed(command, parent=os.getpid(), python=sys.executable)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MTA_")}
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environ
            )
        deadline = time.monotonic() + START_S
        while not self._ready_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                tail = self.log_file.read_text(errors="replace")[-4000:]
                raise RuntimeError(f"mta up did not become ready:\n{tail}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def ready(self) -> dict[str, Any]:
        """What the ready file says now."""
        answer: dict[str, Any] = json.loads(self._ready_file.read_text())
        return answer

    @property
    def supervisor(self) -> int:
        """The pid of ``mta up`` itself."""
        assert self._process is not None
        return self._process.pid

    def pids(self, prefix: str) -> list[int]:
        """Processes whose name begins with ``prefix``."""
        processes = self.ready["processes"]
        return [p["pid"] for p in processes if p["name"].startswith(prefix)]

    def kill(self, prefix: str) -> None:
        """``kill -9`` every process whose name begins with ``prefix``."""
        pids = self.pids(prefix)
        assert pids, prefix
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def peak_memory(self) -> dict[str, int]:
        """The most memory each process held since this was last asked; bytes."""
        peaks = {}
        for process in self.ready["processes"]:
            folder = Path(f"/proc/{process['pid']}")
            found = re.search(r"VmHWM:\s+([0-9]+) kB", (folder / "status").read_text())
            peaks[process["name"]] = int(found[1]) * 1024 if found else 0
            (folder / "clear_refs").write_text("5")  # reset the peak, proc(5)
        return peaks

    def smtp(self, interface: str | None = None) -> smtplib.SMTP:
        """A client of an interface, else of the first one."""
        doors = self.ready["smtp"]
        endpoint = doors[interface] if interface else next(iter(doors.values()))
        host, _, port = endpoint.rpartition(":")
        return smtplib.SMTP(host, int(port), timeout=60)

    def get(self, path: str) -> Any:
        """The JSON at a path of the API."""
        with urllib.request.urlopen(self.ready["api"] + path, timeout=30) as response:
            return json.load(response)

    def post(
        self,
        path: str,
        body: Any,
        content_type: str = "application/json",
        **fields: str,
    ) -> Any:
        """What the API answers to a document, or to raw bytes.

        Args:
            fields: More of the request's header, with ``_`` for ``-``.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        request = urllib.request.Request(
            self.ready["api"] + path,
            data=data,
            headers={"Content-Type": content_type, **named},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            answer = json.load(response)
        if path.startswith("/send"):
            self.accepted.append(answer["id"])
        return answer

    def deliveries(self, message_id: str) -> list[dict[str, Any]]:
        """The timeline of each recipient."""
        timeline = self.get(f"/v1/messages/{message_id}")
        found: list[dict[str, Any]] = timeline["deliveries"]
        return found

    def wait_until_finished(
        self, message_id: str, timeout_s: float = 60.0
    ) -> list[dict[str, Any]]:
        """The deliveries of a message once nothing more happens to any."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.deliveries(message_id)
            states = {delivery["state"] for delivery in found}
            if found and states <= {"delivered", "bounced", "expired"}:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
