"""One client's socket, and the session that it drives.

Octets go from the socket to ``ServerSession``, its questions to ``Reception``, its
replies back. Works on blocking sockets of any kind: a thread's, or gevent's,
whose ``recv`` lets other greenlets run. Whatever ends a connection, a message
that was not committed is aborted.
"""

import base64
import contextlib
import logging
import os
import socket
import ssl
import time
from datetime import timedelta

from mta.reply import make_reply
from mta.smtp.events import SessionEnded, TlsWanted
from mta.smtp.options import SessionOptions
from mta.smtp.server import ServerSession
from mta.smtpd.pace import Pace
from mta.smtpd.reception import Reception
from mta.smtpd.service import Client, Service
from mta.smtpd.tls import describe, shake_hands

log = logging.getLogger(__name__)

BLOCK_BYTES = 64 * 1024
# A read of so much is likely not all there is: a record of TLS has no more.
FULL_BYTES = 16 * 1024
LINGER = timedelta(seconds=1)
LINGER_BLOCKS = 100

TOO_SLOW = make_reply(421, "4.4.2", "Timeout, closing connection")
TOO_LONG = make_reply(421, "4.4.2", "Session is too long, connect again")
GOING_DOWN = make_reply(421, "4.3.2", "Service is shutting down")


class Connection:
    """One client, from greeting to close.

    Args:
        sock: Connected; ours to close.
        client: Whom it connects us with.
        service: What its listener offers.
        options: In place of the service's.
    """

    def __init__(
        self,
        sock: socket.socket,
        client: Client,
        service: Service,
        options: SessionOptions | None = None,
    ) -> None:
        self.id = base64.b32encode(os.urandom(10)).decode("ascii").lower()
        self._socket = sock
        self._service = service
        self._session = ServerSession(
            options or service.options, is_tls=bool(client.tls), now=service.now
        )
        self._reception = Reception(self._session, service, client, self.id)
        self._pace = Pace(service.idle.total_seconds())
        self._began_s = time.monotonic()
        self._mark = 0
        self._is_draining = False
        self._is_waiting = False

    def run(self) -> None:
        """Serve the client until either side ends it."""
        try:
            self._socket.sendall(self._session.greeting())
            self._serve()
            self._send()
            linger(self._socket)
        except OSError as error:
            log.debug("cut session=%s error=%s", self.id, error)
        finally:
            self._reception.abort()
            self._socket.close()

    def drain(self) -> None:
        """End the session as soon as no transaction is open; returns at once."""
        self._is_draining = True
        if self._is_waiting and self._session.is_idle:
            # Wakes the reader up, which sees the end of its input. Not by its own
            # shutdown(): on a socket with TLS that would end the encryption.
            with contextlib.suppress(OSError):
                twin = socket.socket(fileno=os.dup(self._socket.fileno()))
                with twin:
                    twin.shutdown(socket.SHUT_RD)

    def _serve(self) -> None:
        session = self._session
        while True:
            event = session.next_event()
            if event is None:
                self._exchange()
            elif isinstance(event, SessionEnded):
                return
            elif isinstance(event, TlsWanted):
                self._start_tls()
            else:
                self._reception.handle(event)

    def _start_tls(self) -> None:
        """Shake hands; octets in clear that are still to be read come to nothing."""
        self._send()
        if self._service.tls is None:
            raise ConnectionAbortedError("TLS was never offered")
        self._socket = shake_hands(self._socket, self._service.tls.current())
        self._session.begin_tls()
        self._reception.note_tls(describe(self._socket))
        self._pace.restart()

    def _exchange(self) -> None:
        """Send what is to be sent, and read what there is to read."""
        session = self._session
        self._send()
        lasted_s = time.monotonic() - self._began_s
        lifetime_s = self._service.lifetime.total_seconds()
        if lasted_s > (lifetime_s if session.is_idle else 2 * lifetime_s):
            session.hang_up(TOO_LONG)
            return
        try:
            data = self._receive()
        except TimeoutError:
            session.hang_up(TOO_SLOW)
            return
        if data:
            session.receive(data)
            if len(data) >= FULL_BYTES:
                self._service.breathe()
        elif self._is_draining and session.is_idle:
            session.hang_up(GOING_DOWN)
        else:
            raise ConnectionResetError("closed by the client")

    def _receive(self) -> bytes:
        """Read a block, or what there is of it.

        Empty at the end of the input, and when we want no more.

        Raises:
            TimeoutError: The client was too slow.
        """
        session, pace = self._session, self._pace
        # All of a message's content is one stretch, any command line another.
        mark = 0 if session.is_reading_content else session.lines_read
        if mark != self._mark:
            self._mark = mark
            pace.restart()
        patience = pace.begin_wait()
        if not patience:
            raise TimeoutError
        self._socket.settimeout(patience)
        # drain() sets its flag and then reads ours; we set ours and then read
        # drain()'s. One of the two sees the other.
        self._is_waiting = True
        try:
            if self._is_draining and session.is_idle:
                return b""
            data = self._socket.recv(BLOCK_BYTES)
        finally:
            self._is_waiting = False
        pace.end_wait(len(data) if session.is_reading_content else 0)
        return data

    def _send(self) -> None:
        data = self._session.data_to_send()
        if data:
            self._socket.settimeout(self._service.idle.total_seconds())
            self._socket.sendall(data)


def linger(sock: socket.socket) -> None:
    """Say that we are done and wait for the client to be done, but not for long.

    A client that still talks when we close would get a reset, and might never
    read our last reply.
    """
    if isinstance(sock, ssl.SSLSocket):
        sock.settimeout(LINGER.total_seconds())
        sock = sock.unwrap()  # says that we are done, and waits for the client's word
    sock.shutdown(socket.SHUT_WR)
    pace = Pace(LINGER.total_seconds())
    for _ in range(LINGER_BLOCKS):
        patience = pace.begin_wait()
        if not patience:
            return
        sock.settimeout(patience)
        if not sock.recv(BLOCK_BYTES):
            return
        pace.end_wait()
