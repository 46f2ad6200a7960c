"""The counts of addresses that are warming up."""

import threading
from datetime import UTC, date, datetime, timedelta

import pytest

from mta.policy.warmup import DayStats, Ration
from mta.store.warmup import WarmupBook, WarmupPeek

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
TODAY = NOW.date()
DAY = timedelta(days=1)
RATION = Ration(step=1, steps=3, per_day=5, per_hour=3, held=0)
US, BIG = "192.0.2.10", "big"


@pytest.fixture
def book(db):
    return WarmupBook(db)


def test_an_hour_and_a_day_have_their_numbers(book):
    first = [book.reserve(US, BIG, RATION, NOW) for _ in range(4)]
    later = [book.reserve(US, BIG, RATION, NOW + timedelta(hours=1)) for _ in range(3)]

    assert first[:3] == [None] * 3
    assert first[3].until == datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert later[:2] == [None] * 2
    assert later[2].until == datetime(2026, 3, 2, tzinfo=UTC)
    assert book.used(US, BIG, RATION, NOW)["messages_per_day"] == 5


def test_however_many_ask_at_once_nobody_gets_more(book):
    answers = []

    def ask():
        answers.append(book.reserve(US, BIG, RATION, NOW))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers.count(None) == 3


def test_what_nobody_heard_of_is_given_back(book):
    book.reserve(US, BIG, RATION, NOW)

    book.give_back(US, BIG, RATION, NOW)

    assert book.used(US, BIG, RATION, NOW)["messages_per_day"] == 0


def test_providers_have_rations_of_their_own(book):
    for _ in range(3):
        book.reserve(US, BIG, RATION, NOW)

    assert book.reserve(US, "others", RATION, NOW) is None
    assert book.sites(US, TODAY) == [BIG, "others"]
    assert book.sites("192.0.2.1", TODAY) == []


def test_the_days_so_far_are_remembered(book):
    for _ in range(3):
        book.reserve(US, BIG, RATION, NOW)
    book.note_deferred(US, BIG, NOW)
    book.reserve(US, BIG, RATION, NOW + DAY)

    history = book.history(US, BIG, date(2026, 2, 1))

    assert history == {TODAY: DayStats(2, 1), TODAY + DAY: DayStats(1, 0)}
    assert book.history(US, BIG, TODAY + DAY) == {TODAY + DAY: DayStats(1, 0)}


def test_who_only_asks_counts_nothing(db, book):
    """However often, and whatever is given back."""
    peek = WarmupPeek(db)
    book.reserve(US, BIG, RATION, NOW)

    answers = [peek.reserve(US, BIG, RATION, NOW) for _ in range(9)]
    peek.give_back(US, BIG, RATION, NOW)

    assert answers == [None] * 9
    assert book.used(US, BIG, RATION, NOW)["messages_per_day"] == 1


def test_who_only_asks_hears_what_a_reservation_would(db, book):
    """Also of what was deferred on the days before."""
    for _ in range(3):
        book.reserve(US, BIG, RATION, NOW)
    book.note_deferred(US, BIG, NOW)
    peek = WarmupPeek(db)

    exceeded = peek.reserve(US, BIG, RATION, NOW)

    assert exceeded == book.reserve(US, BIG, RATION, NOW)
    assert exceeded.until == datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert peek.history(US, BIG, TODAY) == book.history(US, BIG, TODAY)
