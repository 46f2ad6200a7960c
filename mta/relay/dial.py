"""Opens TCP connections to addresses, never to names: libc must not resolve.

Each resolution by libc would block a thread of gevent's small pool, and would
escape the checks that the resolver's answers go through.
"""

import contextlib
import socket
from datetime import timedelta

from mta.config.zones import IPAddress, PoolAddress
from mta.errors import TransientFailure
from mta.reply import make_reply

# Linux, ip(7): leave the choice of port to connect(), so that one source address
# can have more connections than there are local ports. `socket` names the option
# from Python 3.12 on.
_IP_BIND_ADDRESS_NO_PORT = 24


def dial(
    address: IPAddress, port: int, *, source: PoolAddress | None, timeout: timedelta
) -> socket.socket:
    """Connect to ``address``, from ``source`` if there is one.

    Raises:
        TransientFailure: no connection. The next host may do better, unless it is
            our own address that does not work.
    """
    sock = _open_socket(address, source)
    try:
        sock.settimeout(timeout.total_seconds())
        sock.connect((str(address), port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        sock.close()
        what = f"Network error: cannot connect to {address} port {port}"
        raise _failed(what, error, address, is_next_host_worth_trying=True) from error
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
            what = f"Network error: cannot send{where}"
            raise _failed(what, error, address) from error
        stack.pop_all()
    return sock


def _failed(
    what: str,
    error: OSError,
    address: IPAddress,
    *,
    is_next_host_worth_trying: bool = False,
) -> TransientFailure:
    # RFC 3463 §3.5: X.4.1, no answer from host.
    return TransientFailure(
        make_reply(450, "4.4.1", f"{what}: {error.strerror or error}"),
        category="network",
        address=str(address),
        is_next_host_worth_trying=is_next_host_worth_trying,
    )
