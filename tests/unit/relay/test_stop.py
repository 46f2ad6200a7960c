"""A process that ends: nothing new, nothing half done, nothing in doubt."""

import threading

import pytest

from mta.errors import PermanentFailure, Stopping, TransientFailure
from tests.unit.relay.fakes import (
    OK,
    SECOND,
    FakeConnector,
    FakeSession,
    a_request,
    failure,
    unreachable,
)


def test_nothing_is_begun_after_the_stop(a_relay):
    """Neither on an idle session nor on a new one."""
    session = FakeSession()
    relay = a_relay(FakeConnector(session))
    relay.send(a_request())

    relay.stop()

    with pytest.raises(Stopping):
        relay.send(a_request())
    assert len(session.transactions) == 1


def test_session_that_opens_during_the_stop_sends_nothing(a_relay, limits):
    """It says QUIT, and the delivery is somebody else's."""
    session = FakeSession()

    def connect(fuse):
        relay.stop()
        return session

    relay = a_relay(FakeConnector(connect))

    with pytest.raises(Stopping):
        relay.send(a_request())

    assert session.is_ended
    assert session.transactions == []
    assert limits.keys == set()


def test_no_other_host_is_dialed_after_the_stop(a_relay, limits):
    """The next process begins with the best one."""

    def connect(fuse):
        relay.stop()
        return unreachable()

    relay = a_relay(FakeConnector(connect))

    with pytest.raises(Stopping):
        relay.send(a_request())

    assert limits.troubles == {}


def test_transaction_under_way_goes_on_after_the_stop(a_relay):
    """Its session ends with it."""
    session = FakeSession("mx0.test", lambda fuse: relay.stop() or OK)
    relay = a_relay(FakeConnector(session))

    assert relay.send(a_request()).reply == OK
    assert session.is_ended


def test_cut_attempt_is_no_attempt(a_relay, limits):
    """Who is cut while dialing has not met an unreachable host."""

    def connect(fuse):
        relay.abort()
        return failure(next_host=False)

    relay = a_relay(FakeConnector(connect))

    with pytest.raises(Stopping):
        relay.send(a_request())

    assert limits.keys == set()


def test_cut_comes_too_late_after_the_dot(a_relay):
    """Whatever became of it is the delivery's own outcome."""

    def at_the_dot(fuse):
        fuse.commit()
        relay.abort()
        fuse.arm(None)  # not blown
        return failure(next_host=False, text="timed out")

    relay = a_relay(FakeConnector(FakeSession("mx0.test", at_the_dot)))

    with pytest.raises(TransientFailure, match="timed out"):
        relay.send(a_request())


def test_refusal_for_good_stands_in_spite_of_a_cut(a_relay):
    """The peer has answered; asking it again would not change that."""

    def refused(fuse):
        relay.abort()
        return failure(PermanentFailure, next_host=False)

    relay = a_relay(FakeConnector(FakeSession("mx0.test", refused)))

    with pytest.raises(PermanentFailure):
        relay.send(a_request())


def test_closing_gives_all_slots_back(a_relay, limits):
    """Idle sessions say QUIT."""
    session = FakeSession()
    relay = a_relay(FakeConnector(session))
    relay.send(a_request())

    relay.close()

    assert session.is_ended
    assert limits.keys == set()


def test_closing_waits_for_all_goodbyes_together(a_relay, limits):
    """A peer that does not close costs the process no more than the patience."""
    relay = a_relay(
        FakeConnector(FakeSession(), FakeSession()),
        start_thread=lambda run: None,  # a goodbye that never ends
        farewell=SECOND / 10,
    )
    relay.send(a_request())
    relay.send(a_request(domain="c.test"))

    relay.close()

    assert limits.keys == set()


def test_closing_waits_until_slots_are_given_back(a_relay, limits):
    """Another process may take them as soon as this one is gone."""
    may_end = threading.Event()
    session = FakeSession()
    session.end = lambda: may_end.wait(10)
    threads = []

    def start_thread(run):
        threads.append(threading.Thread(target=run))
        threads[-1].start()
        may_end.set()

    relay = a_relay(FakeConnector(session), start_thread=start_thread)
    relay.send(a_request())

    relay.close()

    assert limits.keys == set()
    threads[0].join()
