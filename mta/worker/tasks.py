"""The Celery tasks: three lines each. What they do stands in its own module.

A task's whole argument is an id. Losing, delaying or repeating it is harmless.
"""

from typing import Protocol

from mta.worker.celery import app
from mta.worker.doorbell import SWEEP_TASK, TASK


class Attempts(Protocol):
    """Tries deliveries."""

    def attempt(self, delivery_id: str) -> None: ...


class Sweeper(Protocol):
    """Deletes what is no longer needed."""

    def sweep(self) -> int: ...


class Bench:
    """What the tasks of this process work with; filled once at its start."""

    attempts: Attempts
    sweeper: Sweeper


bench = Bench()


@app.task(name=TASK, max_retries=None, send_events=False)
def deliver(delivery_id: str) -> None:
    """Doorbell for one delivery; losing or repeating it is harmless."""
    bench.attempts.attempt(delivery_id)


@app.task(name=SWEEP_TASK)
def sweep() -> None:
    """Delete bodies that no delivery needs any more."""
    bench.sweeper.sweep()
