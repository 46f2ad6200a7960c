"""Two ways to search for octets that break a promise.

atheris is guided by the code that an input reaches, and runs in a process of its own
(``child.py``), since libFuzzer never returns. Hypothesis puts inputs together from
words, seeds and noise; it is everywhere. Both call a target through ``Watch``, which
keeps the first input of each kind of failure and lets the search go on.
"""

import hashlib
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.words import WORDS

SEEDS: Final = Path(__file__).parent / "seeds"
MAX_INPUT: Final = 4096  # octets
MAX_SHRINKS: Final = 3000  # calls of the target
TOO_SLOW_S: Final = 20  # for one input, as instrumented
BATCH: Final = 500  # examples between two looks at the clock

_SHIPPED = "/mta/"


@dataclass
class Watch:
    """Calls a target and keeps what it finds.

    Attributes:
        known: Kinds of failures that are not to be reported.
        found: Shortened inputs of the other kinds, each with its report.
    """

    target: Target
    seeds: Sequence[Path] = ()
    known: set[str] = field(default_factory=set)
    found: dict[bytes, str] = field(default_factory=dict)
    calls: int = 0

    @classmethod
    def over(cls, name: str) -> "Watch":
        """Watch a target; what its seeds find is known: the test suite tells of it."""
        watch = cls(TARGETS[name], seeds_of(name))
        for path in watch.seeds:
            error = failure_of(watch.target, path.read_bytes())
            if error is not None:
                watch.known.add(kind_of(error))
        return watch

    def __call__(self, data: bytes) -> None:
        self.calls += 1
        error = failure_of(self.target, data)
        kind = None if error is None else kind_of(error)
        if error is None or kind is None or kind in self.known:
            return
        self.known.add(kind)

        def still_fails(shorter: bytes) -> bool:
            other = failure_of(self.target, shorter)
            return other is not None and kind_of(other) == kind

        report = "".join(traceback.format_exception(error))
        self.found[shrink(data, still_fails)] = report


def keep(folder: Path, data: bytes) -> Path:
    """Keep an input; its name is the beginning of its SHA-1."""
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    path = folder / digest[:12]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def seeds_of(name: str) -> list[Path]:
    """The inputs that are kept for a target."""
    folder = SEEDS / name
    return sorted(folder.iterdir()) if folder.is_dir() else []


def failure_of(target: Target, data: bytes) -> Exception | None:
    """Call a target; what it raises is what it found."""
    try:
        target(data)
    except Exception as error:
        return error
    return None


def kind_of(error: Exception) -> str:
    """Tell failures apart: by the promise, or by the line of ours that raised."""
    if isinstance(error, AssertionError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _SHIPPED in frame.filename] or frames
    return f"{type(error).__name__} in {Path(ours[-1].filename).name} {ours[-1].name}"


def shrink(data: bytes, still_fails: Callable[[bytes], bool]) -> bytes:
    """Leave out what is not needed to fail: halves first, single octets last."""
    calls, size = 0, (len(data) + 1) // 2
    while size > 0:
        at = 0
        while at < len(data) and calls < MAX_SHRINKS:
            shorter = data[:at] + data[at + size :]
            calls += 1
            if still_fails(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def inputs(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Noise; words in a row; and seeds, cut and patched."""
    pieces = st.one_of(st.binary(max_size=12), st.sampled_from(WORDS))
    if not seeds:
        return _rows(pieces)
    places = st.floats(0, 1)
    slices = st.builds(_slice, st.sampled_from(seeds), places, places)
    pieces = st.one_of(pieces, slices)
    sizes = st.integers(0, 8)
    patched = st.builds(_patch, st.sampled_from(seeds), places, sizes, pieces)
    return st.one_of(_rows(pieces), patched)


def _rows(pieces: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.binary(max_size=300), st.lists(pieces, max_size=10).map(b"".join)
    )


def _slice(data: bytes, one: float, other: float) -> bytes:
    first, last = sorted((int(one * len(data)), int(other * len(data))))
    return data[first : last + 1]


def _patch(data: bytes, place: float, size: int, piece: bytes) -> bytes:
    at = int(place * len(data))
    return data[:at] + piece + data[at + size :]


def examine(watch: Watch, examples: int, *, number: int | None = None) -> None:
    """Call a target with that many inputs of Hypothesis's.

    Args:
        number: Of the dice; None: always the same.
    """

    @settings(
        max_examples=examples,
        derandomize=number is None,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs([path.read_bytes() for path in watch.seeds]))
    def call(data: bytes) -> None:
        watch(data)

    (call if number is None else seed(number)(call))()


def search_with_hypothesis(name: str, seconds: float) -> tuple[Watch, str]:
    """Examine a target for so long; returns also what it came to."""
    watch = Watch.over(name)
    number = time.time_ns()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        examine(watch, BATCH, number=number)
        number += 1
    return watch, f"{watch.calls} inputs"


def has_atheris() -> bool:
    """Whether it is installed: dependency group ``fuzz``."""
    return find_spec("atheris") is not None


def search_with_atheris(name: str, seconds: float) -> tuple[Watch, str]:
    """Let libFuzzer examine a target for so long; returns also what it came to.

    Raises:
        RuntimeError: It ended otherwise than it should have, without a failure.
    """
    watch = Watch.over(name)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        place = Path(temporary)
        for folder in ("corpus", "left", "found"):
            (place / folder).mkdir()
        command = [sys.executable, "-m", "tests.fuzz.child", name, temporary]
        with (place / "log").open("wb") as log:
            done = subprocess.run(
                [*command, f"{seconds:.0f}"], stdout=log, stderr=log, check=False
            )
        text = (place / "log").read_text(errors="replace")
        for path in sorted((place / "found").glob("*.txt")):
            watch.found[path.with_suffix("").read_bytes()] = path.read_text()
        for path in sorted((place / "left").iterdir()):
            kind = path.name.partition("-")[0]  # timeout, oom, crash
            watch.found[path.read_bytes()] = f"libFuzzer: {kind}\n{text[-3000:]}"
    if done.returncode and not watch.found:
        raise RuntimeError(f"atheris ended with {done.returncode}:\n{text[-3000:]}")
    return watch, _summarize(text)


def _summarize(log: str) -> str:
    """The last of libFuzzer's counts."""
    lines = reversed(log.splitlines())
    counts = next((line for line in lines if " cov: " in line), "")
    number = counts.partition("\t")[0].removeprefix("#") or "no"
    edges = counts.partition(" cov: ")[2].partition(" ")[0] or "no"
    return f"{number} inputs, {edges} edges"
