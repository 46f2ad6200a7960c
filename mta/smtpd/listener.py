"""A listening socket: who may connect, how many at once, and how it ends.

Several processes may listen on one port (SO_REUSEPORT); the kernel shares the
connections out. Limits here are per process.
"""

import contextlib
import logging
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

import gevent
import gevent.event
import gevent.socket
from gevent.pool import Group
from gevent.server import StreamServer

from mta.config.zones import Interface
from mta.reply import Reply, format_reply, make_reply
from mta.smtp.options import DEFAULT_BANNER, SessionOptions
from mta.smtpd.connection import LINGER, Connection, Service, linger
from mta.smtpd.ports import Intake, Screen, SessionObserver

log = logging.getLogger(__name__)

BACKLOG = 1024
# Turned away, but still being told so; beyond this a client is just cut.
MAX_TURNED_AWAY = 100

TOO_MANY_CLIENTS = make_reply(421, "4.7.0", "Too many connections, try later")
STRANGER = make_reply(554, "5.7.1", "Your address may not use this server")


class Listener:
    """One interface of the configuration, in this process.

    Args:
        interface: Its settings.
        hostname: Our name, unless the interface has its own.
        intake: Where messages go.
        port: In place of the interface's; 0 is any free port.
        screen: Asked at each RCPT.
        observer: Told of sessions.
        now: The clock; aware UTC.

    Attributes:
        address: Where we listen: host and port.

    Raises:
        OSError: The address cannot be had.
    """

    def __init__(
        self,
        interface: Interface,
        hostname: str,
        intake: Intake,
        *,
        port: int | None = None,
        screen: Screen | None = None,
        observer: SessionObserver | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._interface = interface
        self._observer = observer
        self._name = interface.name
        self._connections: set[Connection] = set()
        self._group = Group()
        self._turned_away = 0
        self._stopped = gevent.event.Event()
        name = interface.hostname or hostname
        self._service = Service(
            interface=interface.name,
            options=SessionOptions(
                hostname=name,
                max_size=interface.max_size,
                max_recipients=interface.max_recipients,
                banner=interface.banner or DEFAULT_BANNER,
            ),
            intake=intake,
            idle=interface.socket_timeout,
            now=now,
            screen=screen,
            breathe=gevent.sleep,
        )
        port = interface.port if port is None else port
        self._server = StreamServer(
            _listen(interface.host, port), self._on_connect, spawn=self._group.spawn
        )
        host, port = self._server.address[:2]
        self.address: tuple[str, int] = (host, port)

    def start(self) -> None:
        """Accept clients from now on; returns at once."""
        self._server.start()
        log.info("listening interface=%s address=%s:%d", self._name, *self.address)

    def serve(self) -> None:
        """Accept clients until somebody calls ``stop()``."""
        self.start()
        self._stopped.wait()

    def stop(self, grace: timedelta) -> None:
        """Accept nobody any more, and return when the last client is gone.

        Who is between transactions hears 421 at once, the others when theirs
        is through.

        Args:
            grace: How long to wait for running transactions; then they are cut.
        """
        self._server.close()
        for connection in tuple(self._connections):
            connection.drain()
        self._group.join(timeout=grace.total_seconds())
        self._group.kill()
        self._stopped.set()

    def _on_connect(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        origin = _to_address(peer[0])
        refusal = self._refusal(origin)
        if refusal is not None:
            self._turn_away(sock, origin, refusal)
            return
        connection = Connection(sock, str(origin), self._service)
        self._connections.add(connection)
        if self._observer is not None:
            self._observer.on_open(self._name)
        try:
            connection.run()
        finally:
            self._connections.discard(connection)
            if self._observer is not None:
                self._observer.on_close(self._name)

    def _refusal(self, origin: IPv4Address | IPv6Address) -> Reply | None:
        networks = self._interface.allowed_networks
        if networks:
            is_allowed = any(origin in network for network in networks)
        else:
            is_allowed = origin.is_loopback
        if not is_allowed:
            return STRANGER
        if len(self._connections) >= self._interface.max_clients:
            return TOO_MANY_CLIENTS
        return None

    def _turn_away(
        self, sock: socket.socket, origin: IPv4Address | IPv6Address, reply: Reply
    ) -> None:
        log.info(
            "turned away interface=%s origin=%s reply=%s", self._name, origin, reply
        )
        if self._observer is not None:
            self._observer.on_turned_away(self._name, reply)
        self._turned_away += 1
        try:
            if self._turned_away <= MAX_TURNED_AWAY:
                with contextlib.suppress(OSError):
                    sock.settimeout(LINGER.total_seconds())
                    sock.sendall(format_reply(reply))
                    linger(sock)
        finally:
            self._turned_away -= 1
            sock.close()


def _to_address(text: str) -> IPv4Address | IPv6Address:
    """Read a peer's address; IPv4 on an IPv6 socket is IPv4 all the same."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _listen(host: str, port: int) -> socket.socket:
    """Bind a socket that other processes may share the port with."""
    family, kind, protocol, _, address = gevent.socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock: socket.socket = gevent.socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted sockets inherit this one: replies are short and wait for nobody.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
