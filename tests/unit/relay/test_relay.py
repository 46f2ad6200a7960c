from datetime import timedelta
from ipaddress import ip_address

import pytest

from mta.config.zones import ConnectionCache, PoolAddress, Zone
from mta.errors import PermanentFailure, TransientFailure
from mta.relay.failures import StaleSession
from mta.relay.hosts import Target
from mta.relay.pool import SessionPool
from mta.relay.relay import Relay, RelayRequest
from mta.reply import make_reply

OK = make_reply(250, "2.0.0", "taken")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeTargets:
    """Goes where it is told."""

    def __init__(self, *addresses):
        self.sandbox = None
        self.targets = [Target(f"mx{n}.test", a, 25) for n, a in enumerate(addresses)]

    def destination(self, zone, domain):
        return domain

    def find_targets(self, zone, domain):
        return iter(self.targets)


class FakeSession:
    """Replies, or raises, in the order of its script."""

    tls = "TLSv1.3"
    cipher = "TLS_AES_128_GCM_SHA256"
    source = "192.0.2.10"
    ehlo_name = "us.test"

    def __init__(self, host, *script):
        self.host = host
        self.address = "192.0.2.25"
        self.script = list(script)
        self.uses = 0
        self.is_usable = True
        self.is_closed = False
        self.transactions = []

    def transact(self, transaction, open_content):
        self.uses += 1
        self.transactions.append(transaction)
        step = self.script.pop(0) if self.script else OK
        if isinstance(step, Exception):
            self.is_usable = not isinstance(step, StaleSession)
            raise step
        return step

    def is_quiet(self):
        return True

    def close(self):
        self.is_closed = True


class FakeConnector:
    """Gives the sessions, or raises the failures, in the order of its script."""

    def __init__(self, *script):
        self.script = list(script)
        self.calls = []

    def connect(self, target, source, *, ignore_tls):
        self.calls.append((target, source, ignore_tls))
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def failure(kind=TransientFailure, *, next_host=True, text="no"):
    return kind(
        make_reply(450 if kind is not PermanentFailure else 550, None, text),
        category="network",
        is_next_host_worth_trying=next_host,
    )


def a_request(zone=None, **changes):
    fields = {
        "zone": zone or Zone(name="default"),
        "reverse_path": "ada@a.test",
        "recipient": "bob@b.test",
        "domain": "b.test",
        "delivery_id": "1.001",
        "size": 100,
        "needs_8bit": False,
        "needs_utf8": False,
        "open_content": lambda name: [b"x\r\n"],
    }
    return RelayRequest(**{**fields, **changes})


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def a_relay(clock):
    """Build a relay over fakes."""

    def build(connector, targets=None):
        return Relay(
            targets=targets
            or FakeTargets(*map(ip_address, ["192.0.2.1", "192.0.2.2"])),
            connector=connector,
            pool=SessionPool(monotonic=clock, start_thread=lambda run: None),
            budget=timedelta(minutes=15),
            monotonic=clock,
        )

    return build


def test_first_host_takes_the_message(a_relay):
    """The usual case, and what is told of it."""
    session = FakeSession("mx0.test")

    sent = a_relay(FakeConnector(session)).send(a_request(needs_8bit=True))

    assert (sent.reply, sent.host, sent.tls) == (OK, "mx0.test", "TLSv1.3")
    assert not sent.is_reused
    assert session.transactions[0].is_8bit
    assert not session.is_closed


def test_next_host_is_tried_when_the_first_cannot_be_reached(a_relay):
    """That is what several MX records are for (RFC 5321 §5.1)."""
    connector = FakeConnector(failure(), FakeSession("mx1.test"))

    assert a_relay(connector).send(a_request()).host == "mx1.test"


@pytest.mark.parametrize("kind", [TransientFailure, PermanentFailure])
def test_answer_about_the_message_is_the_last_word(a_relay, kind):
    """Another host of the same domain would not know better."""
    session = FakeSession("mx0.test", failure(kind, next_host=False, text="answer"))
    connector = FakeConnector(session)

    with pytest.raises(kind, match="answer"):
        a_relay(connector).send(a_request())

    assert len(connector.calls) == 1


def test_first_failure_is_told_when_no_host_can_be_reached(a_relay):
    """The best host's trouble is the one to know about."""
    connector = FakeConnector(failure(text="first"), failure(text="second"))

    with pytest.raises(TransientFailure, match="first"):
        a_relay(connector).send(a_request())


def test_no_further_host_is_tried_when_time_is_up(a_relay, clock):
    """An attempt ends, even if each of twenty hosts takes its time."""

    class Slow(FakeConnector):
        def connect(self, *args, **kwargs):
            clock.now += 1000
            return super().connect(*args, **kwargs)

    connector = Slow(failure(text="first"), FakeSession("mx1.test"))

    with pytest.raises(TransientFailure, match="first"):
        a_relay(connector).send(a_request())


def test_session_is_used_again(a_relay):
    """The second message to a domain needs no second session."""
    session = FakeSession("mx0.test")
    connector = FakeConnector(session)
    relay = a_relay(connector)

    relay.send(a_request())
    sent = relay.send(a_request(delivery_id="2.001"))

    assert sent.is_reused
    assert len(connector.calls) == 1


def test_session_is_used_again_after_a_refusal(a_relay):
    """An unknown recipient says nothing against the session."""
    session = FakeSession("mx0.test", failure(PermanentFailure, next_host=False))
    relay = a_relay(FakeConnector(session))
    with pytest.raises(PermanentFailure):
        relay.send(a_request())

    assert relay.send(a_request()).is_reused


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({}, {"domain": "c.test"}, id="domain"),
        pytest.param({}, {"zone": Zone(name="other")}, id="zone"),
    ],
)
def test_session_is_not_shared_across(a_relay, first, second):
    """Mail of one kind never leaves over the session of another."""
    connector = FakeConnector(FakeSession("mx0.test"), FakeSession("mx1.test"))
    relay = a_relay(connector)

    relay.send(a_request(**first))
    sent = relay.send(a_request(**second))

    assert not sent.is_reused


def test_stale_session_is_replaced_at_once(a_relay):
    """It died waiting: that is no attempt, and costs no delay."""
    stale = FakeSession("mx0.test", OK, failure(StaleSession))
    connector = FakeConnector(stale, FakeSession("mx0.test"))
    relay = a_relay(connector)
    relay.send(a_request())

    sent = relay.send(a_request())

    assert not sent.is_reused
    assert stale.is_closed


def test_session_is_closed_after_its_last_use(a_relay):
    """Some peers count messages; we count first."""
    zone = Zone(name="default", connection_cache=ConnectionCache(reuse_count=1))
    session = FakeSession("mx0.test")

    a_relay(FakeConnector(session)).send(a_request(zone))

    assert session.is_closed


def test_error_of_the_content_passes_through(a_relay):
    """The store's trouble is not the next hop's; the session is not kept."""
    session = FakeSession("mx0.test", RuntimeError("store"))

    with pytest.raises(RuntimeError):
        a_relay(FakeConnector(session)).send(a_request())


def pool_of(*texts):
    return tuple(PoolAddress(address=ip_address(text)) for text in texts)


def test_source_is_of_the_targets_family(a_relay):
    """A target is reached from the pool's address of its own kind."""
    zone = Zone(name="default", addresses=pool_of("192.0.2.10", "2001:db8::10"))
    connector = FakeConnector(failure(), FakeSession("mx1.test"))
    targets = FakeTargets(ip_address("192.0.2.1"), ip_address("2001:db8::1"))

    a_relay(connector, targets).send(a_request(zone))

    assert [str(source.address) for _, source, _ in connector.calls] == [
        "192.0.2.10",
        "2001:db8::10",
    ]


def test_family_the_pool_lacks_is_not_dialed(a_relay):
    """Mail never leaves from an address outside of the zone's pool."""
    zone = Zone(name="default", addresses=pool_of("192.0.2.10"))
    connector = FakeConnector()
    targets = FakeTargets(ip_address("2001:db8::1"))

    with pytest.raises(TransientFailure, match="family") as raised:
        a_relay(connector, targets).send(a_request(zone))

    assert raised.value.category == "policy"
    assert not connector.calls


def test_sandbox_needs_no_source(a_relay):
    """Its mail stays on this machine, whatever addresses the pool names."""
    zone = Zone(name="default", addresses=pool_of("192.0.2.10"))
    connector = FakeConnector(FakeSession("sandbox"))
    targets = FakeTargets(ip_address("127.0.0.1"))
    targets.sandbox = ("127.0.0.1", 2599)

    a_relay(connector, targets).send(a_request(zone))

    assert connector.calls[0][1] is None


@pytest.mark.parametrize(("pool_hash", "same"), [("from", True), ("message", False)])
def test_pool_hash_decides_what_sticks_to_an_address(a_relay, pool_hash, same):
    """All mail of one sender, or all attempts of one delivery."""
    zone = Zone(
        name="default",
        addresses=pool_of(*(f"192.0.2.{n}" for n in range(1, 100))),
        pool_hash=pool_hash,
    )
    connector = FakeConnector(*(FakeSession("mx0.test") for _ in range(5)))
    relay = a_relay(connector)
    for number in range(5):
        relay.send(a_request(zone, delivery_id=f"{number}.001", domain=f"d{number}"))

    sources = {str(source.address) for _, source, _ in connector.calls}

    assert (len(sources) == 1) == same


def test_closing_closes_idle_sessions(a_relay):
    """Nothing is left open."""
    session = FakeSession("mx0.test")
    relay = a_relay(FakeConnector(session))
    relay.send(a_request())

    relay.close()

    assert session.is_closed
