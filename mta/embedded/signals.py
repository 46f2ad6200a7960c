"""Signals as something to wait for, together with time.

While a ``Signals`` is entered, the process's signals wake the one selector instead
of interrupting code anywhere: nobody else has to be prepared for them.
"""

import os
import selectors
import signal
import socket
from types import FrameType
from typing import Any, Self

STOPPING = frozenset({signal.SIGINT, signal.SIGTERM})
_WATCHED = STOPPING | {signal.SIGCHLD, signal.SIGHUP}


class Signals:
    """Wakes ``wait`` when a child ends, and tells when somebody wants us to stop.

    SIGHUP asks for a reload; unless it says that the terminal is gone on which we were
    started, and so should we be.

    Attributes:
        is_reload_asked: Set by SIGHUP; for the caller to clear.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._previous: dict[signal.Signals, Any] = {}
        self._previous_fd = -1
        self._is_tied = False
        self.is_reload_asked = False

    def __enter__(self) -> Self:
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._previous_fd = signal.set_wakeup_fd(
            self._writer.fileno(), warn_on_full_buffer=False
        )
        for number in _WATCHED:
            self._previous[number] = signal.signal(number, _note)
        # As nohup says it: the terminal does not matter.
        is_loose = self._previous[signal.SIGHUP] == signal.SIG_IGN
        self._is_tied = _has_terminal() and not is_loose
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._selector.close()
        self._reader.close()
        self._writer.close()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for a signal; tells whether one of ``STOPPING`` came."""
        if not self._selector.select(timeout_s):
            return False
        numbers = b""
        try:
            while block := self._reader.recv(4096):
                numbers += block
        except BlockingIOError:
            pass
        if signal.SIGHUP in numbers:
            if self._is_tied and not _has_terminal():
                return True
            self.is_reload_asked = True
        return any(number in STOPPING for number in numbers)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: Python has written the number to the wakeup descriptor."""
