"""Explaining on real stores: what is stored is asked, and nothing is changed."""

import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from mta.config.live import Live
from mta.config.zones import (
    Config,
    PoolAddress,
    Provider,
    Rate,
    WarmUp,
    WarmupPlan,
    Zone,
)
from mta.delivery import Delivery
from mta.intake.route import Routing
from mta.mail.envelope import Envelope
from mta.operate.explain import Explain, Letter
from mta.policy.limits import Demand, Slot
from mta.policy.measures import Measure
from mta.policy.routing import Router
from mta.policy.warmup import Ration
from mta.relay.rations import Rations
from mta.relay.security import Security
from mta.relay.sources import Sources
from mta.store.census import Census
from mta.store.deliveries import Deliveries
from mta.store.documents import (
    Body,
    Recipient,
    StoredMessage,
    delivery_document,
)
from mta.store.known_measures import KnownMeasures
from mta.store.limits_look import LimitsLook
from mta.store.limits_redis import RedisLimits, connect
from mta.store.measures import Measures
from mta.store.messages import Messages
from mta.store.warmup import WarmupBook, WarmupPeek
from tests.unit.relay.fakes import FakeTargets

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
MESSAGE_ID = "0123456789abcdef01"
ADDRESS = "192.0.2.10"
RATION = Ration(step=1, steps=1, per_day=1, per_hour=1, held=0)
COLD = PoolAddress(
    address=ip_address(ADDRESS), warmup=WarmUp(started=NOW.date(), plan="slow")
)
CONFIG = Config(
    providers={"big": Provider(name="big", mx=("*.big.test",), max_connections=3)},
    zones={
        "default": Zone(name="default", connections=5, throttling=Rate(5, HOUR)),
        "news": Zone(name="news", addresses=(COLD,), from_domains=("news.test",)),
    },
    pools={"p": (COLD,)},
    warmup={"slow": WarmupPlan(name="slow", daily=(1,))},
)
ROUTED = (
    Recipient("bob@b.test", "b.test", "news", rule="from domain news.test"),
    Recipient("eve@b.test", "b.test", "default", rule="default zone"),
)


@pytest.fixture
def redis_url(redis_server):
    """URL of a database of Redis that is empty, and relied on."""
    url = redis_server.removesuffix("/0") + "/11"
    redis = connect(url, connections=2)
    redis.flushdb()
    RedisLimits(redis).beat("run-1", "")
    redis.hset("mta:epoch", "settled", int(time.time() * 1_000_000) - 60_000_000)
    yield url
    redis.flushdb()
    redis.close()


@pytest.fixture
def explain(db, redis_url):
    known = KnownMeasures(Measures(db), lambda: NOW)
    targets = FakeTargets("192.0.2.1", hosts=("mx1.big.test",))

    def open_sources():
        known.read()
        return Sources(
            targets=targets,
            held_back=known,
            rations=Rations(WarmupPeek(db), lambda: NOW),
            now=lambda: NOW,
        )

    return Explain(
        routing=Live(Routing(CONFIG, Router(CONFIG))),
        messages=Messages(db),
        census=Census(db),
        open_sources=open_sources,
        security=Security(targets=targets),
        limits=LimitsLook(redis_url),
        now=lambda: NOW,
    )


@pytest.fixture
def stored(db):
    """A message for two, each in a zone of its own."""
    message = StoredMessage(
        id=MESSAGE_ID,
        envelope=Envelope(
            reverse_path="ada@a.test",
            recipients=(),
            interface="inside",
            protocol="ESMTP",
            received_at=NOW,
            session_id="s",
            requested_zone="vip",
        ),
        header=b"From: Ada <ada@news.test>\r\n",
        body=Body(file_id="f", size=4, hash="h", md5="m", is_8bit=False),
        message_id="<1@a.test>",
        subject="",
        created_at=NOW,
        due_at=NOW,
        give_up_at=NOW + timedelta(days=1),
        recipient_count=2,
        tenant="shop",
    )
    messages = Messages(db)
    messages.insert(messages.encode(message, list(ROUTED), now=NOW))
    rows = [
        delivery_document(message, number, one, ring_at=NOW, rung_at=None)
        for number, one in enumerate(ROUTED, 1)
    ]
    Deliveries(db, lease=timedelta(seconds=60)).insert(rows)
    return message


def everything(db):
    return {
        name: list(db[name].find().sort("_id")) for name in db.list_collection_names()
    }


def test_each_delivery_has_the_zone_and_the_rule_that_were_kept(explain, stored):
    """Beside them, what the rules of now say of what is stored of the message."""
    first, second = explain.message(MESSAGE_ID, limit=10)

    assert isinstance(first.delivery, Delivery)
    assert first.delivery.rule == "from domain news.test"
    assert (first.journey.zone.name, second.journey.zone.name) == ("news", "default")
    assert second.route.result.zone.name == "news"
    assert [str(one) for one in second.route.ignored] == [
        "requested zone vip -> there is no such zone"
    ]


def test_one_of_them_is_found_by_its_number(explain, stored):
    """Whatever comes before it."""
    [found] = explain.message(MESSAGE_ID, limit=1, only=f"{MESSAGE_ID}.002")

    assert found.recipient == "eve@b.test"


def test_an_unknown_message_is_none(explain):
    """It may have been forgotten since."""
    assert explain.message(MESSAGE_ID, limit=10) is None


def test_connections_that_are_open_are_told(explain, stored, redis_url):
    """As Redis knows them."""
    redis = connect(redis_url, connections=1)
    demand = Demand(slots=(Slot("provider:news:big", 3), Slot("zone:news", 1)))
    RedisLimits(redis).acquire("a", demand)
    redis.close()

    first, _ = explain.message(MESSAGE_ID, limit=10)

    limits = {one.key: one.open for one in first.journey.limits}
    assert limits["provider:news:big"] == 1
    assert [one.key for one in first.journey.holdups] == ["zone:news"]


def test_a_ration_that_is_used_up_is_told(db, explain, stored):
    """As MongoDB has it counted."""
    WarmupBook(db).reserve(ADDRESS, "big", RATION, NOW)

    first, second = explain.message(MESSAGE_ID, limit=10)

    [holdup] = first.journey.holdups
    assert holdup.key == f"warmup:{ADDRESS}:big"
    assert first.window.earliest == NOW + holdup.wait
    assert second.journey.holdups == ()


def test_a_measure_that_was_taken_a_moment_ago_is_told(db, explain, stored):
    """Each explanation reads what is in force."""
    before = explain.message(MESSAGE_ID, limit=1)
    measure = Measure(
        action="suspend",
        site="big",
        since=NOW,
        until=NOW + HOUR,
        cause="421 no",
        rule="r",
    )
    Measures(db).take(measure)

    after = explain.message(MESSAGE_ID, limit=1)

    assert before[0].journey.holdups == ()
    assert [one.key for one in after[0].journey.holdups] == [f"measure:{measure.id}"]


def test_nothing_is_counted_reserved_or_sent(db, explain, stored, redis_url):
    """However often one asks."""
    redis = connect(redis_url, connections=1)
    before = everything(db), {key: redis.dump(key) for key in redis.keys("*")}
    letter = Letter(
        envelope=Envelope(
            reverse_path="ada@a.test",
            recipients=("bob@b.test",),
            interface="api",
            protocol="HTTP",
            received_at=NOW,
            session_id="",
            requested_zone="news",
        ),
        header=b"",
        tenant="shop",
    )

    for _ in range(3):
        explain.message(MESSAGE_ID, limit=10)
        explain.supposed(letter)

    assert (everything(db), {key: redis.dump(key) for key in redis.keys("*")}) == before
    redis.close()
