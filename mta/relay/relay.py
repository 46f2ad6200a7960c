"""One attempt: from a request to the reply that settles it, or a failure that does.

    pooled session? ── yes ─► transaction ─► done, or stale: as if there were none
         │ no
    targets, best first ─► source address ─► session ─► transaction ─► done
         ▲                                      │
         └──────── next host may do better ◄────┘

A host that says no to the message, and one that may already have it, are the
last ones asked. One that cannot be talked to is not.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol

from mta.config.zones import PoolAddress, Zone
from mta.errors import AttemptFailed, TransientFailure
from mta.policy.source import choose_source
from mta.relay.failures import StaleSession
from mta.relay.hosts import Target
from mta.relay.pool import Poolable, SessionPool
from mta.reply import Reply, make_reply
from mta.smtp.client import Transaction

_NO_SOURCE = make_reply(
    450, "4.4.4", "Network error: the pool has no address of the target's family"
)
_NO_TIME = make_reply(450, "4.4.7", "Network error: no host answered in time")

# Zone, source address and destination: what must be the same to share a session.
Key = tuple[str, str, str]
Family = Literal[4, 6]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRequest:
    """One message for one recipient.

    Attributes:
        reverse_path: "" is the null path.
        domain: The recipient's: a lower-case A-label or an address literal.
        delivery_id: Sticks to its source address over all attempts.
        size: Octets of content, roughly.
        needs_8bit: The content has octets above 127.
        needs_utf8: The header section has them.
        open_content: Called with our EHLO name, which goes into Received; once
            per host that wants the content.
    """

    zone: Zone
    reverse_path: str
    recipient: str
    domain: str
    delivery_id: str
    size: int
    needs_8bit: bool
    needs_utf8: bool
    open_content: Callable[[str], Iterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message that the next hop took; its ``reply`` is to the final dot.

    Attributes:
        source: Our end's IP address.
        tls: Version of TLS, such as ``"TLSv1.3"``; empty in clear.
        is_reused: The session had carried other messages before.
    """

    reply: Reply
    host: str
    address: str
    source: str
    ehlo_name: str
    tls: str
    cipher: str
    is_reused: bool
    duration: timedelta


class RelaySession(Poolable, Protocol):
    """An open session; see ``mta.relay.session.Session``."""

    host: str
    address: str
    source: str
    ehlo_name: str

    @property
    def tls(self) -> str: ...

    @property
    def cipher(self) -> str: ...

    def transact(
        self,
        transaction: Transaction,
        open_content: Callable[[str], Iterable[bytes]],
    ) -> Reply: ...


class Connects(Protocol):
    """Opens sessions; see ``mta.relay.connect.Connector``."""

    def connect(
        self, target: Target, source: PoolAddress | None, *, ignore_tls: bool
    ) -> RelaySession: ...


class FindsTargets(Protocol):
    """Knows where to go; see ``mta.relay.hosts.TargetFinder``."""

    @property
    def sandbox(self) -> object | None: ...

    def destination(self, zone: Zone, domain: str) -> str: ...

    def find_targets(self, zone: Zone, domain: str) -> Iterator[Target]: ...


class Relay:
    """Sends messages to their next hop; one object serves a whole process.

    Args:
        budget: No further host is tried after this long.
    """

    def __init__(
        self,
        *,
        targets: FindsTargets,
        connector: Connects,
        pool: SessionPool[RelaySession],
        budget: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = targets
        self._connector = connector
        self._pool = pool
        self._budget_s = budget.total_seconds()
        self._monotonic = monotonic

    def send(self, request: RelayRequest) -> Sent:
        """Send one message; return once the next hop has answered for it.

        What ``request.open_content`` raises passes through; nothing is sent then.

        Raises:
            AttemptFailed: the next hop did not take it, or there was none.
        """
        started_at = self._monotonic()
        pooled = self._take(request)
        if pooled is not None:
            key, session = pooled
            try:
                return self._transact(request, key, session, started_at)
            except StaleSession:
                pass  # it died waiting, which is nobody's fault: a new one, now
        return self._send_anew(request, started_at)

    def close(self) -> None:
        """Close the idle sessions; those at work are closed as they finish."""
        self._pool.close_all()

    def _take(self, request: RelayRequest) -> tuple[Key, RelaySession] | None:
        families: tuple[Family, ...] = (4, 6)
        sources = (self._source(request, family) for family in families)
        for key in dict.fromkeys(self._key(request, source) for source in sources):
            session = self._pool.take(key)
            if session is not None:
                return key, session
        return None

    def _send_anew(self, request: RelayRequest, started_at: float) -> Sent:
        first: AttemptFailed | None = None
        for target in self._targets.find_targets(request.zone, request.domain):
            if self._monotonic() - started_at > self._budget_s:
                break
            try:
                return self._try(request, target, started_at)
            except AttemptFailed as failure:
                if not failure.is_next_host_worth_trying:
                    raise
                first = first or failure
        raise first or TransientFailure(_NO_TIME, category="network")

    def _try(self, request: RelayRequest, target: Target, started_at: float) -> Sent:
        family: Family = 4 if target.address.version == 4 else 6
        source = self._source(request, family)
        if source is None and self._is_bound(request.zone):
            # Mail never leaves from an address that is not in its pool.
            raise TransientFailure(
                _NO_SOURCE,
                category="policy",
                host=target.host,
                address=str(target.address),
                is_next_host_worth_trying=True,
            )
        session = self._connector.connect(
            target, source, ignore_tls=request.zone.ignore_tls
        )
        return self._transact(request, self._key(request, source), session, started_at)

    def _transact(
        self, request: RelayRequest, key: Key, session: RelaySession, started_at: float
    ) -> Sent:
        cache = request.zone.connection_cache
        is_reused = session.uses > 0
        transaction = Transaction(
            reverse_path=request.reverse_path,
            forward_path=request.recipient,
            size=request.size,
            is_8bit=request.needs_8bit,
            is_utf8=request.needs_utf8,
        )
        try:
            reply = session.transact(transaction, request.open_content)
        finally:
            # A refusal leaves the session as good as it was; what broke it shows.
            self._pool.give(key, session, ttl=cache.ttl, max_uses=cache.reuse_count)
        return Sent(
            reply=reply,
            host=session.host,
            address=session.address,
            source=session.source,
            ehlo_name=session.ehlo_name,
            tls=session.tls,
            cipher=session.cipher,
            is_reused=is_reused,
            duration=timedelta(seconds=self._monotonic() - started_at),
        )

    def _is_bound(self, zone: Zone) -> bool:
        """The zone's mail leaves from its pool; in the sandbox it goes nowhere."""
        return bool(zone.addresses) and self._targets.sandbox is None

    def _source(self, request: RelayRequest, family: Family) -> PoolAddress | None:
        if not self._is_bound(request.zone):
            return None
        stick_to_sender = request.zone.pool_hash == "from" and request.reverse_path
        key = request.reverse_path if stick_to_sender else request.delivery_id
        return choose_source(request.zone.addresses, key, family)

    def _key(self, request: RelayRequest, source: PoolAddress | None) -> Key:
        destination = self._targets.destination(request.zone, request.domain)
        return request.zone.name, str(source.address) if source else "", destination
