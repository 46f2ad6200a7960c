"""TCP ports that are known before the process that listens on them runs.

A reservation is a socket that is bound but does not listen. The kernel then gives
its port to nobody who asks for any free one, while a listener that sets
SO_REUSEADDR (all of ours, mongod and redis-server do) may still take it. With
SO_REUSEPORT several listeners may.
"""

import errno
import socket

from mta.embedded.failure import StartFailed

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


def reserve(host: str, port: int, *, what: str) -> socket.socket:
    """Hold a port for a child; the caller keeps the socket open as long as it runs.

    Args:
        host: Where the child will listen.
        port: 0 for any free one.
        what: Who wants it, for the error.

    Raises:
        StartFailed: Somebody listens there already, or we may not.
    """
    try:
        # Without SO_REUSEPORT first: with it, the port of another system of the
        # same user would look free, and each would get half of the sessions.
        _bind(host, port, is_shared=False).close()
        return _bind(host, port, is_shared=True)
    except OSError as error:
        raise StartFailed(f"{what}: {_explain(error, host, port)}") from error


def port_of(reservation: socket.socket) -> int:
    """The port that is reserved."""
    port: int = reservation.getsockname()[1]
    return port


def format_endpoint(host: str, port: int) -> str:
    """``127.0.0.1:2525`` or ``[::1]:2525``: where a client on this machine connects."""
    host = _ANY.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable_host(host: str) -> str:
    """The address at which a listener on ``host`` is reached from this machine."""
    return _ANY.get(host, host)


def _bind(host: str, port: int, *, is_shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _explain(error: OSError, host: str, port: int) -> str:
    place = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place} is in use by another process. Stop that one, or choose another "
            "port (0: any free one)"
        )
    if error.errno == errno.EACCES:
        return (
            f"no permission to listen on {place}: ports below 1024 need the "
            "capability CAP_NET_BIND_SERVICE"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine"
    return f"cannot listen on {place}: {error.strerror or error}"
