"""Programs of others: found, or missed aloud; run within a time."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

RUN_S = 40.0
# Where Debian keeps what only root is supposed to run.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
HOST = "127.0.0.1"


def find_program(name: str, package: str) -> str:
    """The path of a program; skips where it is not installed, but not in CI.

    Args:
        package: Of Debian, for the reader.
    """
    found = shutil.which(name, path=_PATH)
    return found or miss(f"{name} is not installed (Debian: {package})")


def miss(reason: str) -> str:
    """Something is not there: a skip at home, a failure in CI."""
    if os.environ.get("CI") in {"1", "true"}:
        pytest.fail(f"{reason}, and CI must have it")
    pytest.skip(reason)


def need_root() -> None:
    """Mail servers change users, and only root can."""
    if os.geteuid() != 0:
        miss("needs root")


def run(
    *command: str | Path,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    expected: Sequence[int] = (0,),
) -> str:
    """Run a program to its end; return what it said on both of its outputs."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": _PATH} if env is None else dict(env),
        cwd=cwd,
        timeout=RUN_S,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode in expected, f"{done.returncode} from {command}:\n{said}"
    return said
