"""Taking messages in, on a real MongoDB: what is stored, rung, refused, left behind."""

import hashlib
from base64 import b64decode
from datetime import UTC, datetime, timedelta

import pytest

from mta.config.live import Live
from mta.config.zones import Config, QueueConfig, Zone
from mta.delivery import NO_NOTICE, DeliveryState, Notice, Notify
from mta.errors import Rejected, StoreUnavailable
from mta.intake.accept import Intake
from mta.intake.expand import Expander
from mta.intake.ids import MessageIds
from mta.intake.route import Routing
from mta.mail.envelope import Envelope
from mta.policy.routing import Router
from mta.store.census import Census
from mta.store.deliveries import Deliveries
from mta.store.documents import to_delivery
from mta.store.messages import Messages
from mta.store.mongo import SPOOL_BUCKET
from mta.store.spool import Spool


class Bell:
    """Remembers who was rung for; has room for ``free`` more per zone."""

    def __init__(self):
        self.free = 100
        self.rung = []

    def room(self, zone, *, most, is_transactional):
        return self.free

    def ring(self, zone, deliveries, *, rung_at):
        self.rung += [(zone, delivery.recipient) for delivery in deliveries]
        return len(deliveries)


@pytest.fixture
def bell():
    return Bell()


@pytest.fixture
def deliveries(db):
    return Deliveries(db, lease=timedelta(seconds=60))


@pytest.fixture
def intake(db, bell, deliveries):
    config = Config(
        zones={
            "default": Zone(name="default"),
            "news": Zone(name="news", recipient_domains=("news.test",)),
        }
    )
    messages = Messages(db)
    return Intake(
        config=Live(config),
        hostname="mta.test",
        ids=MessageIds(),
        routing=Live(Routing(config, Router(config))),
        spool=Spool(db, SPOOL_BUCKET),
        messages=messages,
        expander=Expander(deliveries, messages, bell, lambda zone: 10),
        now=utc_now,
    )


def utc_now():
    """In whole milliseconds, as the store keeps it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def an_envelope(**changes):
    facts = {
        "reverse_path": "ada@a.test",
        "recipients": ("bob@b.test",),
        "interface": "feeder",
        "protocol": "ESMTP",
        "received_at": datetime.now(UTC),
        "session_id": "s",
    }
    return Envelope(**{**facts, **changes})


def take(intake, content, **envelope):
    submission = intake.begin(an_envelope(**envelope))
    for start in range(0, len(content), 50_000):
        submission.write(content[start : start + 50_000])
    return submission.commit()


CONTENT = b"From: ada@a.test\nSubject: hi\n\nLine\n"


def test_what_its_sender_asks_for_is_kept_with_the_message(intake, db):
    """Notices stand with the delivery that they are about."""
    asked = Notice(frozenset({Notify.SUCCESS}), "rfc822;b@b.test")
    accepted = take(
        intake,
        CONTENT,
        recipients=("bob@b.test", "eve@news.test"),
        notices={"bob@b.test": asked},
        ret="HDRS",
        envid="QQ",
        require_tls=True,
        tls="TLSv1.3 X",
    )

    rows = Census(db).of_message(accepted.id, limit=10)
    assert [row.notice for row in rows] == [asked, NO_NOTICE]
    kept = Messages(db).find(accepted.id).envelope
    assert (kept.ret, kept.envid, kept.require_tls) == ("HDRS", "QQ", True)
    assert kept.tls == "TLSv1.3 X"


def test_rows_that_a_crash_left_unwritten_have_their_notices(intake, db, bell):
    """The scheduler writes them from the record."""
    asked = Notice(frozenset({Notify.NEVER}))
    accepted = take(intake, CONTENT, notices={"bob@b.test": asked})
    db.messages.update_one(
        {"_id": accepted.id}, {"$set": {"expand_at": utc_now() - timedelta(hours=1)}}
    )

    [(_, recipients)] = Messages(db).unexpanded(utc_now(), limit=10)

    assert [recipient.notice for recipient in recipients] == [asked]


BINARY = (
    b"From: ada@a.test\r\nMIME-Version: 1.0\r\n"
    b"Content-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256))
)


def test_a_binary_message_is_stored_as_lines(intake, db):
    """Most next hops, and the spool, know nothing else (RFC 3030 §3)."""
    accepted = take(intake, BINARY, is_binary=True)

    message = Messages(db).find(accepted.id)
    body = b"".join(
        Spool(db, SPOOL_BUCKET).read(message.body.file_id, message.body.size)
    )
    assert b"Content-Transfer-Encoding: base64\r\n" in message.header
    assert b64decode(body) == bytes(range(256))


def test_a_binary_message_of_too_many_parts_is_refused(intake, db):
    """What it was made of is thrown away."""
    parts = b"--x\r\n\r\n\r\n" * 11_000
    content = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        + parts
        + b"--x--\r\n"
    )

    with pytest.raises(Rejected, match="too complex"):
        take(intake, content, is_binary=True)

    assert db.messages.count_documents({}) == 0


def test_a_message_becomes_a_body_a_record_and_a_row_each(intake, db, bell):
    """And a doorbell per recipient on its zone's queue."""
    accepted = take(intake, CONTENT, recipients=("bob@b.test", "eve@news.test"))

    rows = Census(db).of_message(accepted.id, limit=10)
    assert [(row.recipient, row.zone) for row in rows] == [
        ("bob@b.test", "default"),
        ("eve@news.test", "news"),
    ]
    assert [row.seq for row in rows] == ["001", "002"]
    assert bell.rung == [("default", "bob@b.test"), ("news", "eve@news.test")]
    assert db.mail.files.count_documents({}) == 1


def test_the_stored_content_has_canonical_lines_and_known_hashes(intake, db):
    """Size and digest are those of the bytes that will leave."""
    accepted = take(intake, CONTENT)

    message = Messages(db).find(accepted.id)
    body = b"".join(Spool(db, SPOOL_BUCKET).read(message.body.file_id, 6))
    assert body == b"Line\r\n"
    assert message.body.md5 == hashlib.md5(body, usedforsecurity=False).hexdigest()
    assert b"From: ada@a.test\r\nSubject: hi\r\n" in message.header
    assert b"Message-ID: <" in message.header


def test_a_message_may_come_byte_by_byte(intake, db):
    """Where a chunk ends means nothing."""
    submission = intake.begin(an_envelope())
    for byte in CONTENT:
        submission.write(bytes([byte]))

    accepted = submission.commit()

    message = Messages(db).find(accepted.id)
    assert message.body.size == 6


def test_rows_beyond_the_brokers_room_are_due_for_the_scheduler(intake, db, bell):
    """They wait in MongoDB, not in Redis."""
    bell.free = 1

    take(intake, CONTENT, recipients=("a@b.test", "b@b.test", "c@b.test"))

    waiting = db.deliveries.find({"ring_at": {"$lte": utc_now()}}).sort("_id")
    assert bell.rung == [("default", "a@b.test")]
    assert [row["recipient"] for row in waiting] == ["b@b.test", "c@b.test"]


def test_a_zone_that_does_not_exist_is_refused_and_nothing_is_left(intake, db):
    """Never a message that waits for a zone nobody runs."""
    content = b"X-Sending-Zone: nosuch\n" + CONTENT

    with pytest.raises(Rejected):
        take(intake, content, interface="api")

    assert db.messages.count_documents({}) == 0
    assert db.mail.chunks.count_documents({}) == 0


def test_a_zone_is_chosen_by_header_only_where_that_is_allowed(intake, db):
    """Any SMTP client may write the field; only the API is believed by default."""
    content = b"X-Sending-Zone: news\n" + CONTENT

    by_smtp = take(intake, content)
    by_api = take(intake, content, interface="api")

    zones = [
        Census(db).of_message(accepted.id, limit=1)[0].zone
        for accepted in (by_smtp, by_api)
    ]
    assert zones == ["default", "news"]


def test_the_envelope_may_come_from_the_header(intake):
    """To, Cc and Bcc, each address once."""
    content = (
        b"From: ada@a.test\r\nTo: b@b.test, c@b.test\r\nBcc: b@b.test, d@b.test\r\n\r\n"
    )

    accepted = take(intake, content, recipients=(), reverse_path="", from_header=True)

    assert accepted.reverse_path == "ada@a.test"
    assert accepted.recipients == ("b@b.test", "c@b.test", "d@b.test")


def test_a_header_without_end_is_refused(intake, db):
    """Memory stays bounded; 552 at the end of data."""
    endless = b"X-Pad: " + b"x" * 70 + b"\r\n"

    with pytest.raises(Rejected) as refused:
        take(intake, endless * 20_000)

    assert refused.value.reply.code == 552


def test_an_aborted_message_leaves_nothing(intake, db):
    """A client that went away in the middle."""
    submission = intake.begin(an_envelope())
    submission.write(CONTENT + b"x" * 600_000)

    submission.abort()

    assert db.mail.chunks.count_documents({}) == 0
    assert db.messages.count_documents({}) == 0


def test_a_store_that_fails_after_the_promise_refuses_nothing(
    intake, deliveries, db, monkeypatch
):
    """The rows are the scheduler's, then: accepted mail is never refused."""

    def broken(rows):
        raise StoreUnavailable("away")

    monkeypatch.setattr(deliveries, "insert", broken)

    accepted = take(intake, CONTENT)

    later = datetime.now(UTC) + timedelta(minutes=2)
    ((message, _),) = Messages(db).unexpanded(later, limit=5)
    assert message.id == accepted.id


def test_expanding_again_rings_and_doubles_nothing(intake, deliveries, db):
    """What the scheduler does for an acceptor that died between."""
    accepted = take(intake, CONTENT)
    claimed = deliveries.claim(f"{accepted.id}.001", owner="w")
    db.messages.update_one({}, {"$set": {"expand_at": datetime.now(UTC)}})

    now = datetime.now(UTC) + timedelta(seconds=1)
    ((message, recipients),) = Messages(db).unexpanded(now, limit=5)
    intake.expander.expand(message, recipients, now)

    (row,) = Census(db).of_message(accepted.id, limit=5)
    assert row.state is DeliveryState.SENDING
    assert row.claims == claimed.claims


def test_give_up_time_follows_the_configuration(intake, db):
    """max_queue_time bounds how long a message may wait."""
    accepted = take(intake, CONTENT)

    message = Messages(db).find(accepted.id)
    assert message.give_up_at - message.created_at == QueueConfig().max_queue_time


def test_a_message_is_stored_on_its_own_terms(intake, db):
    """Lane, first attempt and last one are the same for message and rows."""
    due_at = utc_now() + timedelta(days=90)
    content = b"X-Tenant: acme\nX-Delivery-Priority: transactional\n" + CONTENT

    accepted = take(
        intake,
        content,
        interface="api",
        deliver_after=due_at,
        expires_at=due_at + timedelta(hours=2),
    )

    message = Messages(db).find(accepted.id)
    row = to_delivery(db.deliveries.find_one({}))
    assert (message.tenant, message.is_transactional) == ("acme", True)
    assert (row.tenant, row.is_transactional) == ("acme", True)
    assert (row.due_at, row.give_up_at) == (due_at, due_at + timedelta(hours=2))
    assert (message.due_at, message.give_up_at) == (row.due_at, row.give_up_at)
    assert b"acme" not in message.header


def test_a_body_is_kept_for_as_long_as_its_message_may_wait(intake, db):
    """Also one that is not to leave before next year."""
    due_at = utc_now() + timedelta(days=300)

    accepted = take(intake, CONTENT, deliver_after=due_at)

    give_up_at = Messages(db).find(accepted.id).give_up_at
    assert give_up_at == due_at + QueueConfig().max_queue_time
    for collection in (db.mail.files, db.mail.chunks):
        assert collection.find_one({})["expires_at"] > give_up_at


def test_a_message_whose_terms_cannot_be_leaves_nothing(intake, db):
    """It is refused before its body is stored."""
    with pytest.raises(Rejected, match="expires_at"):
        take(intake, CONTENT + b"x" * 600_000, expires_at=utc_now())

    assert db.mail.chunks.count_documents({}) == 0
    assert db.messages.count_documents({}) == 0


def test_ids_are_unique_and_sorted():
    """Also when the clock stands still or steps back."""
    times = iter([5, 5, 4, 6])
    ids = MessageIds(clock_ms=lambda: next(times))

    made = [ids() for _ in range(4)]

    assert made == sorted(set(made))
    assert {len(one) for one in made} == {18}
