"""A listening socket: who may connect, how many at once, and how it ends.

Several processes may listen on one port (SO_REUSEPORT); the kernel shares the
connections out. Limits here are per process.
"""

import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import gevent
import gevent.event
import gevent.socket
from gevent.pool import Group
from gevent.server import StreamServer

from mta.config.interfaces import Certificate, Tls
from mta.config.values import IPAddress
from mta.config.zones import Interface
from mta.reply import Reply, format_reply
from mta.smtp.options import SessionOptions
from mta.smtp.proxy import BadProxyHeader
from mta.smtpd.arrival import (
    TALKS_FIRST,
    TOO_MANY_CLIENTS,
    is_in,
    read_proxied,
    refusal_of,
    session_options,
    talks_first,
)
from mta.smtpd.connection import LINGER, Connection, linger
from mta.smtpd.gate import Gate
from mta.smtpd.ports import Guards, Intake, SessionObserver
from mta.smtpd.service import NO_GUARDS, Client, Service
from mta.smtpd.tls import (
    CertificateFiles,
    TlsContexts,
    TlsTerms,
    describe,
    shake_hands,
)

log = logging.getLogger(__name__)

BACKLOG = 1024
# Turned away, but still being told so; beyond this a client is just cut.
MAX_TURNED_AWAY = 100


class Listener:
    """One interface of the configuration, in this process.

    Args:
        interface: Its settings.
        hostname: Our name, unless the interface has its own.
        intake: Where messages go.
        port: In place of the interface's; 0 is any free port.
        guards: Who is asked; for logins where authentication is on.
        observer: Told of sessions.
        now: The clock; aware UTC.

    Attributes:
        address: Where we listen: host and port.

    Raises:
        OSError: The address cannot be had.
        TlsFault: The certificates cannot be used.
    """

    def __init__(
        self,
        interface: Interface,
        hostname: str,
        intake: Intake,
        *,
        port: int | None = None,
        guards: Guards = NO_GUARDS,
        observer: SessionObserver | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._hostname = hostname
        self._observer = observer
        self._name = interface.name
        self._connections: set[Connection] = set()
        self._group = Group()
        self._present = 0
        self._turned_away = 0
        self._stopped = gevent.event.Event()
        self._gate = Gate(
            most_at_once=interface.max_clients_per_address,
            rate=interface.connection_rate,
        )
        self._service = Service(
            interface=interface.name,
            options=session_options(interface, hostname),
            intake=intake,
            idle=interface.socket_timeout,
            now=now,
            guards=guards,
            observer=observer,
            breathe=gevent.sleep,
        )
        self.adopt(interface)
        port = interface.port if port is None else port
        self._server = StreamServer(
            _listen(interface.host, port), self._on_connect, spawn=self._group.spawn
        )
        host, port = self._server.address[:2]
        self.address: tuple[str, int] = (host, port)

    def adopt(self, interface: Interface) -> None:
        """Serve who comes from now on by other settings; who is there stays by his.

        Where we listen does not change.

        Raises:
            TlsFault: The certificates cannot be used; nothing has changed.
        """
        if interface.authentication and self._service.guards.logins is None:
            raise ValueError(f"interface {self._name} has nobody to ask for logins")
        tls = _contexts(interface)
        self._tls = tls
        self._interface = interface
        self._gate.limit(interface.max_clients_per_address, interface.connection_rate)
        self._service = replace(
            self._service,
            options=session_options(interface, self._hostname),
            idle=interface.socket_timeout,
            lifetime=interface.session_timeout,
            tls=tls if interface.starttls else None,
        )

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
        self._present += 1
        try:
            self._receive(sock, _to_address(peer[0]))
        except (BadProxyHeader, OSError) as error:
            log.info("cut interface=%s peer=%s error=%s", self._name, peer[0], error)
        finally:
            self._present -= 1
            sock.close()

    def _receive(self, sock: socket.socket, origin: IPAddress) -> None:
        """Find out whom a connection is from, and serve whoever may stay."""
        interface = self._interface
        if self._present > interface.max_clients:
            self._turn_away(sock, origin, TOO_MANY_CLIENTS)
            return
        tls = ""
        if is_in(origin, interface.proxy_from):
            proxied = read_proxied(sock)
            origin = _to_address(proxied.source) if proxied.source else origin
            tls = "TLS" if proxied.is_tls else ""
        refusal = refusal_of(interface, origin) or self._gate.enter(origin)
        if refusal is not None:
            self._turn_away(sock, origin, refusal)
            return
        try:
            if interface.secure and self._tls is not None:
                sock = shake_hands(sock, self._tls.current())
                tls = describe(sock)
            elif talks_first(sock, interface.greeting_delay):
                self._turn_away(sock, origin, TALKS_FIRST)
                return
            self._serve(sock, origin, tls)
        finally:
            self._gate.leave(origin)

    def _serve(self, sock: socket.socket, origin: IPAddress, tls: str) -> None:
        client = Client(origin=str(origin), tls=tls)
        connection = Connection(sock, client, self._service, self._options(origin))
        self._connections.add(connection)
        if self._observer is not None:
            self._observer.on_open(self._name)
        try:
            connection.run()
        finally:
            self._connections.discard(connection)
            if self._observer is not None:
                self._observer.on_close(self._name)

    def _options(self, origin: IPAddress) -> SessionOptions | None:
        """What this client is promised, if it is not the same as the others."""
        interface = self._interface
        takes_xclient = is_in(origin, interface.xclient_from)
        takes_xforward = is_in(origin, interface.xforward_from)
        if not takes_xclient and not takes_xforward:
            return None
        return replace(
            self._service.options,
            takes_xclient=takes_xclient,
            takes_xforward=takes_xforward,
        )

    def _turn_away(self, sock: socket.socket, origin: IPAddress, reply: Reply) -> None:
        log.info(
            "turned away interface=%s origin=%s reply=%s", self._name, origin, reply
        )
        if self._observer is not None:
            self._observer.on_turned_away(self._name, reply)
        self._turned_away += 1
        try:
            # Where TLS comes first, nobody could read it.
            if self._turned_away <= MAX_TURNED_AWAY and not self._interface.secure:
                with contextlib.suppress(OSError):
                    sock.settimeout(LINGER.total_seconds())
                    sock.sendall(format_reply(reply))
                    linger(sock)
        finally:
            self._turned_away -= 1


def _contexts(interface: Interface) -> TlsContexts | None:
    if interface.tls is None or not interface.has_tls:
        return None
    return TlsContexts(tls_terms(interface.tls))


def tls_terms(tls: Tls) -> TlsTerms:
    """What the configuration says, for ``TlsContexts`` and ``check_files``."""
    return TlsTerms(
        files=_files(tls),
        by_name={name: _files(entry) for name, entry in tls.names.items()},
        min_version=tls.min_version,
        ciphers=tls.ciphers,
    )


def _files(entry: Certificate) -> CertificateFiles:
    return CertificateFiles(
        certificate=Path(entry.certificate), key=Path(entry.key) if entry.key else None
    )


def _to_address(text: str) -> IPAddress:
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
