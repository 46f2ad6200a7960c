"""CPU time in a measure of which every machine has its own: turns of a plain loop.

So what a test calls quick is quick on a slow or busy machine, too.
"""

import time
from collections.abc import Callable
from typing import Final

_TURNS: Final = 1_000_000
_TRIES: Final = 3


def costs_at_most(millions_of_turns: float, run: Callable[[], object]) -> bool:
    """Whether ``run`` takes no more CPU time than so much of an empty loop.

    A million turns take 20 to 40 ms of a core of these years. One of three tries has
    to be quick enough: what else the machine does slows single ones.
    """
    return any(
        _spent_s(run) <= millions_of_turns * _spent_s(_loop) for _ in range(_TRIES)
    )


def _loop() -> None:
    for _ in range(_TURNS):
        pass


def _spent_s(run: Callable[[], object]) -> float:
    began_s = time.process_time()
    run()
    return time.process_time() - began_s
