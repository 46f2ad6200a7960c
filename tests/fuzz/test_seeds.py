"""The seeds, and a few hundred inputs more for each target: always the same ones."""

import pytest

from tests.fuzz.engines import (
    SEEDS,
    Watch,
    examine,
    failure_of,
    kind_of,
    seeds_of,
    shrink,
)
from tests.fuzz.promises import promise
from tests.fuzz.targets import TARGETS

EXAMPLES = 200
SLOW = {"session": 100, "linear": 40}  # examples for those that do much

# Seeds that break a promise still: "target/name" to what is to be done about it.
KNOWN: dict[str, str] = {}


def parameters_of(name, path):
    key = f"{name}/{path.name}"
    marks = pytest.mark.xfail(reason=KNOWN[key]) if key in KNOWN else ()
    return pytest.param(name, path, id=key, marks=marks)


ALL_SEEDS = [parameters_of(name, path) for name in TARGETS for path in seeds_of(name)]


@pytest.mark.parametrize(("name", "path"), ALL_SEEDS)
def test_a_seed_breaks_no_promise(name, path):
    """What was worth keeping once is tried with every change."""
    TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_input_that_nobody_thought_of_breaks_no_promise(name):
    """A short search, derandomized; the long one is ``make fuzz``."""
    watch = Watch.over(name)

    examine(watch, SLOW.get(name, EXAMPLES))

    assert watch.found == {}


def test_every_target_has_seeds_and_no_seed_is_forgotten():
    """A folder of a target that is gone would never be run."""
    assert {folder.name for folder in SEEDS.iterdir()} == set(TARGETS)
    assert {parameters.id for parameters in ALL_SEEDS} >= set(KNOWN)


def has_no_needle(data):
    """A target that breaks its promise for some inputs."""
    promise(b"needle" not in data, "there is no needle")
    if b"pin" in data:
        raise LookupError("a pin")


def test_a_failure_is_kept_once_and_shortened():
    """The search goes on behind it, or the first failure would hide all others."""
    watch = Watch(has_no_needle)

    for data in (b"hay", b"hay needle hay", b"needle", b"a pin in hay"):
        watch(data)

    assert list(watch.found) == [b"needle", b"pin"]
    assert watch.calls == 4


def test_failures_that_are_known_are_not_reported():
    """What a seed shows already needs no second seed."""
    error = failure_of(has_no_needle, b"needle")
    watch = Watch(has_no_needle, known={kind_of(error)})

    watch(b"another needle")

    assert watch.found == {}


def test_shrinking_ends():
    """Also if nothing can be left out."""
    data = bytes(range(256))

    assert shrink(data, lambda shorter: shorter == data) == data
