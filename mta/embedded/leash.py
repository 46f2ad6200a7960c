"""Run a command that does not outlive the process that started it.

``python -m mta.embedded.leash [--parent PID] -- COMMAND [ARGUMENT]...``

The kernel sends the command SIGTERM when its parent ends, however it ends: a
``kill -9`` of ``mta up`` leaves no database and no worker behind (Linux,
``PR_SET_PDEATHSIG``). The request survives ``exec``, so the command runs in this
very process, under this pid. Only the standard library is imported, because this
runs before every child and may run without site-packages.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

USAGE = "usage: python -m mta.embedded.leash [--parent PID] -- COMMAND [ARGUMENT]..."


def leashed(command: Sequence[str], *, parent: int, python: str) -> list[str]:
    """The argument vector that runs ``command`` on a leash held by ``parent``."""
    # -I -S: neither the environment nor site-packages matter, and it starts in
    # a third of the time.
    own = [python, "-I", "-S", str(Path(__file__).resolve()), "--parent", str(parent)]
    return [*own, "--", *command]


def parse_arguments(arguments: Sequence[str]) -> tuple[int | None, list[str]]:
    """Read ``[--parent PID] -- COMMAND...``.

    Raises:
        ValueError: The arguments have another form.
    """
    own, separator, command = _split(list(arguments))
    if not separator or not command:
        raise ValueError("no command")
    if not own:
        return None, command
    if len(own) != 2 or own[0] != "--parent":
        raise ValueError(f"unknown option {own[0]!r}")
    return int(own[1]), command


def main(arguments: Sequence[str]) -> int:
    """Ask the kernel for the signal, then become the command."""
    try:
        parent, command = parse_arguments(arguments)
    except ValueError as error:
        sys.stderr.write(f"leash: {error}\n{USAGE}\n")
        return 2
    expected = os.getppid() if parent is None else parent
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        sys.stderr.write(f"leash: prctl: {os.strerror(ctypes.get_errno())}\n")
        return 1
    if os.getppid() != expected:
        return 1  # the parent ended before the kernel knew what we want
    # Until the command heeds it: it reads the newest configuration then anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Python ignores SIGPIPE, and exec would hand that on.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted here
    except OSError as error:
        sys.stderr.write(f"leash: {command[0]}: {error.strerror}\n")
    return 127


def _split(arguments: list[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in arguments:
        return arguments, False, []
    at = arguments.index("--")
    return arguments[:at], True, arguments[at + 1 :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
