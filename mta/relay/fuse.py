"""How an attempt is cut short from outside, until its final dot is on its way."""

import contextlib
import socket
from collections.abc import Iterator
from threading import Lock

from mta.errors import Stopping


class Fuse:
    """Guards the socket of one attempt: blown, it cuts; committed, it never will.

    Whether the message may still be stopped and that it is stopped are decided
    under one lock: no dot leaves after a cut, and no cut comes after the dot.

    Attributes:
        is_blown: The attempt was cut before its dot: whatever else it fails with
            is a consequence of that.
    """

    def __init__(self) -> None:
        self.is_blown = False
        self._is_committed = False
        self._sock: socket.socket | None = None
        self._lock = Lock()

    def arm(self, sock: socket.socket) -> None:
        """From now on ``sock`` is what is cut.

        Raises:
            Stopping: the attempt was cut already.
        """
        with self._lock:
            self._check()
            self._sock = sock

    def disarm(self) -> None:
        """The attempt has let go of its socket."""
        with self._lock:
            self._sock = None

    def commit(self) -> None:
        """The final dot is about to be sent: from now on the attempt is left alone.

        Raises:
            Stopping: it was cut already; the dot must not be sent.
        """
        with self._lock:
            self._check()
            self._is_committed = True
            self._sock = None

    def blow(self) -> None:
        """Cut the attempt, unless it is committed."""
        with self._lock:
            if self._is_committed:
                return
            self.is_blown = True
            if self._sock is not None:
                # Unlike close(), this wakes up whoever waits for the socket.
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)

    def _check(self) -> None:
        if self.is_blown:
            raise Stopping


class Fuses:
    """The fuses of all attempts under way."""

    def __init__(self) -> None:
        self._fuses: set[Fuse] = set()
        self._lock = Lock()

    @contextlib.contextmanager
    def of(self, fuse: Fuse) -> Iterator[None]:
        """Have ``fuse`` among them while an attempt is under way."""
        with self._lock:
            self._fuses.add(fuse)
        try:
            yield
        finally:
            with self._lock:
                self._fuses.discard(fuse)

    def blow(self) -> None:
        """Cut all attempts that may still be cut."""
        with self._lock:
            fuses = list(self._fuses)
        for fuse in fuses:
            fuse.blow()
