"""A daemon in the foreground, until the block ends."""

import contextlib
import os
import signal
import smtplib
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

START_S = 20.0
STOP_S = 10.0


class Daemon:
    """Runs a command, in a group of its own, whose output is its log."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, answers: Callable[[], None]
    ) -> None:
        self._command = [str(word) for word in command]
        self._log = log
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                self._answers()
                return self
            time.sleep(0.05)
        self.__exit__()
        tail = self._log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{self._command[0]} does not answer:\n{tail}")

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def greets(host: str, port: int, kind: type[smtplib.SMTP] = smtplib.SMTP):
    """A check whether a server answers there."""

    def check() -> None:
        kind(host, port, timeout=5).close()

    return check
