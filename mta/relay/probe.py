"""Trying a destination by hand: everything an attempt does, up to RCPT.

The same code finds the hosts, chooses the address, settles the TLS policy and talks;
no content is sent, and nothing is counted, learned or reported.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from mta.config.zones import PoolAddress
from mta.errors import AttemptFailed, Postponed
from mta.reasons import Reasons, TlsFacts
from mta.relay.connect import Connector
from mta.relay.fuse import Fuse
from mta.relay.hosts import Target
from mta.relay.manner import manner_of
from mta.relay.request import RelayRequest
from mta.relay.sources import Sources, Use
from mta.smtp.client import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """One host, and how far it let us come.

    Attributes:
        target: None: there was none to try.
        found_after: How long it took DNS to name it.
        took: From the dial to the end.
        reply: The last one; ours, if nobody replied.
        is_good: It took the recipient.
        reasons: What decided it; ``reasons.tls``: how the session was secured, and why.
        talk: What was said, with seconds.
    """

    target: Target | None
    found_after: timedelta
    took: timedelta
    reply: str
    is_good: bool
    reasons: Reasons
    talk: str = ""


@dataclass(frozen=True, slots=True)
class Prober:
    """Tries destinations."""

    sources: Sources
    connector: Connector
    monotonic: Callable[[], float] = time.monotonic

    def probe(self, request: RelayRequest, *, most: int) -> Iterator[Probed]:
        """Try the first ``most`` hosts, best first, each once."""
        targets = self.sources.targets.find_targets(request.zone, request.domain)
        found = islice(targets, most)
        while True:
            began = self.monotonic()
            try:
                target = next(found, None)
            except AttemptFailed as failure:
                yield self._failed(None, began, began, failure, Use())
                return
            if target is None:
                return
            yield self._try(request, target, began)

    def _try(self, request: RelayRequest, target: Target, began: float) -> Probed:
        use, dialed = Use(), self.monotonic()
        try:
            return self._talk(request, target, use, began, dialed)
        except AttemptFailed as failure:
            return self._failed(target, began, dialed, failure, use)
        except Postponed as postponed:
            return Probed(
                target=target,
                found_after=_length(began, dialed),
                took=_length(dialed, self.monotonic()),
                reply=str(postponed),
                is_good=False,
                reasons=use.reasons(),
            )

    def _talk(
        self,
        request: RelayRequest,
        target: Target,
        use: Use,
        began: float,
        dialed: float,
    ) -> Probed:
        security = self.connector.security
        for_domain = security.for_domain(request)
        policy = security.for_host(request, for_domain, target.host, target.port)
        use.tls = TlsFacts(policy.by)
        source = self._choose(request, target, use)
        session = self.connector.connect(
            target,
            source,
            Fuse(),
            policy=policy,
            note=lambda *_: None,
            manner=manner_of(
                request.zone, in_sandbox=self.sources.targets.sandbox is not None
            ),
        )
        use.tls = TlsFacts(
            policy.by, session.tls, session.cipher, session.verified.value
        )
        try:
            reply = session.rehearse(
                Transaction(
                    reverse_path=request.reverse_path,
                    forward_path=request.recipient,
                    is_utf8=request.needs_utf8,
                )
            )
        finally:
            session.close()
        return Probed(
            target=target,
            found_after=_length(began, dialed),
            took=_length(dialed, self.monotonic()),
            reply=str(reply),
            is_good=True,
            reasons=use.reasons(),
            talk=str(session.talk),
        )

    def _choose(
        self, request: RelayRequest, target: Target, use: Use
    ) -> PoolAddress | None:
        while True:
            source = self.sources.choose(request, target, use)
            if self.sources.take_ration(request, use):
                return source

    def _failed(
        self,
        target: Target | None,
        began: float,
        dialed: float,
        failure: AttemptFailed,
        use: Use,
    ) -> Probed:
        return Probed(
            target=target,
            found_after=_length(began, dialed),
            took=_length(dialed, self.monotonic()),
            reply=str(failure.reply),
            is_good=False,
            reasons=use.reasons(),
            talk=str(failure.talk),
        )


def _length(began: float, ended: float) -> timedelta:
    return timedelta(seconds=ended - began)
