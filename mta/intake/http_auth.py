"""Asking a web service whether a login is right, as ZoneMTA's ``http-auth`` does.

A GET of the service's URL with ``transport=SMTP`` and the client's address as
``origin``; a name and a password stand in HTTP Basic, a token in Bearer, with its
name as ``user``. 2xx is yes; 4xx is no; all else, redirects among it, is no answer:
credentials go where the operator sent them, and nowhere else. A yes in JSON may name
the user: ``{"user": "ada"}``.

The whole exchange has one deadline and one size, whatever the service sends.
"""

import http.client
import io
import json
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from typing import Final
from urllib.parse import urlencode, urlsplit

from mta.errors import MtaError
from mta.smtp.sasl import Password, Token
from mta.smtp.scram import choose_name
from mta.store.users import MAX_NAME_CHARS, check_name

TIMEOUT_S: Final = 10.0  # to connect; and again for the answer
MAX_BODY: Final = 4096
MAX_ANSWER: Final = 32 * 1024  # octets, with status line and header

# No verdict on the login, although they are 4xx.
_NOT_NOW = frozenset({408, 425, 429})
_TOKEN = re.compile(r"[0-9A-Za-z._~+/-]++=*+")  # RFC 6750 §2.1


class CalloutFailed(MtaError):
    """The service did not say yes or no; the text holds no credentials."""


class HttpAuth:
    """A service that knows who may log in.

    Args:
        url: http or https; may have a query of its own.
        timeout_s: To connect, and again for the whole answer.

    Raises:
        ValueError: ``url`` is not such a URL.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("not an http or https URL")
        self._host, self._port = parts.hostname, parts.port
        self._path, self._query = parts.path or "/", parts.query
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._timeout_s = timeout_s
        self._monotonic = monotonic

    def check(self, credentials: Password | Token, origin: str) -> str | None:
        """Ask the service.

        Args:
            origin: The client's IP address.

        Returns:
            The user's name, prepared; None if the service says no, or if it cannot
            be asked such a thing.

        Raises:
            CalloutFailed: Nobody knows.
        """
        name = credentials.username
        query = {"transport": "SMTP", "origin": origin}
        match credentials:
            case Token(token=token):
                if not _TOKEN.fullmatch(token):
                    return None
                query["user"] = name
                authorization = f"Bearer {token}"
            case Password(password=password):
                if not name or ":" in name:
                    return None  # HTTP Basic ends the name at the first colon
                pair = f"{name}:{password}".encode()
                authorization = f"Basic {b64encode(pair).decode()}"
        if len(name) > MAX_NAME_CHARS:
            return None
        status, kind, body = self._get(query, authorization)
        if 200 <= status < 300:
            return _read_name(kind, body, default=name)
        if 400 <= status < 500 and status not in _NOT_NOW:
            return None
        raise CalloutFailed(f"the login service answered {status}")

    def _get(self, query: dict[str, str], authorization: str) -> tuple[int, str, bytes]:
        """Status, media type, and up to one octet more than ``MAX_BODY``."""
        asked = "&".join(filter(None, (self._query, urlencode(query))))
        headers = {
            "Authorization": authorization,
            "Accept": "application/json, */*",
            "Connection": "close",
        }
        try:
            with closing(self._connect()) as connection:
                connection.request("GET", f"{self._path}?{asked}", headers=headers)
                with connection.getresponse() as response:
                    body = response.read(MAX_BODY + 1)
                    if response.length and len(body) <= MAX_BODY:
                        raise ValueError("the answer breaks off")
                    kind = response.headers.get_content_type()
                    return response.status, kind, body
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The kind alone: some of them quote what they were given.
            raise CalloutFailed(
                f"the login service cannot be asked: {type(error).__name__}"
            ) from None

    def _connect(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(
                self._host, self._port, timeout=self._timeout_s
            )
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._tls
            )
        connection.connect()
        until_s = self._monotonic() + self._timeout_s

        def respond(sock: socket.socket, **rest: object) -> http.client.HTTPResponse:
            bounded = _Bounded(sock, lambda: until_s - self._monotonic())
            return http.client.HTTPResponse(bounded, **rest)  # type: ignore[arg-type]

        connection.response_class = respond  # type: ignore[assignment]
        return connection


class _Bounded(io.RawIOBase):
    """What a socket receives, up to a time and ``MAX_ANSWER`` octets."""

    def __init__(self, sock: socket.socket, left_s: Callable[[], float]) -> None:
        self._socket = sock
        self._left_s = left_s
        self._room = MAX_ANSWER
        # Holds the socket open when the connection lets go of it.
        self._raw = sock.makefile("rb", buffering=0)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Read by this; what HTTPResponse asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        left_s = self._left_s()
        if left_s <= 0:
            raise TimeoutError("the answer takes too long")
        if self._room <= 0:
            raise ValueError("the answer is too long")
        self._socket.settimeout(left_s)
        got = self._raw.readinto(buffer[: self._room])
        self._room -= got or 0
        return got

    def close(self) -> None:
        self._raw.close()
        super().close()


def _read_name(kind: str, body: bytes, *, default: str) -> str:
    """The name that the service gives the user; ``default`` if it gives none."""
    try:
        name = _named(kind, body) or default
        return check_name(choose_name(name))
    except (ValueError, RecursionError):
        raise CalloutFailed("the login service's answer names no user") from None


def _named(kind: str, body: bytes) -> str:
    """``user`` of a JSON object, or nothing; whatever is odd about it is an error."""
    if kind != "application/json" or not body.strip():
        return ""
    if len(body) > MAX_BODY:
        raise ValueError("too long")
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("no object")
    name = answer.get("user", "")
    if not isinstance(name, str):
        raise ValueError("no text")
    return name
