"""Who reads slowly costs time and no memory; ``make proof-smtp`` has 100 MiB of it."""

import pytest

from tests.proof.reader import Trial, readers
from tests.proof.report import MIB

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_slow_and_fast_readers_get_all_of_it_and_it_is_never_held(tmp_path):
    """By DATA and in pieces: each octet arrives, and no sender grows with the size."""
    with readers(4 * MIB) as sinks:
        trial = Trial(sinks, 16 * MIB, 4 * MIB)

        trial.run(tmp_path)

    assert trial.violations == [], "\n".join(trial.report())
