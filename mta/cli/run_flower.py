"""The process of Flower: Celery's own program, made to end when it is told to.

Flower asks workers in threads, and a thread that asks while the broker is gone tries
for ever; Python would wait for it before it ends.
"""

import os
import sys

from celery.__main__ import main as celery_main


def main() -> None:
    """Run ``celery flower`` with our arguments; leave when it has said goodbye."""
    sys.argv[1:1] = ["-q", "-A", "mta.worker", "flower"]
    status: object = 0
    try:
        celery_main()
    except SystemExit as leaving:
        status = leaving.code or 0
    if not isinstance(status, int):
        print(status, file=sys.stderr)  # as Python would
        status = 1
    # Nothing is left to be kept: it holds what it shows in memory alone.
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
