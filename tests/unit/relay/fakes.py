"""Stand-ins for the network and the shared limits, and builders of requests."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from mta.config.zones import Config, PoolAddress, Zone
from mta.errors import PermanentFailure, TransientFailure
from mta.policy.limits import Full, Granted, Later, Trouble
from mta.policy.measures import Board
from mta.policy.tls import Check
from mta.relay.failures import NoConnection, NotFromHere, StaleSession
from mta.relay.hosts import Target
from mta.relay.request import Hop, RelayRequest
from mta.relay.security import Security
from mta.reply import make_reply

CONFIG = Config()
OK = make_reply(250, "2.0.0", "taken")
SECOND = timedelta(seconds=1)
NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)


class Clock:
    """Stands still; sleeping moves it on."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class FakeTargets:
    """Goes where it is told; ``failure`` is what DNS says instead."""

    def __init__(self, *addresses, hosts=(), failure=None):
        self.sandbox = None
        self.hosts = hosts
        self.failure = failure
        self.asked = 0
        self.targets = [
            Target(f"mx{n}.test", ip_address(text), 25)
            for n, text in enumerate(addresses)
        ]

    def destination(self, zone, domain):
        return zone.host or domain

    def find_hosts(self, zone, domain):
        return self.hosts

    def find_targets(self, zone, domain):
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        yield from self.targets


class FakeSession:
    """Replies, or raises, in the order of its script; a callable one is called."""

    tls = "TLSv1.3"
    cipher = "TLS_AES_128_GCM_SHA256"
    verified = Check.NO
    talk = ""

    def __init__(self, host="mx0.test", *script):
        self.hop = Hop(
            host=host, address="192.0.2.25", source="192.0.2.10", ehlo_name="us.test"
        )
        self.script = list(script)
        self.uses = 0
        self.is_usable = True
        self.is_ended = False  # with all courtesy
        self.is_closed = False  # in any way
        self.transactions = []

    def transact(self, transaction, open_content, fuse):
        self.uses += 1
        self.transactions.append(transaction)
        step = self.script.pop(0) if self.script else OK
        if callable(step):
            step = step(fuse)
        if isinstance(step, BaseException):
            self.is_usable = not isinstance(step, StaleSession)
            raise step
        return step

    def is_quiet(self):
        return True

    def end(self):
        self.is_ended = self.is_usable
        self.is_closed = True

    def close(self):
        self.is_closed = True


class FakeConnector:
    """Gives the sessions, or raises the failures, in the order of its script."""

    def __init__(self, *script, security=None):
        self.script = list(script)
        self.calls = []
        self.policies = []
        self.security = security or Security(targets=FakeTargets())

    def connect(self, target, source, fuse, *, policy, note, manner):
        self.calls.append((target, source, not policy.wants_tls))
        self.policies.append(policy)
        step = self.script.pop(0)
        if callable(step):
            step = step(fuse)
        if isinstance(step, BaseException):
            raise step
        return step


class FakeLimits:
    """Counts slots; rates and troubles answer as they are told.

    Attributes:
        held: Members by key.
        log: Every question: member, keys of slots, keys of paces, dropped keys.
        answers: To give, one by one, in place of what counting would say.
    """

    def __init__(self):
        self.held = {}
        self.log = []
        self.answers = []
        self.waits = []
        self.turns = []
        self.wanted = set()
        self.troubles = {}
        self.cleared = []

    def acquire(self, member, demand, *, has_turn=False, drop=(), trouble=""):
        slots = [slot.key for slot in demand.slots]
        self.log.append(
            (member, slots, [pace.key for pace in demand.paces], list(drop))
        )
        self.turns.append(has_turn)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                return answer
        if trouble in self.troubles:
            return Trouble(*self.troubles[trouble])
        for slot in demand.slots:
            members = self.held.setdefault(slot.key, set())
            if member not in members and len(members) >= slot.limit:
                return Full(slot.key, slot.limit)
        for key in slots:
            self.held[key].add(member)
        freed = self.release(member, drop)
        wait = self.waits.pop(0) if self.waits else timedelta(0)
        return Granted(wait, tuple(freed))

    def release(self, member, keys):
        for key in keys:
            self.held[key].remove(member)
        return [key for key in keys if key in self.wanted]

    def is_wanted(self, key):
        return key in self.wanted

    def note_trouble(self, key, text, ttl):
        self.troubles[key] = (text, ttl)

    def clear_trouble(self, key):
        self.troubles.pop(key, None)
        self.cleared.append(key)

    def count(self, key):
        """How many slots of a limit are held."""
        return len(self.held.get(key, ()))

    @property
    def keys(self):
        """The limits of which a slot is held."""
        return {key for key, members in self.held.items() if members}


class HeldBack:
    """The measures of a board that never changes."""

    def __init__(self, measures=()):
        self.board = Board(measures)

    def __bool__(self):
        return bool(self.board)

    def in_force(self, places, tenant):
        return self.board.at(places, tenant=tenant, now=NOW)


class Until:
    """A number that is reached until then."""

    def __init__(self, until):
        self.until = until


class Book:
    """Counts by the day alone.

    Attributes:
        sent, deferred: By address and site.
    """

    def __init__(self, history=None):
        self.days = history or {}
        self.sent = Counter()
        self.asked = 0
        self.deferred = Counter()

    def history(self, address, site, since):
        return self.days

    def reserve(self, address, site, ration, now):
        self.asked += 1
        if self.sent[address, site] >= ration.per_day:
            return Until(now + timedelta(hours=11, minutes=30))
        self.sent[address, site] += 1
        return None

    def give_back(self, address, site, ration, reserved_at):
        self.sent[address, site] -= 1

    def note_deferred(self, address, site, reserved_at):
        self.deferred[address, site] += 1


def failure(kind=TransientFailure, *, next_host=True, text="no", category="network"):
    return kind(
        make_reply(450 if kind is not PermanentFailure else 550, None, text),
        category=category,
        is_next_host_worth_trying=next_host,
    )


def unreachable(text="nobody there"):
    return failure(NoConnection, text=text)


def not_from_here(text="no route"):
    return failure(NotFromHere, text=text)


def later(key="zone:default", seconds=60):
    return Later(key, seconds * SECOND)


def a_request(zone=None, **changes):
    fields = {
        "config": CONFIG,
        "zone": zone or a_zone(),
        "reverse_path": "ada@a.test",
        "recipient": "bob@b.test",
        "domain": "b.test",
        "delivery_id": "1.001",
        "size": 100,
        "needs_8bit": False,
        "needs_utf8": False,
        "open_content": lambda hop: [b"x\r\n"],
    }
    return RelayRequest(**{**fields, **changes})


def a_zone(name="default", connections=10, **changes):
    return Zone(name=name, connections=connections, **changes)


def pool_of(*texts, **limits):
    return tuple(PoolAddress(address=ip_address(text), **limits) for text in texts)
