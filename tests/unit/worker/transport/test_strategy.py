"""When a task takes our way and when Celery's, seen without a broker."""

from types import SimpleNamespace

import gevent
import pytest
from celery.bootsteps import CLOSE, RUN
from celery.worker import state
from gevent.event import Event
from gevent.pool import Pool

from mta.worker.transport import strategy
from mta.worker.transport.strategy import (
    FreeGreenlets,
    Starter,
    _asks_for_more,
    _is_stopping,
)


def a_task(**attributes):
    """A doorbell's task, as its settings make it."""
    usual = {
        "send_events": False,
        "ignore_result": True,
        "acks_late": True,
        "time_limit": None,
        "soft_time_limit": None,
        "rate_limit": None,
        "name": "mta.deliver",
        "run": lambda word: None,
    }
    return SimpleNamespace(**{**usual, **attributes})


def a_consumer(**attributes):
    usual = {
        "disable_rate_limits": True,
        "pool": SimpleNamespace(timeout=None),
        "hostname": "w@h",
        "timer": None,
        "blueprint": SimpleNamespace(state=RUN),
    }
    return SimpleNamespace(**{**usual, **attributes})


def test_a_doorbell_asks_for_nothing_more():
    """It has no result, no events and no limits."""
    assert not _asks_for_more(a_task(), a_consumer())


@pytest.mark.parametrize(
    "wish",
    [
        {"send_events": True},
        {"ignore_result": False},
        {"acks_late": False},
        {"time_limit": 60},
        {"soft_time_limit": 60},
    ],
    ids=lambda wish: next(iter(wish)),
)
def test_a_task_with_wishes_takes_celerys_way(wish):
    """An option that we do not honour would be a lie."""
    assert _asks_for_more(a_task(**wish), a_consumer())


def test_a_rate_limit_counts_only_where_limits_are_on():
    """The setting that turns them off is the usual one."""
    task = a_task(rate_limit="1/s")

    assert not _asks_for_more(task, a_consumer())
    assert _asks_for_more(task, a_consumer(disable_rate_limits=False))


def test_a_worker_told_to_stop_has_no_free_slot():
    """Nothing is taken any more; waiting for a slot ends at once."""
    is_stopping = [False]
    slots = FreeGreenlets(Pool(2), lambda: is_stopping[0])
    before = slots.free()
    is_stopping[0] = True

    assert (before, slots.free(), slots.wait(60)) == (2, 0, False)


def test_a_slot_is_waited_for_without_looking():
    """Who waits is woken by the greenlet that ends."""
    pool, end = Pool(1), Event()
    slots = FreeGreenlets(pool, lambda: False)
    pool.spawn(end.wait)
    full = slots.free()
    pool.greenlet_class.spawn(end.set)

    assert (full, slots.wait(60), slots.free()) == (0, True, 1)


class FakeChannel:
    """Lets the test say what became of a message meanwhile."""

    def __init__(self):
        self.qos = self.channel = self
        self.acknowledged = []
        self.has_message = True
        self.left = []
        self.went_back = []

    def leave(self, tag, until):
        self.left.append(tag)

    def take_back(self, tag):
        return tag if self.has_message else None

    def put_back(self, messages):
        self.went_back += messages

    def start(self, tag):
        return (lambda: self.acknowledged.append(tag)) if self.has_message else None


def a_message(tag="tag", **headers):
    usual = {"id": "m.001-0", "task": "mta.deliver", "timelimit": [None, None]}
    return SimpleNamespace(
        headers={**usual, **headers},
        payload=(["m.001"], {}, {"callbacks": None, "chain": None}),
        delivery_tag=tag,
        delivery_info={"routing_key": "default"},
        properties={"priority": 5},
    )


@pytest.fixture
def clean_state():
    yield
    state.reset_state()


@pytest.fixture
def start(clean_state):
    """Hands a message to a starter; returns what happened once it is over."""

    def start(message, *, run=lambda word: None, channel=None, body=None):
        channel = channel or FakeChannel()
        pool, stock = Pool(1), []
        slots = FreeGreenlets(pool, lambda: False)
        starter = Starter(
            a_task(run=run),
            a_consumer(),
            channel,
            slots,
            lambda *call: stock.append(call),
        )
        starter.receive(message, body, "ack", "reject", None)
        pool.join()
        return SimpleNamespace(acknowledged=channel.acknowledged, stock=stock)

    return start


def test_a_doorbell_runs_and_is_acknowledged(start):
    """The worker's counters and lists are as after any task."""
    seen = []

    def run(word):
        (active,) = state.active_requests
        seen.append((word, active.id, active.info()["args"]))

    over = start(a_message(), run=run)

    assert seen == [("m.001", "m.001-0", ["m.001"])]
    assert over.acknowledged == ["tag"]
    assert state.total_count == {"mta.deliver": 1}
    assert (len(state.active_requests), state.requests) == (0, {})


def test_more_than_can_be_held_is_left_to_the_sweep(start, monkeypatch):
    """Memory is bounded, whatever waits for its time."""
    monkeypatch.setattr(strategy, "HELD_AT_MOST", 0)
    channel = FakeChannel()

    over = start(a_message(eta="2999-01-01T00:00:00+00:00"), channel=channel)

    assert (channel.left, over.acknowledged) == (["tag"], [])
    assert state.requests == {}


def test_what_finds_no_slot_goes_back_and_is_the_next_to_be_taken(clean_state):
    """In the queue, what is urgent overtakes it; in memory, it would stand before."""
    pool, end, channel = Pool(1), Event(), FakeChannel()
    pool.spawn(end.wait)
    slots = FreeGreenlets(pool, lambda: False)
    starter = Starter(a_task(), a_consumer(), channel, slots, None)

    for tag in "abc":
        starter.receive(a_message(tag), None, "ack", "reject", None)
    end.set()
    pool.join()
    gevent.idle()

    assert channel.went_back == ["c", "b", "a"]  # the last one is taken first
    assert (channel.acknowledged, state.total_count) == ([], {})


def test_a_task_that_breaks_is_acknowledged(start, caplog):
    """As Celery does; the delivery's lease runs out by itself."""

    def run(word):
        raise ValueError(word)

    assert start(a_message(), run=run).acknowledged == ["tag"]
    assert "task broke" in caplog.text
    assert state.requests == {}


def test_what_went_back_to_its_queue_does_not_run(start):
    """The connection was lost in between; somebody else starts it."""
    channel, ran = FakeChannel(), []
    channel.has_message = False

    start(a_message(), run=ran.append, channel=channel)

    assert (ran, state.requests) == ([], {})


@pytest.mark.parametrize(
    "headers",
    [{"expires": "2026-01-01T00:00:00+00:00"}, {"timelimit": [None, 30]}],
    ids=["expires", "time limit"],
)
def test_a_message_with_wishes_takes_celerys_way(start, headers):
    """Ours would ignore them."""
    over = start(a_message(**headers))

    assert len(over.stock) == 1
    assert over.acknowledged == []


def test_a_revoked_message_takes_celerys_way(start):
    """Celery knows how to say so."""
    state.revoked.add("m.001-0")

    assert len(start(a_message()).stock) == 1


def test_a_message_with_callbacks_takes_celerys_way(start):
    """So do chains and chords."""
    message = a_message()
    message.payload = (["m.001"], {}, {"callbacks": [{"task": "next"}]})

    assert len(start(message).stock) == 1


def test_an_old_protocol_takes_celerys_way(start):
    """Protocol 1 carries its headers in the body."""
    assert len(start(a_message(), body={"args": []}).stock) == 1


def test_a_closing_worker_starts_nothing():
    """Celery's blueprint says so when no signal did."""
    running, closing = a_consumer(), a_consumer(blueprint=SimpleNamespace(state=CLOSE))

    assert (_is_stopping(running), _is_stopping(closing)) == (False, True)


def test_the_exit_code_zero_is_a_reason_to_stop(monkeypatch):
    """SIGTERM sets it."""
    monkeypatch.setattr(state, "should_stop", 0)

    assert _is_stopping(a_consumer())
