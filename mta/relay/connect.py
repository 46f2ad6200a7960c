"""From a target to an open session: dial, greeting, EHLO, TLS."""

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mta.config.zones import PoolAddress
from mta.errors import AttemptFailed
from mta.relay.dial import dial
from mta.relay.failures import TlsFailed
from mta.relay.fuse import Fuse
from mta.relay.hosts import Target
from mta.relay.request import Hop
from mta.relay.session import Session
from mta.relay.wire import Timeouts

log = logging.getLogger(__name__)


def make_tls_context() -> ssl.SSLContext:
    """Build the context for TLS with whoever answers (RFC 7435).

    Nothing is verified: the alternative is clear text, not another server.
    Nothing below TLS 1.2 is spoken (RFC 8996); who cannot do that hears us in
    clear.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Opens sessions.

    Attributes:
        name_of: What we call ourselves, by the address we dial from.
    """

    name_of: Callable[[PoolAddress | None], str]
    timeouts: Timeouts = field(default_factory=Timeouts)
    tls: ssl.SSLContext = field(default_factory=make_tls_context)
    monotonic: Callable[[], float] = time.monotonic

    def connect(
        self,
        target: Target,
        source: PoolAddress | None,
        fuse: Fuse,
        *,
        ignore_tls: bool,
    ) -> Session:
        """Open a session with ``target``; TLS if it can, in clear if that fails.

        Args:
            fuse: Cuts the socket as long as the session is being opened.

        Raises:
            NoConnection: there is not even a connection.
            AttemptFailed: the session did not come about.
            Stopping: the fuse was blown before.
        """
        try:
            return self._open(target, source, fuse, None if ignore_tls else self.tls)
        except TlsFailed as failure:
            log.info(
                "tls failed, retried in clear host=%s address=%s (%s)",
                target.host,
                target.address,
                failure.reply,
            )
            return self._open(target, source, fuse, None)

    def _open(
        self,
        target: Target,
        source: PoolAddress | None,
        fuse: Fuse,
        tls: ssl.SSLContext | None,
    ) -> Session:
        ehlo_name = self.name_of(source)  # may take its time, so not while a peer waits
        try:
            sock = dial(
                target.address,
                target.port,
                source=source,
                timeout=self.timeouts.connect,
                fuse=fuse,
            )
        except AttemptFailed as failure:
            failure.host = target.host
            raise
        hop = Hop(
            host=target.host,
            address=str(target.address),
            source=sock.getsockname()[0],
            ehlo_name=ehlo_name,
        )
        session = Session(sock, hop, timeouts=self.timeouts, monotonic=self.monotonic)
        try:
            session.open(tls)
        except BaseException:
            session.close()
            raise
        return session
