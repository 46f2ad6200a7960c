"""Of several schedulers one leads."""

from mta.store.leader import Leadership


def test_one_replica_leads_until_it_resigns(db):
    """The other waits, and takes over at once when the place is free."""
    first = Leadership(db, role="scheduler", owner="one")
    second = Leadership(db, role="scheduler", owner="two")

    before = (first.acquire(), second.acquire(), first.acquire())
    first.resign()

    assert before == (True, False, True)
    assert second.acquire()


def test_only_the_leader_can_resign(db):
    """A replica that stops takes nobody's place away."""
    first = Leadership(db, role="scheduler", owner="one")
    second = Leadership(db, role="scheduler", owner="two")
    first.acquire()

    second.resign()

    assert not second.acquire()
