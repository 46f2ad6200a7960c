"""Run one SMTP listener until a signal; import after monkey patching."""

import signal
from collections.abc import Callable
from datetime import timedelta

import gevent
from gevent.event import Event

from mta.cli.process import say_ready
from mta.embedded.failure import StartFailed
from mta.smtpd.listener import Listener


def run_listener(listen: Callable[[], Listener], *, grace: timedelta) -> None:
    """Serve until SIGTERM or SIGINT, then let transactions that run end.

    Raises:
        StartFailed: The address cannot be had.
    """
    asked = Event()
    gevent.signal_handler(signal.SIGTERM, asked.set)
    gevent.signal_handler(signal.SIGINT, asked.set)
    try:
        listener = listen()
    except OSError as error:
        raise StartFailed(f"cannot listen: {error}") from error
    listener.start()
    say_ready()
    asked.wait()
    listener.stop(grace)
