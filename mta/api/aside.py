"""Long computations beside the event loop.

All clients of a process share one thread, in which nothing may take long. Reading
tens of megabytes of JSON does; so that is done in a thread of its own, which takes
turns with the loop's every few milliseconds.
"""

from collections.abc import Callable
from typing import TypeVar

import gevent

T = TypeVar("T")


def aside(compute: Callable[[], T]) -> T:
    """Do ``compute`` in another thread; other greenlets run meanwhile.

    It may compute, and nothing else: a database's connections, locks and events belong
    to the loop of the thread that made them, and would be left waiting for ever.

    Raises:
        Exception: What ``compute`` raised.
    """

    def attempt() -> tuple[T, None] | tuple[None, Exception]:
        # What leaves a gevent thread as an exception is printed to stderr.
        try:
            return compute(), None
        except Exception as error:  # noqa: BLE001 - it is raised again below
            return None, error

    result, error = gevent.get_hub().threadpool.apply(attempt)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]
