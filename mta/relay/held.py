"""Sessions with the slots they count against, and how the two end together.

The peer counts a connection until it has closed its end, so a slot is given back
only then. A session in good order is ended in a thread (a greenlet, when patched)
of its own; nobody but those who need the very slot wait for that. A broken one has
no end worth waiting for.
"""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, Protocol

from mta.config.zones import ConnectionCache, PoolAddress
from mta.policy.tls import Check, DomainPolicy, HostPolicy
from mta.reasons import TlsFacts
from mta.relay.fuse import Fuse
from mta.relay.hosts import Target
from mta.relay.permits import Permit
from mta.relay.request import Hop, OpenContent, Places
from mta.reply import Reply
from mta.smtp.client import Transaction

StartThread = Callable[[Callable[[], None]], None]


class Key(NamedTuple):
    """What must be the same to share a session.

    Attributes:
        source: Our address; empty if the system chooses it.
        security: What held for the domain's mail when it was opened.
    """

    zone: str
    source: str
    destination: str
    security: DomainPolicy


class Way(NamedTuple):
    """How a session was opened.

    Attributes:
        source: The pool's address it was dialed from; None if the system chose.
        places: Who received for the domain it was opened for.
        policy: What its host had to be.
    """

    target: Target
    source: PoolAddress | None
    places: Places
    policy: HostPolicy


class RelaySession(Protocol):
    """An open session; see ``mta.relay.session.Session``."""

    @property
    def hop(self) -> Hop: ...

    @property
    def tls(self) -> str: ...

    @property
    def cipher(self) -> str: ...

    @property
    def verified(self) -> Check: ...

    @property
    def uses(self) -> int: ...

    @property
    def is_usable(self) -> bool: ...

    @property
    def talk(self) -> object: ...

    def transact(
        self, transaction: Transaction, open_content: OpenContent, fuse: Fuse
    ) -> Reply: ...

    def rehearse(self, transaction: Transaction) -> Reply: ...

    def is_quiet(self) -> bool: ...

    def end(self) -> None: ...

    def close(self) -> None: ...


class HeldSession:
    """An open session that holds a permit; what the pool keeps.

    Attributes:
        target, source, places, policy: As in ``Way``.
        cache: How long it may wait for its next use, and how often it is used.
        is_outdated: The limits within which it was opened may be others now: it is
            used no more.
        idle_until: The pool's: when an idle session has waited long enough.
    """

    def __init__(
        self,
        session: RelaySession,
        permit: Permit,
        endings: "Endings",
        *,
        is_outdated: Callable[[], bool] = lambda: False,
        key: Key,
        way: Way,
        cache: ConnectionCache,
    ) -> None:
        self.cache = cache
        self.target, self.source, self.places, self.policy = way
        self.session = session
        self.permit = permit
        self.is_outdated = is_outdated
        self.key = key
        self.idle_until = 0.0
        self._endings = endings

    @property
    def tls_facts(self) -> TlsFacts:
        """What TLS came to in it."""
        session = self.session
        return TlsFacts(
            self.policy.by, session.tls, session.cipher, session.verified.value
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The limits it counts against."""
        return self.permit.keys

    @property
    def uses(self) -> int:
        """Transactions begun."""
        return self.session.uses

    @property
    def is_usable(self) -> bool:
        """Another transaction may follow on it."""
        return self.session.is_usable

    @property
    def is_young(self) -> bool:
        """It has not been used as often as it may be."""
        return self.uses < self.cache.reuse_count

    @property
    def must_yield(self) -> bool:
        """Somebody waits for one of its slots, or they are not what they were."""
        return self.is_outdated() or self.permit.issuer.is_in_the_way(self.keys)

    @property
    def has_next(self) -> bool:
        """Another delivery waits that it could carry."""
        return not self.is_outdated() and self.permit.issuer.has_next(self.keys)

    def is_quiet(self) -> bool:
        """It still stands, as far as can be seen, and may be used."""
        return not self.is_outdated() and self.session.is_quiet()

    def close(self) -> None:
        """End it and give its slots back, without keeping the caller."""
        self._endings.begin(self)

    def cut(self) -> None:
        """End it at once, as after a transaction of which nobody knows the end."""
        self.session.close()
        self.permit.release()


class Ending:
    """A session on its way out."""

    def __init__(self, held: HeldSession) -> None:
        self.keys = frozenset(held.keys)
        self._held = held
        self._is_over = threading.Event()

    def run(self) -> None:
        """End the session, then give its slots back."""
        try:
            self._held.session.end()
        finally:
            self._held.permit.release()
            self._is_over.set()

    def give_up(self) -> None:
        """Wait no longer: give the slots back as things are."""
        self._held.permit.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the slots are given back; tell whether they are."""
        return self._is_over.wait(timeout_s)


def start_thread(run: Callable[[], None]) -> None:
    """Run something aside; it does not keep the process alive."""
    threading.Thread(target=run, name="session-end", daemon=True).start()


class Endings:
    """The sessions that are on their way out.

    Each one makes room for one: a delivery that needs its slot may claim it.
    """

    def __init__(
        self,
        *,
        start_thread: StartThread = start_thread,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start_thread = start_thread
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._under_way: dict[int, Ending] = {}
        self._unclaimed: dict[int, Ending] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, held: HeldSession, *, is_claimed: bool = False) -> Ending:
        """End a session; one that is not in good order is over on return."""
        ending = Ending(held)
        if not held.is_usable:
            ending.run()
            return ending
        with self._lock:
            self._under_way[id(ending)] = ending
            if not is_claimed:
                self._unclaimed[id(ending)] = ending
        self._start_thread(lambda: self._run(ending))
        return ending

    def claim(self, key: str) -> Ending | None:
        """Give the caller, and nobody else, an ending that frees a slot of ``key``."""
        with self._lock:
            for number, ending in self._unclaimed.items():
                if key in ending.keys:
                    del self._unclaimed[number]
                    return ending
        return None

    def wait(self, timeout: timedelta) -> None:
        """Wait for those under way, then give back what they still hold."""
        with self._lock:
            endings = list(self._under_way.values())
        deadline = self._monotonic() + timeout.total_seconds()
        for ending in endings:
            if not ending.wait(max(0.0, deadline - self._monotonic())):
                ending.give_up()

    def _run(self, ending: Ending) -> None:
        try:
            ending.run()
        finally:
            with self._lock:
                del self._under_way[id(ending)]
                self._unclaimed.pop(id(ending), None)
