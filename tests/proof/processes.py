"""Processes as the kernel sees them: what they hold, and where they run."""

import contextlib
import os
import resource
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tests.support.stack import Stack


def resident(stack: Stack) -> dict[str, int]:
    """Memory that each process of a stack has in RAM now, in bytes."""
    return {p["name"]: resident_bytes(p["pid"]) for p in stack.ready["processes"]}


def resident_bytes(pid: int) -> int:
    """VmRSS of proc(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def pin(pid: int, cpus: Collection[int]) -> None:
    """Keep a process on some processors: the threads it has, and those it starts."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread that has just ended
            os.sched_setaffinity(int(task.name), cpus)


@contextlib.contextmanager
def pinned(cpus: Collection[int]) -> Iterator[None]:
    """Run the block there, and whatever it starts, for ever."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_open_files(count: int) -> None:
    """For ourselves and those we start from now on.

    Raises:
        ValueError: The hard limit is lower, and we may not raise it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        limits = (count, max(count, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def cpu_seconds(pids: Iterable[int]) -> float:
    """What processes have used so far, and those of their children that have ended."""
    ticks = 0
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat").read_text()
        # utime, stime, cutime and cstime of proc(5).
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
