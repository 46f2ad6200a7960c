"""What a worker makes of replies, and what it knows of others' measures."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.config.zones import Config, Rate, ShapingRule
from mta.delivery import Delivery, DeliveryState
from mta.errors import StoreUnavailable, TransientFailure
from mta.policy.measures import Measure
from mta.reasons import Reasons
from mta.reply import make_reply
from mta.worker.shaper import Shaper

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SITE, ADDRESS = "mx.b.test", "192.0.2.10"
DELIVERY = Delivery(
    id="m.001",
    message_id="m",
    zone="default",
    recipient="bob@b.test",
    domain="b.test",
    state=DeliveryState.SENDING,
    created_at=NOW,
    due_at=NOW,
    give_up_at=NOW + HOUR,
    lane="5:shop",
)


class Store:
    """Keeps measures; counts as it is told to."""

    def __init__(self):
        self.known = []
        self.counted = []
        self.is_enough = True
        self.error = None
        self.changes = 0

    def take(self, measure):
        if self.error:
            raise self.error
        self.known.append(measure)
        return measure

    def count(self, key, rate, now):
        self.counted.append((key, rate))
        return self.is_enough

    def version(self):
        if self.error:
            raise self.error
        return self.changes

    def in_force(self, now):
        if self.error:
            raise self.error
        return self.known


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def shaper(store):
    return Shaper(store=store, now=lambda: NOW)


def a_failure(text="IP blacklisted", category="smtp", **facts):
    failure = TransientFailure(make_reply(421, "4.7.0", text), category=category)
    failure.reasons = Reasons(**{"site": SITE, "pool_address": ADDRESS, **facts})
    return failure


def a_config(**rule):
    fields = {"name": "r", "reply": "slow", "action": "suspend", "duration": HOUR}
    return Config(shaping={"r": ShapingRule(**{**fields, **rule})})


def test_a_blacklisted_address_rests_here_at_once(shaper, store):
    shaper.note(DELIVERY, Config(), a_failure())

    [measure] = shaper.in_force([SITE], "shop")
    assert (measure.action, measure.source) == ("rest", ADDRESS)
    assert (measure.delivery, measure.rule) == ("m.001", "blacklist")
    assert store.known == [measure]


@pytest.mark.parametrize(
    "facts", [{"site": ""}, {"category": "network"}, {"pool_address": ""}]
)
def test_nothing_follows_if_nobody_spoke_of_an_address_of_a_pool(shaper, store, facts):
    shaper.note(DELIVERY, Config(), a_failure(**facts))

    assert not store.known
    assert not shaper


def test_a_rule_that_counts_waits_until_it_is_enough(shaper, store):
    store.is_enough = False
    config = a_config(after=Rate(10, HOUR))

    shaper.note(DELIVERY, config, a_failure("slow down"))

    assert not store.known
    [(_, rate)] = store.counted
    assert rate == Rate(10, HOUR)

    store.is_enough = True
    shaper.note(DELIVERY, config, a_failure("slow down"))

    assert [measure.action for measure in store.known] == ["suspend"]


def test_without_the_database_a_reply_leads_to_nothing_and_what_was_known_stays(
    shaper, store
):
    shaper.note(DELIVERY, Config(), a_failure())
    store.error = StoreUnavailable("away")

    shaper.note(DELIVERY, a_config(), a_failure("slow down"))
    shaper.read()

    assert [m.rule for m in shaper.in_force([SITE], "")] == ["blacklist"]


def test_nothing_is_read_again_while_nothing_changes(shaper, store):
    shaper.read()
    store.known = [object()]

    shaper.read()

    assert not shaper


def test_a_bug_here_is_not_the_deliverys(shaper, store):
    store.error = RuntimeError("bug")

    shaper.note(DELIVERY, Config(), a_failure())

    assert not shaper


def test_what_others_took_or_cleared_is_known_after_the_next_look(shaper, store):
    measure = Measure(
        action="suspend",
        site=SITE,
        since=NOW,
        until=NOW + HOUR,
        cause="no",
        rule="manual",
    )
    store.known, store.changes = [measure], 1
    shaper.read()

    assert shaper.in_force([SITE], "") == [measure]

    store.known, store.changes = [], 2
    shaper.read()

    assert not shaper
