"""Octets to and from one peer, in clear or over TLS, each step with a deadline.

A deadline is an instant, not a pause: a peer that drips octets does not renew
it. TLS runs over memory buffers, so that the same few lines watch the clock for
both, with plain threads and under gevent alike.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from mta.policy.tls_results import TlsResult, result_of

READ_BYTES = 8192  # replies are small; a flood costs no more than this at a time
WRITE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long we wait for what: the minimums of RFC 5321 §4.5.3.2, but for ours.

    Attributes:
        connect: Ours; the system gives up after two minutes.
        hello, tls: Ours, as patient as for MAIL and somewhat less.
        block: To get rid of 64 KiB of content (§4.5.3.2.5).
        final: From the dot to its reply (§4.5.3.2.6). Impatience here makes
            duplicates.
        reset: Ours: on a session that has waited, RSET shows whether it lives.
        transaction: Ours: from MAIL to the dot's reply, however slowly content
            is taken; ``block`` alone would grant days to a large message.
        last_words: Ours: for the reason of a peer that hangs up in mid-content.
        quit: Ours: from QUIT to the end of the connection, which is the peer's to
            make (§4.1.1.10).
        attempt: Ours: no further host is tried after this long.
    """

    connect: timedelta = timedelta(seconds=30)
    greeting: timedelta = timedelta(minutes=5)
    hello: timedelta = timedelta(minutes=5)
    tls: timedelta = timedelta(minutes=2)
    mail: timedelta = timedelta(minutes=5)
    rcpt: timedelta = timedelta(minutes=5)
    data: timedelta = timedelta(minutes=2)
    block: timedelta = timedelta(minutes=3)
    final: timedelta = timedelta(minutes=10)
    reset: timedelta = timedelta(seconds=30)
    transaction: timedelta = timedelta(hours=1)
    last_words: timedelta = timedelta(seconds=1)
    quit: timedelta = timedelta(seconds=2)
    attempt: timedelta = timedelta(minutes=15)


class Cut(Exception):
    """The peer closed or reset the connection, or the network did."""


class TimedOut(Exception):
    """The deadline passed."""


class TlsError(Exception):
    """The handshake failed, or the peer is not who it should be.

    Attributes:
        result: The word that reports have for it.
    """

    def __init__(
        self, text: str, result: TlsResult = TlsResult.VALIDATION_FAILURE
    ) -> None:
        self.result = result
        super().__init__(text)

    @property
    def is_untrusted(self) -> bool:
        """TLS itself works; it is about the peer's certificate."""
        return self.result is not TlsResult.VALIDATION_FAILURE


class Wire:
    """One connected socket with deadlines; owns the socket.

    Attributes:
        sock: For who may cut the connection; else it is the wire's alone.
        tls: Version such as ``"TLSv1.3"``; empty in clear.
        cipher: Name of the cipher suite; empty in clear.
    """

    def __init__(
        self, sock: socket.socket, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.tls = ""
        self.cipher = ""
        self.sock = sock
        self._monotonic = monotonic
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def send(self, data: bytes, deadline: float) -> None:
        """Send all of ``data``.

        Args:
            deadline: On the monotonic clock, as everywhere here.

        Raises:
            Cut: the connection is gone.
            TimedOut: ``deadline`` passed first.
        """
        if self._tls is None:
            self._send_raw(data, deadline)
            return
        while True:
            try:
                self._tls.write(data)
                break
            except ssl.SSLWantReadError:
                self._exchange_raw(deadline)
            except ssl.SSLError as error:
                raise Cut(_reason(error)) from error
        self._flush(deadline)

    def receive(self, deadline: float) -> bytes:
        """Return the next octets, at least one.

        Raises:
            Cut, TimedOut: see ``send``.
        """
        if self._tls is None:
            return self._receive_raw(deadline)
        while True:
            try:
                data = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                self._exchange_raw(deadline)
                continue
            except ssl.SSLError as error:
                raise Cut(_reason(error)) from error
            if not data:
                raise Cut("closed by the peer")
            return data

    def receive_now(self) -> bytes:
        """Return what has come without waiting for more; perhaps nothing.

        Raises:
            Cut: see ``send``.
        """
        data = b""
        try:
            self.sock.setblocking(False)
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            raise Cut(_reason(error)) from error
        else:
            if not data:
                raise Cut("closed by the peer")
        if self._tls is None:
            return data
        self._incoming.write(data)
        try:
            return self._tls.read(READ_BYTES)
        except ssl.SSLWantReadError:
            return b""  # of TLS itself, such as a ticket
        except ssl.SSLError as error:
            raise Cut(_reason(error)) from error

    def start_tls(
        self, context: ssl.SSLContext, server_name: str | None, deadline: float
    ) -> None:
        """Do the handshake, as client.

        Raises:
            TlsError: the two sides did not agree.
            Cut, TimedOut: see ``send``.
        """
        tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name
        )
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._exchange_raw(deadline)
            except ssl.SSLError as error:
                with contextlib.suppress(Cut, TimedOut):
                    self._flush(deadline)  # the alert that tells the peer why
                raise _tls_error(error) from error
        self._flush(deadline)
        self._tls = tls
        self.tls = tls.version() or ""
        cipher = tls.cipher()
        self.cipher = cipher[0] if cipher else ""

    def peer_chain(self) -> tuple[bytes, ...]:
        """The peer's certificates in DER, its own first; empty in clear."""
        return peer_chain(self._tls) if self._tls is not None else ()

    def is_quiet(self) -> bool:
        """Tell whether an idle connection is open and silent, as far as we see.

        Over TLS silence cannot be told from session tickets, so only the end of
        the connection counts.
        """
        self.sock.setblocking(False)
        try:
            data = self.sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return bool(data) and self._tls is not None

    def await_end(self, deadline: float) -> None:
        """Wait until the peer has closed or ``deadline`` passes.

        What the peer still says is for nobody.
        """
        with contextlib.suppress(Cut, TimedOut):
            while True:
                self._receive_raw(deadline)

    def close(self) -> None:
        """Close at once, without goodbyes."""
        with contextlib.suppress(OSError):
            self.sock.close()

    def _exchange_raw(self, deadline: float) -> None:
        self._flush(deadline)
        self._incoming.write(self._receive_raw(deadline))

    def _flush(self, deadline: float) -> None:
        data = self._outgoing.read()
        if data:
            self._send_raw(data, deadline)

    def _send_raw(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._arm(deadline)
            try:
                sent = self.sock.send(view[:WRITE_BYTES])
            except TimeoutError as error:
                raise TimedOut from error
            except OSError as error:
                raise Cut(_reason(error)) from error
            view = view[sent:]

    def _receive_raw(self, deadline: float) -> bytes:
        self._arm(deadline)
        try:
            data = self.sock.recv(READ_BYTES)
        except TimeoutError as error:
            raise TimedOut from error
        except OSError as error:
            raise Cut(_reason(error)) from error
        if not data:
            raise Cut("closed by the peer")
        return data

    def _arm(self, deadline: float) -> None:
        left = deadline - self._monotonic()
        if left <= 0:
            raise TimedOut
        try:
            self.sock.settimeout(left)
        except OSError as error:
            raise Cut(_reason(error)) from error


def peer_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates that a peer has shown, in DER, verified or not.

    Python has a public way to them from 3.13 on, and before that the one beneath it
    (since 3.10), which is tried as if it might not be there: then the peer's own
    certificate is all that is known, and DANE-TA fails, which defers.
    """
    if (ask := getattr(tls, "get_unverified_chain", None)) is not None:
        return tuple(ask() or ())
    try:
        found = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        return tuple(bytes(entry.public_bytes(_DER)) for entry in found or ())
    except (AttributeError, TypeError):
        own = tls.getpeercert(binary_form=True)
        return (own,) if own else ()


_DER = 2  # _ssl.ENCODING_DER; OpenSSL's X509_FILETYPE_ASN1


def _tls_error(error: ssl.SSLError) -> TlsError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(error.verify_message[:200], result_of(error.verify_code))
    return TlsError(_reason(error))


def _reason(error: OSError) -> str:
    # An SSLError's reason is a word such as WRONG_VERSION_NUMBER.
    reason = getattr(error, "reason", None)
    return str(reason or error.strerror or error)[:200]
