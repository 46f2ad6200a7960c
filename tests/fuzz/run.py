"""Search for input that breaks a promise (``make fuzz``).

Each target is searched for the same time by each engine: atheris, if the dependency
group ``fuzz`` is installed, then Hypothesis. What breaks a promise is shortened, kept
under ``tests/fuzz/seeds/``, from then on part of the test suite; the exit code is 1.
"""

import argparse
import sys
import time

from tests.fuzz.engines import (
    SEEDS,
    has_atheris,
    keep,
    search_with_atheris,
    search_with_hypothesis,
)
from tests.fuzz.targets import TARGETS

ENGINES = {"atheris": search_with_atheris, "hypothesis": search_with_hypothesis}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument(
        "--seconds", type=float, default=600, help="for each target, with each engine"
    )
    parser.add_argument("--target", choices=TARGETS, action="append", help="or all")
    parser.add_argument("--engine", choices=ENGINES, help="or both")
    given = parser.parse_args()
    engines = [given.engine] if given.engine else list(ENGINES)
    if "atheris" in engines and not has_atheris():
        if given.engine:
            parser.error("atheris is not installed (dependency group fuzz)")
        print("atheris is not installed (dependency group fuzz): Hypothesis alone")
        engines = ["hypothesis"]
    found = sum(
        _search(name, engine, given.seconds)
        for name in given.target or TARGETS
        for engine in engines
    )
    print(f"{found} new failures" if found else "no promise was broken")
    return 1 if found else 0


def _search(name: str, engine: str, seconds: float) -> int:
    began_s = time.monotonic()
    watch, came_to = ENGINES[engine](name, seconds)
    lasted_s = time.monotonic() - began_s
    for data, report in watch.found.items():
        path = keep(SEEDS / name, data)
        print(f"{path.relative_to(SEEDS.parent)}: {data[:2000]!r}\n{report}")
    new = f"{len(watch.found)} new" if watch.found else "nothing"
    print(f"{name:13} {engine:10} {lasted_s:5.0f} s  {new:8} {came_to}", flush=True)
    return len(watch.found)


if __name__ == "__main__":
    sys.exit(main())
