"""The app behind gevent's WSGI server, made patient but not endlessly so.

gevent's own server waits for a client as long as it takes. Here every client has a
budget of waiting: ``PATIENCE_S`` at first, a second more for every ``MIN_RATE`` bytes
that come, never more than ``PATIENCE_S``. So nobody holds a greenlet by silence, nor
by a byte now and then, and a large upload on a slow line still gets through.

The process has to be patched by gevent (``monkey.patch_all()``) before.
"""

import contextlib
import io
import logging
import re
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from email.errors import (
    FirstHeaderLineIsContinuationDefect,
    MissingHeaderBodySeparatorDefect,
)
from http.client import HTTPException, HTTPMessage
from typing import TYPE_CHECKING, Any

import gevent
from gevent import pywsgi
from gevent.event import Event

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PATIENCE_S = 60.0
MIN_RATE = 4 * 1024  # bytes per second
MAX_CONNECTIONS = 1_000
MAX_CHUNK_BYTES = 64 * 1024
# What is read of a body that nobody wanted, so that the client sees our answer
# rather than a reset connection.
MAX_DISCARDED_BYTES = 256 << 20
DISCARD_PATIENCE_S = 5.0
GRACE = timedelta(seconds=30)

_LENGTH = re.compile(r"[0-9]{1,18}")
_NO_FIELD = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)

log = logging.getLogger(__name__)


class PacedSocket(io.RawIOBase):
    """The receiving half of a connection, with a budget of waiting."""

    def __init__(self, sock: socket.socket, *, patience_s: float, rate: float) -> None:
        self._socket = sock
        self._patience_s = patience_s
        self._rate = rate
        self._left_s = patience_s

    def readable(self) -> bool:
        return True

    def limit(self, left_s: float) -> None:
        """Have no more patience than ``left_s``."""
        self._left_s = min(self._left_s, left_s)

    def shut(self) -> None:
        """Receive nothing more: a waiting ``readinto`` sees the end at once."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def renew(self) -> None:
        """Be as patient as at first: a request is over."""
        self._left_s = self._patience_s

    def readinto(self, buffer: Any) -> int:
        """Receive what is there, waiting within the budget.

        Raises:
            TimeoutError: The budget is used up.
        """
        if self._left_s <= 0:
            raise TimeoutError("the client is too slow")
        began = time.monotonic()
        self._socket.settimeout(self._left_s)
        try:
            size = self._socket.recv_into(buffer)
        except TimeoutError:
            self._left_s = 0.0
            raise
        finally:
            self._socket.settimeout(self._patience_s)
        waited = time.monotonic() - began
        earned = self._left_s - waited + size / self._rate
        self._left_s = min(earned, self._patience_s)
        return size


class BoundedInput(pywsgi.Input):  # type: ignore[misc]
    """A request's body, of which an unwanted rest is not read without end."""

    def _discard(self) -> None:
        """Read the rest if it is small; otherwise the connection ends.

        Raises:
            OSError: It is not, so that what follows cannot be read.
        """
        if self.socket is not None and self.send_100_continue_enabled:
            if self.content_length or self.chunked_input:
                # The client waits for "100 Continue", so nothing is on its way.
                raise TimeoutError("the body was not asked for")
            return
        self.rfile.raw.limit(DISCARD_PATIENCE_S)
        left = MAX_DISCARDED_BYTES
        while block := self.read(MAX_CHUNK_BYTES):
            left -= len(block)
            if left < 0:
                raise TimeoutError("the rest of the body is too large to drop")


class Handler(pywsgi.WSGIHandler):  # type: ignore[misc]
    """One connection; knows whether it is between two requests."""

    # A client that is gone, or reads nothing, is no error of ours.
    ignored_socket_errors = (*pywsgi.WSGIHandler.ignored_socket_errors, "timed out")
    wsgi_input: Any

    def __init__(self, sock: socket.socket, address: object, server: "Server") -> None:
        self._paced = PacedSocket(
            sock, patience_s=server.patience_s, rate=server.min_rate
        )
        sock.settimeout(server.patience_s)
        super().__init__(sock, address, server, io.BufferedReader(self._paced))
        self._is_idle = True

    def handle(self) -> None:
        """Handle requests until the connection or the server ends."""
        self.server.handlers.add(self)
        try:
            super().handle()
        except TimeoutError:
            log.debug("too slow peer=%s", self.client_address)
        finally:
            self.server.handlers.discard(self)

    def handle_one_request(self) -> Any:
        if self.server.is_stopping:
            return None
        self._is_idle = True
        self._paced.renew()
        return super().handle_one_request()

    def read_requestline(self) -> str:
        line: str = super().read_requestline()
        self._is_idle = False
        return line

    def read_request(self, raw_requestline: str) -> bool:
        """Read the header section.

        Raises:
            ValueError: It is none, or came too slowly; pywsgi answers 400.
        """
        try:
            return bool(super().read_request(raw_requestline))
        except (OSError, HTTPException) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None

    def MessageClass(self, *arguments: Any) -> Any:  # noqa: N802 - pywsgi's name
        """Parse the header section, before pywsgi makes its own sense of it.

        Raises:
            ValueError: It is none, or leaves the request's end open.
        """
        fields = super().MessageClass(*arguments)
        _check_framing(fields)
        return fields

    def get_environ(self) -> Any:
        environ = super().get_environ()
        found = self.wsgi_input
        self.wsgi_input = BoundedInput(
            found.rfile, found.content_length, found.socket, found.chunked_input
        )
        environ["wsgi.input"] = self.wsgi_input
        return environ

    def finalize_headers(self) -> None:
        super().finalize_headers()
        if self.command == "HEAD":
            # pywsgi would end the body that is not there, and so begin the next
            # answer with it (RFC 9110 §9.3.2).
            self.response_use_chunked = False

    def handle_one_response(self) -> None:
        try:
            super().handle_one_response()
        finally:
            # pywsgi forgives a rest that could not be read; the next request would
            # be read out of it.
            if self.server.is_stopping or self._has_rest():
                self.close_connection = True

    def hang_up_if_idle(self) -> None:
        """Wake a connection that waits for its next request: there will be none."""
        if self._is_idle:
            self._paced.shut()

    def _has_rest(self) -> bool:
        body = self.wsgi_input
        if body.chunked_input:
            return bool(body.chunk_length)
        return bool(body.position < (body.content_length or 0))


def _check_framing(fields: HTTPMessage) -> None:
    """Insist on one end of the request that nobody can see elsewhere.

    What we took for the rest of one request, a proxy before us might have let
    through as another (RFC 9112 §5.1, §6.3, §11.2).
    """
    lengths = fields.get_all("Content-Length", [])
    codings = fields.get_all("Transfer-Encoding", [])
    # A line that is no field ends the section for this parser, but not for others.
    is_whole = not any(isinstance(found, _NO_FIELD) for found in fields.defects)
    is_certain = is_whole and len(lengths) + len(codings) <= 1
    is_known = all(coding.lower() == "chunked" for coding in codings)
    if not (is_certain and is_known and all(map(_LENGTH.fullmatch, lengths))):
        raise ValueError("the end of the request is not certain")


class Server(pywsgi.WSGIServer):  # type: ignore[misc]
    """gevent's server with our handler, and a stop that lets requests finish.

    Args:
        patience_s: How long a client may keep us waiting; see the module.
        min_rate: Bytes that earn a client another second.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        host: str,
        port: int,
        *,
        patience_s: float = PATIENCE_S,
        min_rate: float = MIN_RATE,
    ) -> None:
        super().__init__(
            (host, port),
            app,
            spawn=MAX_CONNECTIONS,
            handler_class=Handler,
            log=None,
            error_log=pywsgi.LoggingLogAdapter(log, logging.DEBUG),
            # Else it is asked of the DNS.
            environ={"SERVER_NAME": host},
        )
        self.patience_s = patience_s
        self.min_rate = min_rate
        self.handlers: set[Handler] = set()
        self.is_stopping = False

    def drain(self, grace: timedelta) -> None:
        """Accept nothing more, let running requests finish, then cut what is left."""
        self.is_stopping = True
        self.close()
        for handler in tuple(self.handlers):
            handler.hang_up_if_idle()
        self.stop(timeout=grace.total_seconds())


def serve(
    app: "WSGIApplication",
    host: str,
    port: int,
    *,
    ready: Callable[[str, int], None] | None = None,
    grace: timedelta = GRACE,
    patience_s: float = PATIENCE_S,
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT.

    Args:
        port: 0 for any free one.
        ready: Called with host and port once clients can connect.
        grace: How long running requests may take after the signal.
        patience_s: How long a client may keep us waiting; see the module.

    Raises:
        OSError: The address cannot be listened on.
    """
    server = Server(app, host, port, patience_s=patience_s)
    server.start()
    stop = Event()
    handlers = [
        gevent.signal_handler(number, stop.set)
        for number in (signal.SIGTERM, signal.SIGINT)
    ]
    bound = server.server_port
    log.info("listening host=%s port=%d", host, bound)
    if ready is not None:
        ready(host, bound)
    stop.wait()
    log.info("stopping connections=%d", len(server.handlers))
    server.drain(grace)
    for handler in handlers:
        handler.cancel()
