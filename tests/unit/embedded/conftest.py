import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from mta.embedded.child import Child, Process, Role
from mta.embedded.supervisor import Patience, Supervisor

# Children are small Python programs; isolated, they start in a few milliseconds.
PYTHON = (sys.executable, "-I", "-S", "-c")

QUICK = Patience(probe_s=0.01, first_s=0.01, longest_s=0.02, young_s=10)

WAITS = """
import pathlib, signal, sys
def end(*_):
    with open(LOG, "a") as log: log.write(NAME + " stopped\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
with open(LOG, "a") as log: log.write(NAME + " started\\n")
pathlib.Path(MARKER).touch()
while True: signal.pause()
"""


class Bench:
    """A folder with children that log what happens to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.ready: list[list[Process]] = []
        self.ended: list[int] = []

    def marker(self, name: str) -> Path:
        return self.folder / f"{name}.ready"

    def a_child(
        self,
        name: str = "child",
        program: str = WAITS,
        role: Role = Role.WORKER,
        grace_s: float = 20.0,
        **names: object,
    ) -> Child:
        names = {
            "NAME": name,
            "LOG": str(self.log),
            "MARKER": str(self.marker(name)),
            **names,
        }
        head = "".join(f"{key} = {value!r}\n" for key, value in names.items())
        return Child(
            name=name,
            role=role,
            argv=(*PYTHON, head + program),
            env=dict(os.environ),
            is_ready=self.marker(name).exists,
            grace_s=grace_s,
            marker=self.marker(name),
        )

    def run(
        self, *groups: Sequence[Child], on_ready=None, patience=QUICK, **options
    ) -> None:
        """Run a supervisor; by default it is told to stop once all are ready."""

        def note(processes: Sequence[Process]) -> None:
            self.ready.append(list(processes))
            (on_ready or (lambda _: stop()))(processes)

        Supervisor(
            groups,
            on_ready=note,
            on_end=self.ended.append,
            patience=patience,
            **options,
        ).run()

    @property
    def history(self) -> list[str]:
        return self.log.read_text().splitlines()


def stop() -> None:
    """Ask the supervisor in this process to stop, as Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def bench(tmp_path: Path):
    """Children, a log of theirs, and a bound on how long a test may hang."""
    # The supervisor waits for signals for ever: a bug must not make a test do so.
    timer = threading.Timer(60, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    yield Bench(tmp_path)
    timer.cancel()
    timer.join()
