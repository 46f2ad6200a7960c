"""A worker's entry in the registry, and its share while the others do not know it."""

from datetime import timedelta

from mta.errors import StoreUnavailable
from mta.store.workers import Presence, Standing
from mta.worker.register import KNOWN_IN, Register


class Workers:
    """Knows how many share our zone; remembers what it was told."""

    def __init__(self, *presences):
        self.presences = list(presences)
        self.beats, self.left = [], []

    def beat(self, owner, **facts):
        self.beats.append((owner, facts))
        if not self.presences:
            raise StoreUnavailable("away")
        return self.presences.pop(0)

    def leave(self, owner):
        self.left.append(owner)


class Shares:
    is_shared = True

    def __init__(self):
        self.told = []

    def set_standing(self, standing, *, counted_in=None):
        self.told.append((standing, counted_in))


class Work:
    started, busy = 7, 2


def among(count):
    return Standing(Presence(0, count))


def a_register(workers, shares):
    return Register(workers, owner="me", host="h", pid=1, shares=shares, work=Work())


def test_a_beat_tells_what_is_done():
    """The scheduler misses workers that have work and begin nothing."""
    workers, shares = Workers(among(1)), Shares()
    register = a_register(workers, shares)

    register.start(["default"])
    register.stop()

    ((owner, facts),) = workers.beats
    assert (owner, facts["zones"], facts["started"]) == ("me", ["default"], 7)
    assert (facts["busy"], workers.left) == (2, ["me"])


def test_a_worker_alone_has_all_of_each_limit_at_once():
    """There is nobody whose share it could take."""
    shares = Shares()
    register = a_register(Workers(among(1)), shares)

    register.start(["default"])
    register.stop()

    assert shares.told == [(among(1), timedelta(0))]


def test_a_newcomer_waits_until_the_others_know_of_it():
    """Until their next beat they use what is to be its share."""
    shares = Shares()
    register = a_register(Workers(among(2)), shares)

    register.start(["default"])
    register.stop()

    assert shares.told[-1] == (among(2), KNOWN_IN)


def test_who_cannot_learn_of_the_others_takes_no_share():
    """Until MongoDB has told; then it waits as any newcomer does."""
    shares = Shares()
    workers = Workers()
    register = a_register(workers, shares)

    register.start(["default"])
    workers.presences = [among(3)]
    register.beat()
    register.stop()

    (_, never), told = shares.told
    assert never > timedelta(days=1)
    assert told == (among(3), KNOWN_IN)


def test_a_registry_that_is_away_leaves_the_share_as_it_was():
    """What we knew of the others is better than nothing."""
    shares = Shares()
    register = a_register(Workers(among(2)), shares)

    register.start(["default"])
    told = len(shares.told)
    register.beat()
    register.stop()

    assert len(shares.told) == told


def test_that_others_are_gone_is_believed_when_it_is_seen_twice():
    """After an outage of MongoDB, whoever comes first sees nobody else."""
    shares = Shares()
    counts = (3, 1, 3, 1, 1)
    register = a_register(Workers(*map(among, counts)), shares)

    register.start(["default"])
    for _ in counts[1:]:
        register.beat()
    register.stop()

    assert [standing.everyone.count for standing, _ in shares.told] == [3, 3, 1]
