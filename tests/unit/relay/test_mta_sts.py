"""Policies of MTA-STS: when they are fetched, and how long they hold."""

from datetime import timedelta

import pytest

from mta.errors import StoreUnavailable, TransientFailure
from mta.policy.mta_sts import Mode
from mta.policy.tls_results import TlsResult
from mta.relay.mta_sts import CHECK_EVERY, RETRY_AFTER, StsPolicies
from mta.relay.web import WebAnswer, WebFailed
from mta.reply import make_reply
from mta.store.sts_policies import Stored
from tests.unit.relay.fakes import NOW, Clock

ENFORCE = b"version: STSv1\nmode: enforce\nmx: mx.d.test\nmax_age: 864000\n"
DAY = timedelta(days=1)


class Store:
    """A dict in the place of the collection."""

    def __init__(self):
        self.known = {}
        self.is_away = False
        self.used = []

    def find(self, domain):
        self._check()
        return self.known.get(domain, Stored())

    def keep(self, domain, policy, now):
        self._check()
        self.known[domain] = Stored(policy, used_at=now)

    def note_failure(self, domain, record_id, problem, text, now):
        self._check()
        self.known[domain] = self.find(domain)._replace(
            tried_at=now, tried_id=record_id, problem=problem, text=text
        )

    def note_use(self, domain, now):
        self.used.append(domain)

    def _check(self):
        if self.is_away:
            raise StoreUnavailable("gone")


class World:
    """A domain with a record and a policy, and processes that ask for it."""

    def __init__(self):
        self.texts = ("v=STSv1; id=1;",)
        self.answer = WebAnswer(200, "text/plain", ENFORCE)
        self.store = Store()
        self.now = NOW
        self.clock = Clock()
        self.fetched = []
        self.problems = []

    def process(self):
        """One that knows nothing yet."""
        return StsPolicies(
            names=self,
            web=self,
            store=self.store,
            now=lambda: self.now,
            on_problem=lambda *said: self.problems.append(said),
            monotonic=self.clock,
        )

    def wait(self, length):
        self.now += length
        self.clock.now += length.total_seconds()

    def find_texts(self, name):
        assert name == "_mta-sts.d.test"
        if self.texts is None:
            raise TransientFailure(make_reply(450, "4.4.3", "x"), category="dns")
        return self.texts

    def get(self, host, path, *, max_bytes):
        assert (host, path) == ("mta-sts.d.test", "/.well-known/mta-sts.txt")
        self.fetched.append(self.now)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def world():
    return World()


@pytest.fixture
def sts(world):
    return world.process()


def test_a_policy_is_fetched_once(world, sts):
    """By the first who needs it, for all processes."""
    for policies in (sts, sts, world.process()):
        policy = policies.look("d.test").policy
        assert (policy.mode, policy.mx, policy.id) == (
            *(Mode.ENFORCE, ("mx.d.test",), "1"),
        )
        assert policy.until == NOW + 10 * DAY

    assert len(world.fetched) == 1


def test_a_domain_without_a_record_is_asked_for_nothing(world, sts):
    """Most have none."""
    world.texts = ()

    assert sts.look("d.test").policy is None
    assert world.fetched == []


def test_another_id_means_another_policy(world, sts):
    """Seen as soon as the record is looked at again."""
    sts.look("d.test")
    world.texts = ("v=STSv1; id=2;",)
    world.answer = WebAnswer(200, "text/plain", ENFORCE.replace(b"enforce", b"none"))

    assert sts.look("d.test").policy.mode is Mode.ENFORCE

    world.wait(CHECK_EVERY)

    assert sts.look("d.test").policy.mode is Mode.NONE


@pytest.mark.parametrize("texts", [(), None, ("v=STSv1; id=2;",)])
def test_who_is_in_the_way_does_not_get_rid_of_a_policy(world, sts, texts):
    """No record, no answer, no policy: what was known holds until it ends (§5.1)."""
    sts.look("d.test")
    world.texts, world.answer = texts, WebFailed("nobody there")
    for policies in (sts, world.process()):
        for _ in range(200):
            world.wait(timedelta(hours=1))
            if world.now < NOW + 10 * DAY:
                assert policies.look("d.test").policy.mode is Mode.ENFORCE
            else:
                assert policies.look("d.test").policy is None


def test_a_policy_is_renewed_long_before_it_ends(world, sts):
    """After a day, although its id is the same."""
    sts.look("d.test")
    world.wait(DAY)
    policy = sts.look("d.test").policy

    assert len(world.fetched) == 2
    assert policy.until == NOW + 11 * DAY


def test_the_leader_renews_what_nobody_sends_to(world, sts):
    """For as long as it is used now and then."""
    sts.look("d.test")
    world.wait(2 * DAY)

    assert sts.refresh("d.test")
    assert world.store.known["d.test"].policy.until == NOW + 12 * DAY

    world.answer = WebFailed("nobody there")

    assert not sts.refresh("d.test")
    assert world.store.known["d.test"].policy.until == NOW + 12 * DAY


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (WebAnswer(404, "text/plain", ENFORCE), TlsResult.STS_POLICY_FETCH_ERROR),
        (WebAnswer(301, "text/plain", ENFORCE), TlsResult.STS_POLICY_FETCH_ERROR),
        (WebAnswer(200, "text/html", ENFORCE), TlsResult.STS_POLICY_FETCH_ERROR),
        (WebAnswer(200, "", ENFORCE), TlsResult.STS_POLICY_FETCH_ERROR),
        (WebAnswer(200, "text/plain", b"<html>"), TlsResult.STS_POLICY_INVALID),
        (WebFailed("timed out"), TlsResult.STS_POLICY_FETCH_ERROR),
        (WebFailed("not trusted", is_untrusted=True), TlsResult.STS_WEBPKI_INVALID),
    ],
)
def test_what_cannot_be_had_is_told(world, sts, answer, problem):
    """And is as if there were no policy, if there never was one (§3.3)."""
    world.answer = answer
    found = sts.look("d.test")

    assert (found.policy, found.problem) == (None, problem)
    assert [said[:2] for said in world.problems] == [("d.test", problem)]


def test_a_policy_that_cannot_be_had_is_tried_again_after_a_while(world, sts):
    """By one process, for all (§3.3: five minutes)."""
    world.answer = WebFailed("no")
    for policies in (sts, sts, world.process()):
        assert policies.look("d.test").problem is TlsResult.STS_POLICY_FETCH_ERROR
    assert len(world.fetched) == 1

    world.wait(RETRY_AFTER)
    world.answer = WebAnswer(200, "text/plain", ENFORCE)

    assert sts.look("d.test").policy.mode is Mode.ENFORCE
    assert len(world.fetched) == 2


def test_a_new_record_is_tried_at_once_for_who_looks(world, sts):
    """The policy behind it may be another as well."""
    world.answer = WebFailed("no")
    sts.look("d.test")
    world.texts = ("v=STSv1; id=2;",)
    world.answer = WebAnswer(200, "text/plain", ENFORCE)

    assert world.process().look("d.test").policy.id == "2"


def test_without_mongodb_a_process_goes_by_what_it_knows(world, sts):
    """It cannot be got rid of in that way either."""
    sts.look("d.test")
    world.store.is_away = True
    world.wait(CHECK_EVERY)

    assert sts.look("d.test").policy.mode is Mode.ENFORCE
    assert len(world.fetched) == 1


def test_a_process_that_cannot_keep_a_policy_goes_by_it_all_the_same(world, sts):
    """MongoDB is away from the start."""
    world.store.is_away = True

    assert sts.look("d.test").policy.mode is Mode.ENFORCE
    world.wait(CHECK_EVERY)
    assert sts.look("d.test").policy.mode is Mode.ENFORCE
    assert len(world.fetched) == 1


def test_a_short_policy_ends_in_time(world, sts):
    """Not only when the record is looked at again."""
    world.answer = WebAnswer(200, "text/plain", ENFORCE.replace(b"864000", b"60"))
    assert sts.look("d.test").policy is not None

    world.answer = WebFailed("no")
    world.wait(timedelta(seconds=61))

    assert sts.look("d.test").policy is None


def test_use_is_written_down_once_a_day(world, sts):
    """Not with each message."""
    sts.look("d.test")
    for _ in range(30):
        world.wait(timedelta(hours=1))
        sts.look("d.test")

    assert len(world.store.used) <= 2
