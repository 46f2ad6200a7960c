"""How much memory is left: of the machine's, or of what a control group may have.

Pages of files count as free, because the kernel gives them back before anything fails;
a group whose processes read and write much would seem full otherwise. Control groups
are those of version 2; Linux says all this in small files, which cost nothing to read.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")

_RECLAIMABLE = ("active_file", "inactive_file", "slab_reclaimable")
_VERSION_2 = "0::"


def free_memory(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> float | None:
    """The part that is free, from 0 to 1, where it is least: machine or group.

    None where nothing says so.
    """
    return min((*_of_machine(proc), *_of_groups(proc, cgroups)), default=None)


def _of_machine(proc: Path) -> Iterator[float]:
    figures = _read_figures(proc / "meminfo")
    total = figures.get("MemTotal:", 0)
    if total and "MemAvailable:" in figures:
        yield figures["MemAvailable:"] / total


def _of_groups(proc: Path, cgroups: Path) -> Iterator[float]:
    """Of our own group and those around it, as far as they have a limit."""
    folder = cgroups
    for name in ("", *_path_of_group(proc)):
        folder /= name
        limit = _read_text(folder / "memory.max").strip()  # or "max"
        used = _read_text(folder / "memory.current").strip()
        if limit.isdecimal() and used.isdecimal():
            stat = _read_figures(folder / "memory.stat")
            taken = int(used) - sum(stat.get(name, 0) for name in _RECLAIMABLE)
            yield max(0.0, 1 - max(0, taken) / max(1, int(limit)))


def _path_of_group(proc: Path) -> tuple[str, ...]:
    for line in _read_text(proc / "self/cgroup").split("\n"):
        if line.startswith(_VERSION_2):
            parts = PurePosixPath(line.removeprefix(_VERSION_2)).parts[1:]
            # Beyond the root that is shown to us there is nothing to be read.
            return () if ".." in parts else parts
    return ()


def _read_figures(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    lines = (line.split() for line in _read_text(path).split("\n"))
    return {
        words[0]: int(words[1])
        for words in lines
        if len(words) > 1 and words[1].isdecimal()
    }


def _read_text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, ValueError):  # it is not there, or not what we know
        return ""
