"""Which transcripts one process keeps, and how many."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mta.delivery import DeliveryState, Outcome
from mta.errors import StoreUnavailable
from mta.reply import make_reply
from mta.store.transcripts import KeptTranscript
from mta.worker import witness
from mta.worker.witness import ALL_PER_MINUTE, PER_MINUTE, Witness
from tests.unit.worker.test_attempt import DELIVERY, NOW

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class Store:
    """Keeps what it is given, or fails as told."""

    def __init__(self):
        self.kept = []
        self.until = []
        self.error = None

    def keep(self, kept, *, until):
        if self.error is not None:
            raise self.error
        self.kept.append(kept)
        self.until.append(until)

    @property
    def reasons(self):
        return [kept.why for kept in self.kept]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def note(store):
    """Note an attempt; only what is interesting of it is said."""
    seen = Witness(store, lambda: 7 * DAY)

    def note(**changes: object) -> None:
        seen.note(DELIVERY, an_outcome(**changes))

    return note


def an_outcome(**changes: object) -> Outcome:
    facts = {
        "at": NOW,
        "state": DeliveryState.DELIVERED,
        "reply": make_reply(250, "2.0.0", "taken"),
        "host": "mx.b.test",
        "attempt": 2,
        "tls": "TLSv1.3",
        "talk": "what was said",
    }
    return Outcome(**(facts | changes))


def test_a_failure_is_kept_for_as_long_as_configured(note, store):
    """With the attempt that it was, and why it is kept."""
    note(category="smtp")

    assert store.kept == [
        KeptTranscript(
            delivery="m.001",
            attempt=2,
            at=NOW,
            host="mx.b.test",
            why="failed (smtp)",
            text="what was said",
        )
    ]
    assert store.until == [NOW + 7 * DAY]


def test_a_host_is_met_for_the_first_time_once(note, store):
    """In this process; another host is another matter."""
    note()
    note()
    note(host="mx.c.test")

    assert [kept.host for kept in store.kept] == ["mx.b.test", "mx.c.test"]
    assert store.reasons == ["first contact"] * 2


def test_a_change_of_encryption_is_kept_once(note, store):
    """Then it is as usual."""
    for tls in ("TLSv1.3", "", "", "TLSv1.2", "TLSv1.3"):
        note(tls=tls)

    assert store.reasons == ["first contact", "no longer encrypted", "encrypted now"]


def test_a_failure_says_nothing_about_encryption(note, store):
    """It may have come before TLS."""
    note()
    note(tls="", category="network")
    note()

    assert store.reasons == ["first contact", "failed (network)"]


def test_of_one_host_a_few_are_kept_in_a_minute(note, store):
    """Thousands of refusals look alike; the next minute has room again."""
    for _ in range(PER_MINUTE + 5):
        note(category="smtp")
    assert len(store.kept) == PER_MINUTE

    note(category="smtp", host="mx.c.test")
    note(category="smtp", at=NOW + 59 * SECOND)
    note(category="smtp", at=NOW + 60 * SECOND)

    assert len(store.kept) == PER_MINUTE + 2


def test_of_all_hosts_together_only_so_many_are_kept(note, store):
    """A network that is away fails with every host at once."""
    for number in range(ALL_PER_MINUTE + 10):
        note(category="network", host=f"mx{number}.test")

    assert len(store.kept) == ALL_PER_MINUTE


@pytest.mark.parametrize(
    "changes",
    [{"host": ""}, {"talk": ""}],
    ids=["nobody was talked to", "nothing was said"],
)
def test_without_a_dialogue_nothing_is_kept(note, store, changes):
    """A domain that does not exist has no transcript."""
    note(category="dns", **changes)

    assert store.kept == []


def test_with_no_time_to_keep_them_none_is_kept(store):
    """``queue.keep_transcripts: 0s``; a reload takes effect at once."""
    keep_for = [timedelta(0)]
    seen = Witness(store, lambda: keep_for[0])

    seen.note(DELIVERY, an_outcome(category="smtp"))
    assert store.kept == []

    keep_for[0] = DAY
    seen.note(DELIVERY, an_outcome(category="smtp"))
    assert store.until == [NOW + DAY]


@pytest.mark.parametrize(
    "error", [StoreUnavailable("away"), ValueError("a mistake of ours")]
)
def test_what_cannot_be_kept_is_lost_and_no_more(note, store, error):
    """The delivery has its outcome already, and must not suffer."""
    store.error = error

    note(category="smtp")

    assert store.kept == []


def test_a_talk_that_cannot_be_told_is_lost_and_no_more(note, store):
    """A mistake of ours in there is no reason to send twice."""

    class Broken:
        def __str__(self):
            raise RuntimeError

    note(category="smtp", talk=Broken())

    assert store.kept == []


def test_hosts_are_forgotten_beyond_some_thousands(note, store, monkeypatch):
    """The one that was longest not met first, which is then met anew."""
    monkeypatch.setattr(witness, "MAX_HOSTS", 2)
    for name in ("a", "b", "a", "c", "b", "a"):
        note(host=f"mx.{name}.test", at=NOW + len(store.kept) * timedelta(minutes=1))

    met = [kept.host[3] for kept in store.kept]
    assert met == ["a", "b", "c", "b", "a"]


def test_a_talk_is_told_only_if_it_is_kept(note):
    """Telling takes time, which usual attempts do not pay."""

    class Expensive:
        told = 0

        def __str__(self):
            self.told += 1
            return "said"

    talk = Expensive()
    note(talk=talk)
    note(talk=talk)

    assert talk.told == 1


def test_an_attempt_that_followed_another_is_kept_by_its_own_number(store):
    """So that each attempt of a delivery has its own."""
    seen = Witness(store, lambda: DAY)
    for attempt in (1, 2):
        seen.note(
            replace(DELIVERY, attempts=attempt - 1),
            an_outcome(category="smtp", attempt=attempt),
        )

    assert [kept.attempt for kept in store.kept] == [1, 2]
