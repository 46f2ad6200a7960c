"""One attempt: what each end of it does to the record."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.config.zones import Config, QueueConfig, Zone
from mta.delivery import Delivery, DeliveryState
from mta.errors import PermanentFailure, StoreUnavailable, TransientFailure
from mta.mail.envelope import Envelope
from mta.relay.relay import Sent
from mta.reply import make_reply
from mta.store.documents import Body, StoredMessage
from mta.worker.attempt import SETTLE_FOR_S, Attempts, LeaseLost
from mta.worker.leases import Leases

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

DELIVERY = Delivery(
    id="m.001",
    message_id="m",
    zone="default",
    recipient="bob@b.test",
    domain="b.test",
    state=DeliveryState.SENDING,
    created_at=NOW,
    due_at=NOW,
    give_up_at=NOW + timedelta(days=1),
    claims=1,
    owner="me",
)
MESSAGE = StoredMessage(
    id="m",
    envelope=Envelope(
        reverse_path="ada@a.test",
        recipients=(),
        interface="feeder",
        protocol="ESMTP",
        received_at=NOW,
        session_id="s",
        helo="client.test",
        origin="192.0.2.7",
    ),
    header=b"Subject: hi\r\n",
    body=Body(file_id="f", size=4, hash="", md5="", is_8bit=False),
    message_id="<1@a.test>",
    subject="hi",
    created_at=NOW,
    give_up_at=NOW + timedelta(days=1),
    recipient_count=1,
)


class Deliveries:
    """Gives one claim; remembers how it was settled."""

    lease = timedelta(seconds=60)

    def __init__(self, claim=DELIVERY):
        self.claimable = claim
        self.settled = []
        self.failures = 0
        self.lost = set()

    def claim(self, delivery_id, *, owner):
        claimed, self.claimable = self.claimable, None
        return claimed

    def settle(self, claimed, outcome, *, keep_until):
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        self.settled.append(outcome)
        return True

    def renew(self, claims):
        return self.lost


class Library:
    def message(self, message_id):
        return MESSAGE

    def body(self, message):
        yield b"Hi\r\n"


class Relay:
    """Takes the content, then answers or fails as told."""

    def __init__(self, answer=None):
        self.answer = answer
        self.content = b""
        self.during = lambda: None

    def send(self, request):
        self.during()
        self.content = b"".join(request.open_content("mta.test"))
        if self.answer is not None:
            raise self.answer
        return Sent(
            reply=make_reply(250, "2.0.0", "taken"),
            host="mx.b.test",
            address="192.0.2.1",
            source="192.0.2.9",
            ehlo_name="mta.test",
            tls="TLSv1.3",
            cipher="",
            is_reused=False,
            duration=timedelta(),
        )

    def close(self):
        pass


@pytest.fixture
def attempt():
    """Run one attempt; returns the store with what was settled."""

    def run(relay, deliveries=None, *, zone="default", now=NOW, waits=None):
        deliveries = deliveries or Deliveries()
        config = Config(
            zones={zone: Zone(name=zone)},
            interfaces={},
            queue=QueueConfig(defer_times=(5 * MINUTE, 7 * MINUTE)),
        )
        leases = Leases(deliveries)
        run.leases.append(leases)
        if deliveries.lost:
            relay.during = leases.renew
        Attempts(
            config=config,
            deliveries=deliveries,
            library=Library(),
            leases=leases,
            relay=relay,
            owner="me",
            now=lambda: now,
            wait=(waits if waits is not None else []).append,
        ).attempt("m.001")
        return deliveries

    run.leases = []
    return run


def test_a_taken_message_is_settled_as_delivered(attempt):
    """The reply, the server and the way there are recorded with it."""
    (outcome,) = attempt(Relay()).settled

    assert outcome.state is DeliveryState.DELIVERED
    assert (outcome.response, outcome.host) == ("250 2.0.0 taken", "mx.b.test")
    assert (outcome.tls, outcome.attempt) == ("TLSv1.3", 1)


def test_the_content_is_the_message_below_our_received_field(attempt):
    """Header, empty line and body leave as they were stored."""
    relay = Relay()

    attempt(relay)

    received, _, stored = relay.content.partition(b"Subject:")
    assert stored == b" hi\r\n\r\nHi\r\n"
    assert received.startswith(b"Received: from client.test ([192.0.2.7])")
    assert b"by mta.test" in received
    assert b"id m.001" in received


def test_an_echo_changes_nothing(attempt):
    """A doorbell for a row that cannot be claimed ends at once."""
    relay = Relay()

    deliveries = attempt(relay, Deliveries(claim=None))

    assert (deliveries.settled, relay.content) == ([], b"")


def test_a_transient_failure_defers_by_the_schedule(attempt):
    """The first wait of the schedule, counted from the failure."""
    failure = TransientFailure(make_reply(451, "4.7.1", "later"), category="smtp")

    (outcome,) = attempt(Relay(failure)).settled

    assert outcome.state is DeliveryState.DEFERRED
    assert outcome.due_at == NOW + 5 * MINUTE


def test_a_permanent_failure_bounces(attempt):
    """5yz is the next hop's last word."""
    failure = PermanentFailure(make_reply(550, "5.1.1", "nobody"), category="smtp")

    (outcome,) = attempt(Relay(failure)).settled

    assert outcome.state is DeliveryState.BOUNCED


def test_an_unknown_failure_means_later(attempt):
    """A bug of ours must not lose mail."""
    (outcome,) = attempt(Relay(RuntimeError("bug"))).settled

    assert (outcome.state, outcome.code) == (DeliveryState.DEFERRED, 451)


def test_a_delivery_whose_time_is_over_is_not_tried(attempt):
    """It expires without bothering the next hop."""
    relay = Relay()

    (outcome,) = attempt(relay, now=NOW + timedelta(days=2)).settled

    assert (outcome.state, relay.content) == (DeliveryState.EXPIRED, b"")


def test_a_zone_that_is_not_configured_here_waits(attempt):
    """A worker with an older configuration must not bounce what it cannot send."""
    (outcome,) = attempt(Relay(), zone="other").settled

    assert outcome.state is DeliveryState.DEFERRED
    assert outcome.attempt == 0


def test_a_lost_lease_stops_before_the_final_dot(attempt):
    """Another worker may be sending it now: nothing is sent and nothing settled."""
    deliveries = Deliveries()
    deliveries.lost = {"m.001"}
    relay = Relay()

    attempt(relay, deliveries)

    assert deliveries.settled == []


def test_the_content_ends_in_an_error_when_the_lease_is_lost(attempt):
    """The session is cut before its dot by the content itself."""
    deliveries = Deliveries()
    deliveries.lost = {"m.001"}
    relay = Relay()
    caught = []
    send = relay.send

    def spy(request):
        try:
            return send(request)
        except LeaseLost as error:
            caught.append(error)
            raise

    relay.send = spy
    attempt(relay, deliveries)

    assert len(caught) == 1


def test_a_lease_that_nobody_could_renew_counts_as_lost():
    """Cut off from MongoDB for a lease, we must take the row for another's."""
    deliveries = Deliveries()
    clock = [100.0]
    leases = Leases(deliveries, monotonic=lambda: clock[0])

    with leases.holding(DELIVERY, asked_at=100.0):
        clock[0] += 59
        before = leases.is_lost(DELIVERY)
        leases.renew()
        clock[0] += 59
        renewed = leases.is_lost(DELIVERY)
        clock[0] += 1
        cut_off = leases.is_lost(DELIVERY)

    assert (before, renewed, cut_off) == (False, False, True)


def test_a_settlement_is_retried_while_the_store_is_away(attempt):
    """Forgetting a 250 would mean sending twice."""
    deliveries = Deliveries()
    deliveries.failures = 3
    waits = []

    attempt(Relay(), deliveries, waits=waits)

    assert len(deliveries.settled) == 1
    assert len(waits) == 3


def test_a_settlement_is_given_up_in_the_end(attempt):
    """The lease has run out long before; somebody else has the row."""
    deliveries = Deliveries()
    deliveries.failures = 10_000
    waits = []

    attempt(Relay(), deliveries, waits=waits)

    assert deliveries.settled == []
    assert sum(waits) >= SETTLE_FOR_S


def test_a_heartbeat_during_the_settlement_renews_nothing(attempt):
    """A settled row cannot be renewed, and must not be taken for a lost one."""
    deliveries = Deliveries()
    renewed = []
    deliveries.renew = lambda claims: renewed.extend(claims) or set()
    settle = deliveries.settle

    def settle_during_a_heartbeat(claimed, outcome, *, keep_until):
        heartbeats[0].renew()
        return settle(claimed, outcome, keep_until=keep_until)

    deliveries.settle = settle_during_a_heartbeat
    heartbeats = attempt.leases
    attempt(Relay(), deliveries)

    assert len(deliveries.settled) == 1
    assert renewed == []
