"""One client's socket, and the session that it drives.

Octets go from the socket to ``ServerSession``, its questions to the intake, its
replies back. Works on blocking sockets of any kind: a thread's, or gevent's,
whose ``recv`` lets other greenlets run. Whatever ends a connection, a message
that was not committed is aborted.
"""

import base64
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from mta.errors import Rejected, StoreUnavailable
from mta.mail.envelope import Envelope
from mta.reply import Reply, make_reply
from mta.smtp.events import (
    ContentChunk,
    ContentEnded,
    ContentStarted,
    Event,
    MailReceived,
    RcptReceived,
    SessionEnded,
    TransactionReset,
)
from mta.smtp.options import SessionOptions
from mta.smtp.server import ServerSession
from mta.smtpd.pace import Pace
from mta.smtpd.ports import Intake, Screen, Submission

log = logging.getLogger(__name__)

T = TypeVar("T")

BLOCK_BYTES = 64 * 1024
LINGER = timedelta(seconds=1)
LINGER_BLOCKS = 100

TOO_SLOW = make_reply(421, "4.4.2", "Timeout, closing connection")
GOING_DOWN = make_reply(421, "4.3.2", "Service is shutting down")
STORE_DOWN = make_reply(451, "4.3.0", "Cannot store the message now, try later")
BROKEN = make_reply(451, "4.3.0", "Local error, try later")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What all connections of one listener share.

    Attributes:
        interface: Name of the interface, for the envelope and the log.
        idle: How long a client may be silent.
        now: The clock; aware UTC.
        screen: Asked at each RCPT; None takes every recipient.
        breathe: Called between blocks that come in faster than we work, so
            that one client cannot keep the event loop to itself.
    """

    interface: str
    options: SessionOptions
    intake: Intake
    idle: timedelta
    now: Callable[[], datetime]
    screen: Screen | None = None
    breathe: Callable[[], None] = lambda: None


class Connection:
    """One client, from greeting to close.

    Args:
        sock: Connected; ours to close.
        origin: The client's IP address.
        service: What its listener offers.
    """

    def __init__(self, sock: socket.socket, origin: str, service: Service) -> None:
        self.origin = origin
        self.id = base64.b32encode(os.urandom(10)).decode("ascii").lower()
        self._socket = sock
        self._service = service
        self._session = ServerSession(service.options)
        self._pace = Pace(service.idle.total_seconds())
        self._submission: Submission | None = None
        self._refusal: Reply | None = None
        self._reverse_path = ""
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
            self._abort()
            self._socket.close()

    def drain(self) -> None:
        """End the session as soon as no transaction is open; returns at once."""
        self._is_draining = True
        if self._is_waiting and self._session.is_idle:
            # Wakes the reader up, which sees the end of its input.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)

    def _serve(self) -> None:
        session = self._session
        while True:
            event = session.next_event()
            if event is None:
                self._exchange()
            elif isinstance(event, SessionEnded):
                return
            else:
                self._handle(event)

    def _exchange(self) -> None:
        """Send what is to be sent, and read what there is to read."""
        session = self._session
        self._send()
        try:
            data = self._receive()
        except TimeoutError:
            session.hang_up(TOO_SLOW)
            return
        if data:
            session.receive(data)
            if len(data) == BLOCK_BYTES:
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
        except OSError as error:
            # gevent's way to wake a reader up whose socket was shut down.
            if self._is_draining and error.errno == errno.EBADF:
                return b""
            raise
        finally:
            self._is_waiting = False
        pace.end_wait(len(data) if session.is_reading_content else 0)
        return data

    def _send(self) -> None:
        data = self._session.data_to_send()
        if data:
            self._socket.settimeout(self._service.idle.total_seconds())
            self._socket.sendall(data)

    # What the session asks and tells.

    def _handle(self, event: Event) -> None:
        match event:
            case ContentChunk(data):
                self._write(data)
            case MailReceived(reverse_path, _):
                self._reverse_path = reverse_path
                self._session.answer()
            case RcptReceived(reverse_path, recipient):
                self._session.answer(self._screen(reverse_path, recipient))
            case ContentStarted():
                self._session.answer(self._begin(event))
            case ContentEnded(size):
                self._session.answer(self._commit(size))
            case TransactionReset():
                self._abort()

    def _screen(self, reverse_path: str, recipient: str) -> Reply | None:
        screen = self._service.screen
        if screen is None:
            return None
        reply = self._try(partial(screen, reverse_path, recipient))
        if reply is not None and not reply.is_positive:
            self._log_refusal(reply, f"recipient=<{recipient}>")
        return reply

    def _begin(self, event: ContentStarted) -> Reply | None:
        service = self._service
        envelope = Envelope(
            reverse_path=event.reverse_path,
            recipients=event.recipients,
            interface=service.interface,
            protocol=event.protocol,
            received_at=service.now(),
            session_id=self.id,
            origin=self.origin,
            helo=event.helo,
            smtputf8=event.smtputf8,
            body_8bit=event.body_8bit,
        )
        begun = self._try(partial(service.intake.begin, envelope))
        if isinstance(begun, Reply):
            return begun
        self._submission = begun
        return None

    def _write(self, data: bytes) -> None:
        if self._submission is None:
            return  # refused already; the client hears so at the end
        refusal = self._try(partial(self._submission.write, data))
        if refusal is not None:
            self._abort()
            self._refusal = refusal

    def _commit(self, size: int) -> Reply:
        submission, self._submission = self._submission, None
        if submission is None:
            return self._refusal or BROKEN
        accepted = self._try(submission.commit)
        if isinstance(accepted, Reply):
            return accepted
        log.debug("accepted id=%s session=%s bytes=%d", accepted.id, self.id, size)
        return make_reply(250, "2.0.0", f"Message queued as {accepted.id}")

    def _abort(self) -> None:
        submission, self._submission = self._submission, None
        if submission is not None:
            self._try(submission.abort)

    def _try(self, step: Callable[[], T]) -> T | Reply:
        """Do one step of the intake; a reply in place of its result is a refusal."""
        try:
            return step()
        except Rejected as error:
            self._log_refusal(error.reply, error.detail)
            return error.reply
        except StoreUnavailable as error:
            self._log_refusal(STORE_DOWN, str(error))
            return STORE_DOWN
        except Exception:
            log.exception("intake failed session=%s", self.id)
            return BROKEN

    def _log_refusal(self, reply: Reply, detail: str) -> None:
        log.info(
            "refused session=%s interface=%s origin=%s from=<%s> reply=%r detail=%r",
            self.id,
            self._service.interface,
            self.origin,
            self._reverse_path,
            str(reply),
            detail,
        )


def linger(sock: socket.socket) -> None:
    """Say that we are done and wait for the client to be done, but not for long.

    A client that still talks when we close would get a reset, and might never
    read our last reply.
    """
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
