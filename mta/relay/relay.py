"""One attempt: from a request to the reply that settles it, or a failure that does.

    pooled session? ── yes ─► (slots, turn) ─► transaction ─► done
         │ no                                       └─► stale: as if there were none
    targets, best first ─► source address ─► slots, turn ─► session ─► transaction
         ▲                                                     │
         └──────────────── next host may do better ◄───────────┘

A host that says no to the message, and one that may already have it, are the
last ones asked. One that cannot be talked to is not. Every connection is within
the limits from before the dial until the peer has closed it.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

from mta.config.live import Live
from mta.config.zones import Config, PoolAddress
from mta.errors import (
    AttemptFailed,
    Postponed,
    RateReached,
    SlotsTaken,
    Stopping,
    TransientFailure,
)
from mta.policy.limits import cache_of
from mta.reasons import TlsFacts
from mta.relay.admission import Admission, Turn
from mta.relay.attempt import Attempt, Connects
from mta.relay.clockwork import Clockwork
from mta.relay.failures import StaleSession
from mta.relay.fuse import Fuses
from mta.relay.held import Endings, HeldSession, Key, Way
from mta.relay.hosts import Target
from mta.relay.manner import manner_of
from mta.relay.permits import Limits, OnFree, Permit, Permits
from mta.relay.plan import Planner
from mta.relay.pool import SessionPool
from mta.relay.request import NOWHERE, Chain, RelayRequest, Sent
from mta.relay.search import Search
from mta.relay.sources import Sources
from mta.relay.troubles import Troubles
from mta.smtp.client import Transaction

# A grant of a rate that was not used for so long, because the peer was slow to greet,
# counts for nothing any more. Shorter, and who greets slowly would be charged twice.
STALE_S = 10.0


class Relay:
    """Sends messages to their next hop; one object serves a whole process.

    Args:
        on_free: Called, with no lock held, with limits that have a slot again and
            are waited for. Its errors are logged and go no further.
    """

    def __init__(
        self,
        *,
        config: Live[Config],
        sources: Sources,
        connector: Connects,
        limits: Limits,
        on_free: OnFree,
        pool: SessionPool[HeldSession],
        endings: Endings,
        clockwork: Clockwork,
    ) -> None:
        self._connector = connector
        self._security = connector.security
        self._config = config
        self._targets = sources.targets
        self._pool = pool
        self._endings = endings
        self._clock = clockwork
        self._planner = Planner(sources.targets)
        self._sources = sources
        self._permits = Permits(limits, on_free)
        self._troubles = Troubles(limits, monotonic=clockwork.monotonic)
        self._admission = Admission(
            permits=self._permits,
            pool=pool,
            endings=endings,
            troubles=self._troubles,
            monotonic=clockwork.monotonic,
        )
        self._fuses = Fuses()
        self._is_stopping = False

    def send(self, request: RelayRequest, chain: Chain | None = None) -> Sent:
        """Send one message; return once the next hop has answered for it.

        What ``request.open_content`` raises passes through; nothing is sent then.

        Args:
            chain: The caller goes on to what waits for the same domain: the session
                stays in his hands for that, also if this message was refused.

        Raises:
            AttemptFailed: the next hop did not take it, or there was none.
            SlotsTaken, RateReached: a limit does not allow it now.
            Stopping: the process is ending, and the dot was not sent.
        """
        attempt = Attempt(
            request,
            started_at=self._clock.monotonic(),
            turn=Turn(has_turn=request.has_turn),
            trouble=self._planner.trouble(request),
            chain=chain,
            security=self._security.for_domain(request),
        )
        try:
            with self._fuses.of(attempt.fuse):
                self._check_running()
                return self._send(attempt)
        except AttemptFailed as failure:
            if attempt.fuse.is_blown and isinstance(failure, TransientFailure):
                self._sources.give_back(attempt.use)
                raise Stopping from failure  # we broke it ourselves
            self._sources.settle(failure, request, attempt.use)
            raise
        except BaseException:
            self._sources.give_back(attempt.use)
            raise
        finally:
            if chain is not None:
                chain.admitted = frozenset(attempt.turn.admitted)

    def end(self, chain: Chain) -> None:
        """No more follows: the session left in ``chain`` is anybody's."""
        kept, chain.session = chain.session, None
        if isinstance(kept, HeldSession):
            self._give_back(kept)

    def yield_idle(self, key: str) -> None:
        """End an idle session that holds a slot of ``key``, if there is one."""
        idle = self._pool.take_holding(key)
        if idle is not None:
            idle.close()

    def stop(self) -> None:
        """Begin no more sessions and no more transactions; those under way go on.

        Only sets a flag: may be called from anywhere.
        """
        self._is_stopping = True

    def abort(self) -> None:
        """Stop, and cut what has not begun to send its final dot.

        Those whose dot is out are left to hear the reply to it.
        """
        self._is_stopping = True
        self._fuses.blow()

    def close(self) -> None:
        """Stop, and end the idle sessions; those at work end as they finish.

        Returns when all slots of sessions without work are given back: after two
        seconds, if peers take their time.
        """
        self._is_stopping = True
        self._pool.close_all()
        self._endings.wait(self._clock.farewell)
        self._security.close()

    def _check_running(self) -> None:
        if self._is_stopping:
            raise Stopping

    def _send(self, attempt: Attempt) -> Sent:
        held = self._take(attempt)
        if held is not None:
            try:
                return self._transact(attempt, held)
            except StaleSession:
                pass  # it died waiting, which is nobody's fault: a new one, now
        self._troubles.check(attempt.trouble)
        permit = self._permits.new()
        try:
            return self._send_anew(attempt, permit)
        finally:
            permit.release()  # unless a session has taken it over

    def _take(self, attempt: Attempt) -> HeldSession | None:
        """Take a session that may go on with this request: the chain's, or idle."""
        idle = dict.fromkeys(self._sources.idle(attempt.request, attempt.use))
        key_of = partial(self._planner.key, attempt.request, security=attempt.security)
        keys = [key_of(source) for source in idle]
        kept = self._take_kept(attempt.chain, keys)
        if kept is not None and self._admit_again(attempt, kept):
            return kept
        for key in keys:
            held = self._pool.take(key)
            if held is not None and self._admit_again(attempt, held):
                return held
        return None

    def _take_kept(
        self, chain: Chain | None, keys: Sequence[Key]
    ) -> HeldSession | None:
        if chain is None or not isinstance(chain.session, HeldSession):
            return None
        kept, chain.session = chain.session, None
        if kept.key in keys and kept.is_young and kept.is_quiet():
            return kept
        self._give_back(kept)
        return None

    def _admit_again(self, attempt: Attempt, held: HeldSession) -> bool:
        """See whether a session may go on with this request; else it is idle again."""
        request, use = attempt.request, attempt.use
        # Only where DNS is not asked can the domain be another than before, and
        # there is no provider there: the session's own is the right one.
        use.places = held.places if held.places != NOWHERE else None
        try:
            if not self._security.still_fits(request, attempt.security, held):
                held.close()
                return False
            self._sources.enter(request, held.source, use)
            demand = self._sources.demand(request, held.source, use)
            self._admission.admit(held.permit, demand, attempt.turn)
            may_go = self._sources.take_ration(request, use)
        except Postponed:
            self._pool.put_back(held.key, held)
            raise
        except BaseException:
            held.cut()
            raise
        if not may_go:
            self._pool.put_back(held.key, held)
        return may_go

    def _send_anew(self, attempt: Attempt, permit: Permit) -> Sent:
        budget = attempt.request.config.timeouts.attempt
        search = Search(budget, self._clock.dialing)
        for target in self._find_targets(attempt):
            if search.is_over(self._clock.monotonic() - attempt.started_at):
                break
            try:
                held = self._open(attempt, target, permit)
                return self._transact(attempt, held)
            except AttemptFailed as failure:
                search.note(failure)
            except (SlotsTaken, RateReached):
                # The slot went with the first host: that was an attempt all the same.
                if search.failures:
                    raise search.result from None
                raise
        if search.unreachable is not None and not attempt.fuse.is_blown:
            self._troubles.note(attempt.trouble, search.unreachable)
        raise search.result

    def _find_targets(self, attempt: Attempt) -> Iterator[Target]:
        request = attempt.request
        try:
            yield from self._targets.find_targets(request.zone, request.domain)
        except TransientFailure as failure:
            self._troubles.note(attempt.trouble, failure, is_dns=True)
            raise

    def _open(self, attempt: Attempt, target: Target, permit: Permit) -> HeldSession:
        """Open a session, within the limits; it takes the permit over."""
        self._check_running()
        request, security = attempt.request, attempt.security
        policy, note = self._security.begin(request, security, target)
        attempt.use.tls = TlsFacts(policy.by)
        source = self._choose(attempt, target, permit)
        session = self._connector.connect(
            target,
            source,
            attempt.fuse,
            policy=policy,
            note=note,
            manner=manner_of(
                request.zone, in_sandbox=self._targets.sandbox is not None
            ),
        )
        places = self._sources.places(request, attempt.use)
        zone, provider = request.zone, places.provider
        return HeldSession(
            session,
            permit.hand_over(),
            self._endings,
            is_outdated=lambda: request.config is not self._config.current,
            key=self._planner.key(request, source, security),
            way=Way(target, source, places, policy),
            cache=cache_of(request.config, zone, request.domain, provider=provider),
        )

    def _choose(
        self, attempt: Attempt, target: Target, permit: Permit
    ) -> PoolAddress | None:
        """Choose our end, and get what it counts against."""
        request, use = attempt.request, attempt.use
        while True:
            source = self._sources.choose(request, target, use)
            demand = self._sources.demand(request, source, use)
            self._admission.admit(permit, demand, attempt.turn, trouble=attempt.trouble)
            if self._sources.take_ration(request, use):
                return source

    def _transact(self, attempt: Attempt, held: HeldSession) -> Sent:
        self._renew_turn(attempt, held)
        request, session = attempt.request, held.session
        is_reused = session.uses > 0
        attempt.use.tls = held.tls_facts
        transaction = Transaction(
            reverse_path=request.reverse_path,
            forward_path=request.recipient,
            size=request.size,
            is_8bit=request.needs_8bit,
            is_utf8=request.needs_utf8,
            wishes=request.wishes,
            name=request.delivery_id,
        )
        try:
            self._troubles.clear(attempt.trouble)
            self._await_turn(attempt.turn)
            self._check_running()
            self._begin_rest(attempt)
            reply = session.transact(transaction, request.open_content, attempt.fuse)
            talk = session.talk  # before it is somebody else's
        except Exception:
            # A refusal leaves the session as good as it was; what broke it shows.
            self._keep_or_give_back(attempt, held)
            raise
        except BaseException:
            held.cut()
            raise
        self._keep_or_give_back(attempt, held)
        return Sent(
            reply=reply,
            host=session.hop.host,
            address=session.hop.address,
            source=session.hop.source,
            ehlo_name=session.hop.ehlo_name,
            tls=session.tls,
            cipher=session.cipher,
            is_reused=is_reused,
            duration=timedelta(seconds=self._clock.monotonic() - attempt.started_at),
            reasons=attempt.use.reasons(),
            talk=talk,
        )

    def _renew_turn(self, attempt: Attempt, held: HeldSession) -> None:
        """Ask the rates again if it took long to get here: a grant is for its time."""
        turn = attempt.turn
        if not turn.paid or self._clock.monotonic() - turn.ready_at < STALE_S:
            return
        turn.paid.clear()
        demand = self._sources.demand(attempt.request, held.source, attempt.use)
        try:
            self._admission.admit(held.permit, demand, turn)
        except Postponed:
            self._give_back(held)
            raise
        except BaseException:
            held.cut()
            raise

    def _await_turn(self, turn: Turn) -> None:
        left_s = turn.ready_at - self._clock.monotonic()
        if left_s > 0:
            self._clock.sleep(left_s)

    def _begin_rest(self, attempt: Attempt) -> None:
        """From one message to the next on a connection: see ``Chain.rests_until``."""
        rate = attempt.request.zone.connection_throttling
        if attempt.chain is not None and rate is not None:
            rest_s = rate.interval.total_seconds()
            attempt.chain.rests_until = self._clock.monotonic() + rest_s

    def _keep_or_give_back(self, attempt: Attempt, held: HeldSession) -> None:
        chain = attempt.chain
        rests = attempt.request.zone.connection_throttling is not None
        may_stay = not self._is_stopping and held.is_usable
        has_use = rests or (held.is_young and held.has_next)
        if chain is not None and may_stay and has_use:
            chain.session = held
        else:
            self._give_back(held)

    def _give_back(self, held: HeldSession) -> None:
        if self._is_stopping:
            held.close()
            return
        cache = held.cache
        self._pool.give(held.key, held, ttl=cache.ttl, max_uses=cache.reuse_count)
