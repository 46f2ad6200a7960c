"""Does it answer? One question per kind of process, asked until the answer is yes.

A probe is asked every fifth of a second by the supervisor's only thread, so each
has a short time limit, and every failure is just "not yet".
"""

import http.client
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

Probe: TypeAlias = Callable[[], bool]

TIMEOUT_S = 1.0  # of a whole probe but for /readyz, which asks the stores itself
HTTP_TIMEOUT_S = 3.0

_MAX_LINE_BYTES = 1024


def file_exists(path: Path) -> Probe:
    """The process has written its marker."""
    return path.exists


def all_of(*probes: Probe) -> Probe:
    """Every one of ``probes`` says yes, asked in order."""
    return lambda: all(probe() for probe in probes)


def redis_answers(host: str, port: int) -> Probe:
    """PING is answered: the data is loaded, too (a loading server says -LOADING)."""
    return lambda: _first_line(host, port, b"PING\r\n").startswith(b"+PONG")


def smtp_answers(host: str, port: int) -> Probe:
    """A greeting comes.

    It is 220; or 554, where the interface is not open to this machine itself
    (RFC 5321 §3.1), which is an answer as well.
    """
    return lambda: _first_line(host, port, b"")[:3] in {b"220", b"554"}


def port_accepts(host: str, port: int) -> Probe:
    """A connection is taken; for who speaks only after the client has."""

    def ask() -> bool:
        try:
            socket.create_connection((host, port), timeout=TIMEOUT_S).close()
        except OSError:
            return False
        return True

    return ask


def http_answers(
    host: str, port: int, path: str, headers: Mapping[str, str] | None = None
) -> Probe:
    """GET ``path`` gives 200."""
    sent = dict(headers or {})

    def ask() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=HTTP_TIMEOUT_S)
        try:
            connection.request("GET", path, headers=sent)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def _first_line(host: str, port: int, question: bytes) -> bytes:
    """What the server says first, or nothing."""
    line = b""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(question)
            while b"\n" not in line and len(line) < _MAX_LINE_BYTES:
                block = connection.recv(_MAX_LINE_BYTES)
                if not block:
                    return b""
                line += block
            if not question:
                connection.sendall(b"QUIT\r\n")
    except OSError:
        return b""
    return line
