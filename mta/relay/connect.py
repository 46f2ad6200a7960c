"""From a target to an open session: dial, greeting, EHLO, TLS."""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mta.config.live import Live
from mta.config.zones import HttpTarget, PoolAddress
from mta.errors import AttemptFailed
from mta.policy.tls import Check, HostPolicy, next_rung
from mta.policy.tls_results import TlsResult
from mta.relay.dial import dial
from mta.relay.failures import NoTls, TlsFailed
from mta.relay.fuse import Fuse
from mta.relay.guard import Guard, guard_for
from mta.relay.held import RelaySession
from mta.relay.hosts import Target
from mta.relay.http_session import HttpSession
from mta.relay.manner import BY_SMTP, Manner
from mta.relay.request import Hop
from mta.relay.security import NoteTls, Security
from mta.relay.session import Session
from mta.relay.wire import Timeouts, Wire

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Opens sessions.

    Attributes:
        security: What sessions have to be.
        name_of: What we call ourselves, by the address we dial from.
    """

    security: Security
    name_of: Callable[[PoolAddress | None], str]
    timeouts: Live[Timeouts] = field(default_factory=lambda: Live(Timeouts()))
    monotonic: Callable[[], float] = time.monotonic

    def connect(
        self,
        target: Target,
        source: PoolAddress | None,
        fuse: Fuse,
        *,
        policy: HostPolicy,
        note: NoteTls,
        manner: Manner = BY_SMTP,
    ) -> RelaySession:
        """Open a session with ``target``, in the best of the ways that ``policy`` has.

        Args:
            fuse: Cuts the socket as long as the session is being opened.
            note: Told what came of TLS, by each way that was tried.
            manner: How the next hop wants to be talked to.

        Raises:
            NoConnection: there is not even a connection.
            TlsFailed, NoTls: TLS is required.
            AttemptFailed: the session did not come about.
            Stopping: the fuse was blown before.
        """
        ladder, make = policy.ladder, self.security.make_context
        rung = ladder[0]
        while True:
            guard = guard_for(policy, rung, target.host, make=make)
            try:
                session = self._open(target, source, fuse, guard, manner)
            except NoTls as failure:
                note(
                    TlsResult.STARTTLS_NOT_SUPPORTED,
                    failure.source or "",
                    str(failure.reply),
                )
                raise
            except TlsFailed as failure:
                note(failure.result, failure.source or "", str(failure.reply))
                further = next_rung(ladder, rung, was_untrusted=failure.is_untrusted)
                if further is None:
                    raise
                log.info(
                    "tls failed, retried %s host=%s address=%s (%s)",
                    "unverified" if further.encrypts else "in clear",
                    target.host,
                    target.address,
                    failure.reply,
                )
                rung = further
                continue
            if rung is ladder[0] and guard is not None:
                _note_opened(session, note)
            return session

    def _open(
        self,
        target: Target,
        source: PoolAddress | None,
        fuse: Fuse,
        tls: Guard | None,
        manner: Manner,
    ) -> RelaySession:
        ehlo_name = self.name_of(source)  # may take its time, so not while a peer waits
        timeouts = self.timeouts.current
        try:
            sock = dial(
                target.address,
                target.port,
                source=source,
                timeout=timeouts.connect,
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
        if manner.http is not None:
            return self._open_http(sock, hop, manner.http, timeouts)
        session = Session(
            sock,
            hop,
            timeouts=timeouts,
            is_lmtp=manner.is_lmtp,
            is_tls_first=manner.is_tls_first,
            monotonic=self.monotonic,
        )
        try:
            session.open(tls)
            if manner.credentials is not None:
                if session.verified is Check.NO:  # the policy of such zones forbids it
                    raise RuntimeError("no login to whom nobody vouches for")
                session.log_in(manner.credentials)
        except BaseException:
            session.close()
            raise
        return session

    def _open_http(
        self, sock: socket.socket, hop: Hop, target: HttpTarget, timeouts: Timeouts
    ) -> HttpSession:
        wire = Wire(sock, monotonic=self.monotonic)
        session = HttpSession(
            wire, hop, target, timeouts=timeouts, monotonic=self.monotonic
        )
        try:
            session.open(
                self.security.make_context("1.2", True) if target.is_encrypted else None
            )
        except BaseException:
            session.close()
            raise
        return session


def _note_opened(session: RelaySession, note: NoteTls) -> None:
    result = TlsResult.SUCCESS if session.tls else TlsResult.STARTTLS_NOT_SUPPORTED
    note(result, session.hop.source, "")
