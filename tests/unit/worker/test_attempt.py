"""One attempt: what each end of it does to the record."""

import dataclasses
import itertools
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from mta.config.live import Live
from mta.config.zones import Config, DomainLimits, QueueConfig, Zone
from mta.delivery import Delivery, DeliveryState
from mta.errors import (
    KeyUnusable,
    MessageGone,
    PermanentFailure,
    RateReached,
    SlotsTaken,
    Stopping,
    StoreUnavailable,
    TransientFailure,
)
from mta.mail.envelope import Envelope
from mta.policy.limits import Slot
from mta.relay.request import Hop, Sent
from mta.reply import make_reply
from mta.store.documents import Body, StoredMessage
from mta.worker.attempt import (
    CHAIN_FOR_S,
    SETTLE_FOR_S,
    STORE_PAUSE,
    Attempts,
)
from mta.worker.leases import Leases
from mta.worker.outcome import Judge
from mta.worker.request import LeaseLost, Requests
from mta.worker.sealer import Sealer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DOMAIN = "domain:default:b.test"

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
    due_at=NOW,
    give_up_at=NOW + timedelta(days=1),
    recipient_count=1,
)


class Deliveries:
    """Gives one claim; remembers what became of it."""

    lease = timedelta(seconds=60)

    def __init__(self, claim=DELIVERY):
        self.claimable = claim
        self.settled = []
        self.postponed = []
        self.marked = []
        self.failures = 0
        self.lost = set()
        self.mark_answer = True

    def claim(self, delivery_id, *, owner):
        claimed, self.claimable = self.claimable, None
        return claimed

    def settle(self, claimed, outcome, *, keep_until):
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        self.settled.append(outcome)
        return True

    def postpone(self, claimed, **facts):
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        self.postponed.append((claimed, facts))
        return True

    def mark_dot(self, claimed):
        self.marked.append(claimed.id)
        if isinstance(self.mark_answer, Exception):
            raise self.mark_answer
        return self.mark_answer

    def renew(self, claims):
        return self.lost


class Library:
    def message(self, message_id):
        return MESSAGE

    def body(self, message):
        yield b"Hi\r\n"


class Witness:
    """Notes what had been settled when it was told of an outcome."""

    def __init__(self):
        self.noted = []
        self.deliveries = None

    def note(self, claimed, outcome):
        self.noted.append((outcome, outcome in self.deliveries.settled))


class Keys:
    """Finds no keys, or fails as told."""

    def __init__(self, answer=()):
        self.answer = answer

    def find(self, domain):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Relay:
    """Takes the content, then answers or fails as told."""

    def __init__(self, answer=None):
        self.answer = answer
        self.content = b""
        self.ended = 0
        self.admitted = frozenset()
        self.during = lambda: None

    def send(self, request, chain):
        self.during()
        chain.admitted = self.admitted
        hop = Hop(
            host="mx.b.test",
            address="192.0.2.1",
            source="192.0.2.9",
            ehlo_name="mta.test",
        )
        self.content = b"".join(request.open_content(hop))
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

    def end(self, chain):
        self.ended += 1


class Shaper:
    """Keeps what it was told of."""

    def __init__(self):
        self.noted = []

    def note(self, claimed, config, failure):
        self.noted.append(failure)


class HandOver:
    """Has parked deliveries to claim; remembers what it was told."""

    eta_lead = timedelta(seconds=5)

    def __init__(self, parked=()):
        self.parked = list(parked)
        self.wanted = {DOMAIN} if parked else set()
        self.waits, self.rung, self.rung_for = [], [], []

    def is_wanted(self, key):
        return key in self.wanted

    def claim_next(self, key, *, zone, owner):
        assert (key, zone) == (DOMAIN, "default")
        return self.parked.pop(0) if self.parked else None

    def wait_for(self, slot):
        self.waits.append(slot)

    def ring_next(self, keys):
        self.rung += keys

    def ring_for(self, row, now):
        self.rung_for.append(row)


@pytest.fixture
def attempt():
    """Run one attempt; returns the store with what was settled."""

    def run(
        relay,
        deliveries=None,
        *,
        zone=None,
        config=None,
        now=NOW,
        waits=None,
        handover=None,
        monotonic=None,
        capacity=0,
        stopping=None,
        keys=None,
        library=None,
    ):
        deliveries = deliveries or Deliveries()
        zone = zone or Zone(name="default")
        config = config or Config(
            zones={zone.name: zone},
            interfaces={},
            queue=QueueConfig(
                defer_times=(5 * MINUTE, 7 * MINUTE), jitter=0.0, in_doubt_wait=MINUTE
            ),
        )
        leases = Leases(deliveries)
        run.leases.append(leases)
        if deliveries.lost:
            relay.during = leases.renew
        run.shaper = shaper = Shaper()
        run.witness = Witness()
        run.witness.deliveries = deliveries
        run.attempts = Attempts(
            judge=Live(Judge(config)),
            deliveries=deliveries,
            requests=Requests(
                library=library or Library(),
                deliveries=deliveries,
                leases=leases,
                sealer=Sealer(Live(config.dkim), keys or Keys(), lambda: now),
            ),
            leases=leases,
            relay=relay,
            shaper=shaper,
            handover=handover or HandOver(),
            witness=run.witness,
            owner="me",
            now=lambda: now,
            spread=lambda: 0.5,
            wait=(waits if waits is not None else []).append,
            **({"monotonic": monotonic} if monotonic else {}),
            **({"stopping": stopping} if stopping else {}),
        )
        run.attempts.counts.capacity = capacity
        run.attempts.attempt("m.001")
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


def test_what_was_said_is_kept_after_the_outcome(attempt):
    """The record goes first; nothing of the talk stands in it."""
    failure = TransientFailure(make_reply(451, "4.7.1", "later"), category="smtp")
    failure.talk = "what was said"

    deliveries = attempt(Relay(failure))

    assert attempt.witness.noted == [(deliveries.settled[0], True)]
    assert deliveries.settled[0].talk == "what was said"


def test_what_was_not_settled_is_not_kept(attempt):
    """Another worker has the delivery now, and tells what it sees."""
    attempt(Relay(), Deliveries(claim=None))

    assert attempt.witness.noted == []


def test_a_permanent_failure_bounces(attempt):
    """5yz is the next hop's last word."""
    failure = PermanentFailure(make_reply(550, "5.1.1", "nobody"), category="smtp")

    (outcome,) = attempt(Relay(failure)).settled

    assert outcome.state is DeliveryState.BOUNCED


def test_an_unknown_failure_means_later(attempt):
    """A bug of ours must not lose mail."""
    relay = Relay()
    relay.send = lambda request, chain: {}["bug"]

    (outcome,) = attempt(relay).settled

    assert (outcome.state, outcome.code) == (DeliveryState.DEFERRED, 451)


def test_a_key_that_cannot_be_used_defers_before_anybody_is_connected_to(attempt):
    """With a reply of ours; what is wrong with the key is for the log alone."""
    relay = Relay()

    (outcome,) = attempt(relay, keys=Keys(KeyUnusable("/secret/path"))).settled

    assert outcome.state is DeliveryState.DEFERRED
    assert outcome.response == "451 4.7.5 The message cannot be signed now"
    assert outcome.due_at == NOW + 5 * MINUTE
    assert relay.content == b""


def test_mail_is_not_lost_either_if_the_key_fails_in_mid_session(attempt):
    """The sending host's own key is looked for when its name is known."""
    config = Config(dkim={"sign_transport_domain": True})
    keys = Keys()
    relay = Relay()

    def find(domain):
        if domain == "mta.test":
            raise KeyUnusable("gone")
        return ()

    keys.find = find
    (outcome,) = attempt(relay, keys=keys, config=config).settled

    assert (outcome.state, outcome.code) == (DeliveryState.DEFERRED, 451)
    assert relay.content == b""


def test_a_delivery_whose_time_is_over_is_not_tried(attempt):
    """It expires without bothering the next hop."""
    relay = Relay()

    (outcome,) = attempt(relay, now=NOW + timedelta(days=2)).settled

    assert (outcome.state, relay.content) == (DeliveryState.EXPIRED, b"")


def test_a_zone_that_is_not_configured_here_waits(attempt):
    """A worker with an older configuration must not bounce what it cannot send."""
    (outcome,) = attempt(Relay(), zone=Zone(name="other")).settled

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

    def spy(request, chain):
        try:
            return send(request, chain)
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


def test_the_row_is_marked_once_all_but_the_dot_is_read(attempt):
    """From there on a death of ours leaves a doubt, and no second copy."""
    deliveries = attempt(Relay())

    assert deliveries.marked == ["m.001"]


def test_no_dot_is_sent_when_the_mark_finds_the_claim_lost(attempt):
    """The database's word on the lease counts more than our own clock's."""
    deliveries = Deliveries()
    deliveries.mark_answer = False

    attempt(Relay(), deliveries)

    assert (deliveries.settled, deliveries.postponed) == ([], [])


def test_a_mark_that_cannot_be_written_gives_the_row_back(attempt):
    """Nothing whose result could not be recorded is sent."""
    deliveries = Deliveries()
    deliveries.mark_answer = StoreUnavailable("away")
    deliveries.failures = 2

    attempt(Relay(), deliveries)

    assert deliveries.settled == []
    ((_, given_back),) = deliveries.postponed
    assert given_back == {"ring_at": NOW + STORE_PAUSE, "waits_for": ""}


def a_doubt():
    return TransientFailure(
        make_reply(450, "4.4.2", "cut"), category="network", is_in_doubt=True
    )


@pytest.mark.parametrize(
    ("policy", "state", "due_at"),
    [
        pytest.param("retry", DeliveryState.IN_DOUBT, NOW + MINUTE, id="retry"),
        pytest.param("hold", DeliveryState.IN_DOUBT, DELIVERY.give_up_at, id="hold"),
        pytest.param("assume_delivered", DeliveryState.DELIVERED, None, id="assume"),
    ],
)
def test_a_dot_without_an_answer_leaves_a_doubt(attempt, policy, state, due_at):
    """What follows is the zone's policy; that it was in doubt is kept."""
    zone = Zone(name="default", in_doubt=policy)

    (outcome,) = attempt(Relay(a_doubt()), zone=zone).settled

    assert (outcome.state, outcome.due_at) == (state, due_at)
    assert outcome.is_doubtful


def test_a_delivery_that_meets_a_limit_is_parked(attempt):
    """No attempt is counted; the word that it waits is given after the record."""
    handover = HandOver()
    full = Relay(SlotsTaken(DOMAIN, 5))

    deliveries = attempt(full, handover=handover)

    ((claimed, parked),) = deliveries.postponed
    assert (parked["waits_for"], claimed.due_at) == (DOMAIN, NOW)
    assert parked["ring_at"] == NOW + MINUTE
    assert handover.waits == [Slot(DOMAIN, 5)]


def test_a_turn_is_not_lost_for_want_of_a_slot(attempt):
    """It has stood in line for the rate already."""
    claim = dataclasses.replace(DELIVERY, has_turn=True)

    deliveries = attempt(Relay(SlotsTaken(DOMAIN, 5)), Deliveries(claim=claim))

    ((parked, _),) = deliveries.postponed
    assert parked.has_turn


def test_transactional_mail_does_not_stand_in_line_for_a_rate(attempt):
    """The rate itself holds for it; the turns of a campaign do not."""
    relay, asked = Relay(), []
    send = relay.send
    relay.send = lambda request, chain: (asked.append(request), send(request, chain))[1]
    claim = dataclasses.replace(DELIVERY, lane="0:shop")

    attempt(relay, Deliveries(claim=claim))

    assert [request.has_turn for request in asked] == [True]


def test_a_delivery_whose_turn_is_near_is_rung_for_at_once(attempt):
    """Its doorbell carries the time: the next tick could come too late."""
    handover = HandOver()
    wait = timedelta(seconds=3)

    deliveries = attempt(Relay(RateReached("zone:default", wait)), handover=handover)

    ((claimed, given_back),) = deliveries.postponed
    assert (claimed.due_at, claimed.has_turn) == (NOW + wait, True)
    assert claimed.put_off_by == "zone:default"
    assert given_back["ring_at"] > NOW + wait
    assert [row.due_at for row in handover.rung_for] == [NOW + wait]


def test_a_delivery_whose_turn_is_far_is_left_to_the_scheduler(attempt):
    """Days are spent in MongoDB, seconds in Celery."""
    handover = HandOver()
    wait = timedelta(minutes=10)

    deliveries = attempt(Relay(RateReached("zone:default", wait)), handover=handover)

    ((_, given_back),) = deliveries.postponed
    assert given_back["ring_at"] == NOW + wait - timedelta(seconds=5)
    assert handover.rung_for == []


def test_a_worker_that_stops_gives_its_deliveries_back(attempt):
    """The next worker gets them at once, and no attempt is counted."""
    deliveries = attempt(Relay(Stopping()))

    assert deliveries.postponed == [(DELIVERY, {"ring_at": NOW, "waits_for": ""})]


def test_a_task_goes_on_with_what_waits_for_its_slot(attempt):
    """On the same session, without another task."""
    parked = [dataclasses.replace(DELIVERY, id=f"m.00{n}") for n in (2, 3)]

    deliveries = attempt(Relay(), handover=HandOver(parked))

    assert deliveries.marked == ["m.001", "m.002", "m.003"]
    assert len(deliveries.settled) == 3


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            PermanentFailure(make_reply(550, "5.1.1", "no"), category="smtp"),
            id="refused",
        ),
        pytest.param(
            TransientFailure(make_reply(450, "4.4.1", "no"), category="network"),
            id="not reached",
        ),
        pytest.param(RateReached("zone:default", timedelta(minutes=9)), id="its turn"),
        pytest.param(SlotsTaken("zone:default", 10), id="another limit"),
    ],
)
def test_who_was_woken_by_a_slot_passes_it_on_unused(attempt, answer):
    """Others wait for it, and nobody else knows that it is free."""
    parked = [dataclasses.replace(DELIVERY, id=f"m.00{n}") for n in (2, 3)]
    handover = HandOver(parked)

    deliveries = attempt(Relay(answer), handover=handover)

    assert len(deliveries.settled) + len(deliveries.postponed) == 3


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            TransientFailure(make_reply(450, "4.4.1", "no"), category="network"),
            id="not reached",
        ),
        pytest.param(RateReached("zone:default", timedelta(minutes=9)), id="its turn"),
        pytest.param(SlotsTaken(DOMAIN, 5), id="another limit"),
        pytest.param(MessageGone("m"), id="nothing to send"),
    ],
)
def test_a_slot_that_woke_a_delivery_in_vain_wakes_the_next(attempt, answer):
    """Whatever limit it is of: nobody else knows that it is free."""
    handover = HandOver()
    claim = dataclasses.replace(DELIVERY, woken_by="source:192.0.2.1")

    attempt(Relay(answer), Deliveries(claim=claim), handover=handover)

    assert handover.rung == ["source:192.0.2.1"]


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "full"])
def test_a_slot_that_is_not_free_any_more_wakes_nobody(attempt, is_taken):
    """Who takes it, or has it, will tell when it is."""
    handover, key = HandOver(), "source:192.0.2.1"
    claim = dataclasses.replace(DELIVERY, woken_by=key)
    relay = Relay() if is_taken else Relay(SlotsTaken(key, 2))
    relay.admitted = frozenset({key}) if is_taken else frozenset()

    attempt(relay, Deliveries(claim=claim), handover=handover)

    assert handover.rung == []


def test_a_delivery_that_is_only_to_ask_again_has_no_turn(attempt):
    """It stands behind those who wait for theirs."""
    again = RateReached(DOMAIN, timedelta(seconds=2), is_turn=False)

    ((given_back, _),) = attempt(Relay(again)).postponed

    assert (given_back.has_turn, given_back.due_at) == (False, NOW + 2 * MINUTE / 60)


def test_a_chain_goes_on_for_long_while_no_task_waits_for_its_greenlet(attempt):
    """A session is worth more than one message of a slow peer."""
    parked = [dataclasses.replace(DELIVERY, id=f"m.{n:03x}") for n in range(2, 999)]
    handover, relay = HandOver(parked), Relay()
    clock = itertools.count(time.monotonic(), CHAIN_FOR_S / 10)

    deliveries = attempt(
        relay, handover=handover, monotonic=lambda: float(next(clock)), capacity=10
    )

    assert 20 < len(deliveries.settled) < 200


def test_who_finds_no_slot_free_leaves_the_others_be(attempt):
    """They would find none either."""
    handover = HandOver([dataclasses.replace(DELIVERY, id="m.002")])

    attempt(Relay(SlotsTaken(DOMAIN, 5)), handover=handover)

    assert len(handover.parked) == 1


def test_a_chain_ends_in_time_and_gives_its_slot_away(attempt):
    """Mail whose tasks wait in the broker must get its turn as well."""
    parked = [dataclasses.replace(DELIVERY, id=f"m.{n:03x}") for n in range(2, 99)]
    handover = HandOver(parked)
    clock = itertools.count(time.monotonic(), CHAIN_FOR_S / 10)
    relay = Relay()

    deliveries = attempt(relay, handover=handover, monotonic=lambda: float(next(clock)))

    assert 1 < len(deliveries.settled) < 10
    assert (relay.ended, handover.waits) == (1, [Slot(DOMAIN, 5)])


def test_what_breaks_after_the_dot_was_announced_is_a_doubt(attempt):
    """Even a fault of ours must not repeat a message in silence."""
    relay = Relay(RuntimeError("bug"))

    (outcome,) = attempt(relay).settled

    assert (outcome.state, outcome.is_doubtful) == (DeliveryState.IN_DOUBT, True)


def test_a_message_that_is_gone_bounces(attempt):
    """There is nothing left to send."""
    (outcome,) = attempt(Relay(MessageGone("m"))).settled

    assert (outcome.state, outcome.attempt) == (DeliveryState.BOUNCED, 0)


def test_the_schedule_of_the_domain_goes_before_that_of_the_zone(attempt):
    """The most specific word counts."""
    config = Config(
        zones={"default": Zone(name="default", defer_times=(9 * MINUTE,))},
        interfaces={},
        domains={"b.test": DomainLimits(defer_times=(2 * MINUTE,))},
        queue=QueueConfig(jitter=0.0),
    )
    failure = TransientFailure(make_reply(451, "4.7.1", "no"), category="smtp")

    (outcome,) = attempt(Relay(failure), config=config).settled

    assert outcome.due_at == NOW + 2 * MINUTE


def test_a_connection_rests_while_no_delivery_is_held(attempt):
    """The one is settled, the next not claimed yet; a worker that stops goes on."""
    handover = HandOver([dataclasses.replace(DELIVERY, id="m.002")])
    deliveries, seen = Deliveries(), []

    class Stopping(threading.Event):
        def wait(self, timeout=None):
            busy = attempt.attempts.counts.busy
            seen.append((len(deliveries.settled), len(handover.parked), busy))
            return super().wait(0)

    class Resting(Relay):
        def send(self, request, chain):
            chain.session, chain.rests_until = object(), time.monotonic() + 3600
            return super().send(request, chain)

    attempt(Resting(), deliveries, handover=handover, stopping=Stopping())

    assert seen == [(1, 1, 1), (2, 0, 1)]


def test_nobody_rests_without_a_connection(attempt):
    """It broke, or there was none."""

    class Stopping(threading.Event):
        def wait(self, timeout=None):
            raise AssertionError

    class Broken(Relay):
        def send(self, request, chain):
            chain.rests_until = time.monotonic() + 3600
            return super().send(request, chain)

    (outcome,) = attempt(Broken(), stopping=Stopping()).settled

    assert outcome.state is DeliveryState.DELIVERED


@pytest.mark.parametrize(
    ("pool_hash", "sender"), [("from", "ada@a.test"), ("message", "")]
)
def test_a_request_names_its_sender_if_senders_keep_to_an_address(
    attempt, pool_hash, sender
):
    """Else it is the delivery that keeps to one."""
    seen = []

    class Asked(Relay):
        def send(self, request, chain):
            seen.append(request.sender)
            return super().send(request, chain)

    attempt(Asked(), zone=Zone(name="default", pool_hash=pool_hash))

    assert seen == [sender]
