"""Opens TCP connections to addresses, never to names: libc must not resolve.

Each resolution by libc would block a thread of gevent's small pool, and would
escape the checks that the resolver's answers go through.
"""

import contextlib
import errno
import socket
from datetime import timedelta

from mta.config.zones import IPAddress, PoolAddress
from mta.errors import TransientFailure
from mta.relay.failures import NoConnection, NotFromHere
from mta.relay.fuse import Fuse
from mta.reply import Reply, make_reply

# Linux, ip(7): leave the choice of port to connect(), so that one source address
# can have more connections than there are local ports. `socket` names the option
# from Python 3.12 on.
_IP_BIND_ADDRESS_NO_PORT = 24
# No port is left, no route, no network, or a firewall of our own.
_OURS = frozenset(
    {errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.ENETDOWN, errno.EPERM, errno.EACCES}
)


def dial(
    address: IPAddress,
    port: int,
    *,
    source: PoolAddress | None,
    timeout: timedelta,
    fuse: Fuse,
) -> socket.socket:
    """Connect to ``address``, from ``source`` if there is one.

    Args:
        fuse: Is armed with the socket, and stays so.

    Raises:
        NoConnection: the next host may do better.
        NotFromHere: likewise; it is our own network or ports that do not work.
        TransientFailure: our own address does not work.
        Stopping: the fuse was blown before.
    """
    sock = _open_socket(address, source)
    try:
        fuse.arm(sock)
        sock.settimeout(timeout.total_seconds())
        sock.connect((str(address), port))
        fuse.arm(sock)  # a socket that had no peer yet could not be cut
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        sock.close()
        kind = NotFromHere if error.errno in _OURS else NoConnection
        raise kind(
            _reply(f"cannot connect to {address} port {port}", error),
            category="network",
            address=str(address),
            is_next_host_worth_trying=True,
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _open_socket(address: IPAddress, source: PoolAddress | None) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.ExitStack() as stack:
        try:
            sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            if source is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((str(source.address), 0))
        except OSError as error:
            where = f" from {source.address}" if source else ""
            raise TransientFailure(
                _reply(f"cannot send{where}", error),
                category="network",
                address=str(address),
            ) from error
        stack.pop_all()
    return sock


def _reply(what: str, error: OSError) -> Reply:
    # RFC 3463 §3.5: X.4.1, no answer from host.
    text = f"Network error: {what}: {error.strerror or error}"
    return make_reply(450, "4.4.1", text)
