"""Single requests to web servers that somebody else has named: bounded in every way.

The server's name is looked up by our own resolver, and its addresses go through the
checks that a mail server's do; its certificate is verified by name; redirects are not
followed. One deadline holds for all addresses together, however slowly a server
speaks, and what it says is read no further than is asked for.

RFC 9110, RFC 9112 (one request, then the end of the connection), RFC 9525 (names).
"""

import http.client
import io
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

from mta.config.values import IPAddress
from mta.errors import AttemptFailed, MtaError
from mta.relay.dial import dial
from mta.relay.fuse import Fuse
from mta.relay.guard import make_context
from mta.relay.wire import Cut, TimedOut, TlsError, Wire

TIMEOUT: Final = timedelta(seconds=15)  # after the name was looked up
DIAL_TIMEOUT: Final = timedelta(seconds=5)  # for one address
MAX_ADDRESSES: Final = 4
MAX_HEADER_BYTES: Final = 32 * 1024
HTTPS_PORT: Final = 443

_AGENT = "celery-mta"


class WebFailed(MtaError):
    """There was no answer to a request.

    Attributes:
        is_untrusted: The server is not who it should be.
    """

    def __init__(self, text: str, *, is_untrusted: bool = False) -> None:
        self.is_untrusted = is_untrusted
        super().__init__(text)


class WebAnswer(NamedTuple):
    """What a server has answered.

    Attributes:
        media_type: In lower case, without parameters; empty if it says none.
        body: Up to one octet more than was asked for.
    """

    status: int
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """Asks web servers, by HTTPS alone.

    Attributes:
        find_addresses: Those where requests may go.
        port: Where a URL names none.
    """

    find_addresses: Callable[[str], Sequence[IPAddress]]
    timeout: timedelta = TIMEOUT
    port: int = HTTPS_PORT
    make_context: Callable[[], ssl.SSLContext] = lambda: make_context("1.2", True)
    monotonic: Callable[[], float] = time.monotonic

    def get(self, host: str, path: str, *, max_bytes: int) -> WebAnswer:
        """Ask for a document.

        Raises:
            WebFailed: There is no answer.
        """
        request = _request("GET", host, self.port, path, {"Accept": "text/plain"})
        return self._exchange(host, self.port, request, max_bytes)

    def post(
        self, url: str, body: bytes, *, media_type: str, max_bytes: int
    ) -> WebAnswer:
        """Send a document to an ``https`` URL.

        Raises:
            WebFailed: There is no answer.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise WebFailed("not an https URL")
        port = parts.port or self.port
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = {"Content-Type": media_type, "Content-Length": str(len(body))}
        request = _request("POST", parts.hostname, port, path, fields)
        return self._exchange(parts.hostname, port, request + body, max_bytes)

    def _exchange(
        self, host: str, port: int, request: bytes, max_bytes: int
    ) -> WebAnswer:
        try:
            addresses = self.find_addresses(host)
        except AttemptFailed as failure:
            raise WebFailed(str(failure.reply)) from failure
        deadline = self.monotonic() + self.timeout.total_seconds()
        problem = WebFailed(f"{host} has no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                with closing(self._open(host, address, port, deadline)) as wire:
                    wire.send(request, deadline)
                    method = request.split(b" ", 1)[0].decode()
                    return read_answer(wire, method, deadline, max_bytes)
            except WebFailed as failure:
                problem = failure
            except TlsError as error:
                text = f"TLS with {host} failed: {error}"
                raise WebFailed(text, is_untrusted=error.is_untrusted) from error
            except TimedOut as error:
                problem = WebFailed(f"{host} did not answer in time")
                problem.__cause__ = error
            except (Cut, http.client.HTTPException, OSError, ValueError) as error:
                problem = WebFailed(f"{host}: {str(error)[:150] or 'broken answer'}")
                problem.__cause__ = error
        raise problem

    def _open(self, host: str, address: IPAddress, port: int, deadline: float) -> Wire:
        left = timedelta(seconds=deadline - self.monotonic())
        if left <= timedelta(0):
            raise TimedOut
        try:
            sock = dial(
                address,
                port,
                source=None,
                timeout=min(left, DIAL_TIMEOUT),
                fuse=Fuse(),
            )
        except AttemptFailed as failure:
            raise WebFailed(str(failure.reply)) from failure
        wire = Wire(sock, monotonic=self.monotonic)
        try:
            wire.start_tls(self.make_context(), host, deadline)
        except BaseException:
            wire.close()
            raise
        return wire


def _request(
    method: str, host: str, port: int, path: str, fields: Mapping[str, str]
) -> bytes:
    name = host if port == HTTPS_PORT else f"{host}:{port}"
    header = {"Host": name, "User-Agent": _AGENT, **fields, "Connection": "close"}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in header.items())]
    text = "\r\n".join(lines) + "\r\n\r\n"
    if not text.isascii() or any(c in path for c in "\r\n \t"):
        raise WebFailed("a URL has characters that it must not have")
    return text.encode("ascii")


def read_answer(wire: Wire, method: str, deadline: float, max_bytes: int) -> WebAnswer:
    """Read what a server answers to a request.

    Raises:
        Cut, TimedOut: See ``Wire.receive``.
        HTTPException, ValueError: It is no answer.
    """
    source = _Bounded(wire, deadline, MAX_HEADER_BYTES + max_bytes + 1)
    # Only ever asked for a file to read.
    answer = http.client.HTTPResponse(cast("object", source), method=method)  # type: ignore[arg-type]
    answer.begin()
    body = answer.read(max_bytes + 1)
    if len(body) <= max_bytes and answer.length:
        raise ValueError("the answer breaks off")
    has_type = answer.headers.get("Content-Type") is not None
    kind = answer.headers.get_content_type() if has_type else ""
    return WebAnswer(answer.status, kind, body)


class _Bounded(io.RawIOBase):
    """What a wire receives, up to an instant and a number of octets."""

    def __init__(self, wire: Wire, deadline: float, room: int) -> None:
        self._wire = wire
        self._deadline = deadline
        self._room = room
        self._left = b""

    def makefile(self, mode: str) -> io.BufferedReader:
        """Read by this; what HTTPResponse asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            self._left = self._receive()
        data, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def _receive(self) -> bytes:
        try:
            data = self._wire.receive(self._deadline)
        except Cut as error:
            # An end that the server has announced; any other may be an attacker's.
            if isinstance(error.__cause__, ssl.SSLZeroReturnError):
                return b""
            raise
        self._room -= len(data)
        if self._room < 0:
            raise ValueError("the answer is too long")
        return data
