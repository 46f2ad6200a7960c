"""Quotas: counted in MongoDB, never exceeded, and given back when nothing was sent."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from mta.store.mongo import Mongo
from mta.store.usage import MAX_LIMIT, Exceeded, Quota, Usage

NOW = datetime(2026, 11, 29, 10, 59, 30, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
TOMORROW = NOW + timedelta(days=1)
PER_HOUR = Quota(messages_per_hour=2)


@pytest.fixture
def usage(db: Mongo) -> Usage:
    return Usage(db)


def test_a_user_sends_as_much_as_the_quota_says(usage):
    """The next message hears which limit, and when counting starts again."""
    answers = [usage.reserve("ada", PER_HOUR, 1, NOW) for _ in range(3)]

    assert answers == [
        None,
        None,
        Exceeded(
            limit=2,
            what="messages",
            period="hour",
            until=datetime(2026, 11, 29, 11, 0, tzinfo=UTC),
        ),
    ]


@pytest.mark.parametrize(
    ("quota", "recipients"),
    [
        (PER_HOUR, 1),
        (Quota(messages_per_day=1), 1),
        (Quota(recipients_per_hour=5), 4),
        (Quota(messages_per_hour=9, recipients_per_day=5), 4),
        (Quota(messages_per_hour=1, recipients_per_hour=9), 1),
        (Quota(recipients_per_day=5), 6),
        (Quota(messages_per_day=2, recipients_per_hour=3), 4),
        (Quota(messages_per_hour=9), 1),
        (Quota(), 1),
    ],
    ids=[
        *("hour", "day", "recipients", "recipients of the day", "messages first"),
        *("hopeless", "hopeless in one window, full in another", "room", "no quota"),
    ],
)
def test_what_would_be_exceeded_is_what_a_reservation_hears(usage, quota, recipients):
    """The same limit of the same window, in the same words."""
    for _ in range(2):
        usage.reserve("ada", quota, 1, NOW)

    exceeded = usage.exceeded("ada", quota, recipients, NOW)

    assert exceeded == usage.reserve("ada", quota, recipients, NOW)


def test_to_ask_what_would_be_exceeded_counts_nothing(usage, db):
    """However often; neither where there is room nor where there is none."""
    usage.reserve("ada", PER_HOUR, 1, NOW)
    before = list(db.usage.find())

    answers = [usage.exceeded("ada", PER_HOUR, 1, NOW) for _ in range(5)]

    assert answers == [None] * 5
    assert list(db.usage.find()) == before
    assert usage.exceeded("bob", PER_HOUR, 1, NOW) is None
    assert db.usage.count_documents({}) == 1


def test_a_new_hour_starts_at_nothing(usage):
    """By the clock of UTC."""
    for _ in range(2):
        usage.reserve("ada", PER_HOUR, 1, NOW)

    assert usage.reserve("ada", PER_HOUR, 1, SOON) is None


def test_a_day_ends_at_midnight_of_utc(usage):
    """Not after twenty-four hours."""
    quota = Quota(messages_per_day=1)
    usage.reserve("ada", quota, 1, NOW)

    refused = usage.reserve("ada", quota, 1, SOON)

    assert refused.until == datetime(2026, 11, 30, tzinfo=UTC)
    assert usage.reserve("ada", quota, 1, TOMORROW) is None


def test_recipients_are_counted_with_their_message(usage):
    """A message is taken with all of them or not at all."""
    quota = Quota(recipients_per_hour=10)
    usage.reserve("ada", quota, 8, NOW)

    refused = usage.reserve("ada", quota, 3, NOW)

    assert (refused.what, refused.limit, refused.is_hopeless) == (
        "recipients",
        10,
        False,
    )
    assert usage.reserve("ada", quota, 2, NOW) is None


@pytest.mark.parametrize(
    ("quota", "what"),
    [
        (Quota(recipients_per_day=2), "recipients"),
        (Quota(messages_per_hour=0), "messages"),
    ],
)
def test_a_message_that_no_window_will_take_is_hopeless(usage, db, quota, what):
    """Waiting does not help; and nothing is counted."""
    refused = usage.reserve("ada", quota, 3, NOW)

    assert (refused.what, refused.is_hopeless) == (what, True)
    assert db.usage.count_documents({}) == 0


@pytest.mark.parametrize(
    "quota",
    [
        Quota(messages_per_hour=1, messages_per_day=9),
        Quota(messages_per_hour=9, messages_per_day=1),
        Quota(messages_per_hour=9, recipients_per_day=1),
        Quota(recipients_per_hour=1, messages_per_day=9),
    ],
)
def test_what_is_refused_is_counted_nowhere(usage, quota):
    """Whichever window said no."""
    usage.reserve("ada", quota, 1, NOW)
    before = usage.used("ada", quota, NOW)

    refused = usage.reserve("ada", quota, 1, NOW)

    assert refused is not None
    assert usage.used("ada", quota, NOW) == before


def test_the_limit_that_holds_longer_is_told(usage):
    """Who has used up the day need not come back in an hour."""
    quota = Quota(messages_per_hour=1, messages_per_day=1)
    usage.reserve("ada", quota, 1, NOW)

    assert usage.reserve("ada", quota, 1, NOW).period == "day"


def test_what_is_given_back_can_be_used_again(usage):
    """A message that was refused in the end costs nothing."""
    quota = Quota(messages_per_hour=1, recipients_per_day=5)
    usage.reserve("ada", quota, 5, NOW)

    usage.give_back("ada", quota, 5, NOW)

    assert usage.used("ada", quota, NOW) == {
        "recipients_per_day": 0,
        "messages_per_hour": 0,
    }
    assert usage.reserve("ada", quota, 5, NOW) is None


def test_what_is_given_back_goes_where_it_was_taken(usage):
    """The hour may be over meanwhile; the next one is no longer for that."""
    usage.reserve("ada", PER_HOUR, 1, NOW)
    usage.reserve("ada", PER_HOUR, 1, SOON)

    usage.give_back("ada", PER_HOUR, 1, reserved_at=NOW)

    assert usage.used("ada", PER_HOUR, NOW) == {"messages_per_hour": 0}
    assert usage.used("ada", PER_HOUR, SOON) == {"messages_per_hour": 1}


def test_nobody_gets_more_by_giving_back_what_was_not_taken(usage):
    """A count never falls below nothing."""
    usage.give_back("ada", PER_HOUR, 1, NOW)
    usage.reserve("ada", PER_HOUR, 1, NOW)
    usage.give_back("ada", PER_HOUR, 5, NOW)

    assert usage.used("ada", PER_HOUR, NOW) == {"messages_per_hour": 1}


@pytest.mark.parametrize(("first", "second"), [("ada", "ada|h"), ("ada", "Ada")])
def test_each_user_is_counted_alone(usage, first, second):
    """Whatever they are called."""
    quota = Quota(messages_per_hour=1, messages_per_day=1)
    usage.reserve(first, quota, 1, NOW)

    assert usage.reserve(second, quota, 1, NOW) is None


def test_who_has_no_quota_costs_no_round_trip(usage, db):
    """Not even one to a database that is away."""
    db.client.close()

    assert usage.reserve("ada", Quota(), 1000, NOW) is None
    usage.give_back("ada", Quota(), 1000, NOW)


def test_many_at_once_get_as_much_as_there_is_and_no_more(usage):
    """None is refused who had room, either: a refusal holds nothing meanwhile."""
    quota = Quota(messages_per_hour=20, recipients_per_hour=10**6)
    start = threading.Barrier(8)
    answers: list[Exceeded | None] = []

    def send():
        start.wait()
        for _ in range(5):
            answers.append(usage.reserve("ada", quota, 3, NOW))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers.count(None) == 20
    assert usage.used("ada", quota, NOW) == {
        "messages_per_hour": 20,
        "recipients_per_hour": 60,
    }


def test_counts_go_when_their_window_is_long_over(usage, db):
    """By an index; documents of yesterday's hours do not pile up."""
    usage.reserve("ada", Quota(messages_per_hour=1, messages_per_day=1), 1, NOW)

    ends = {row["_id"]: row["expires_at"] for row in db.usage.find()}
    assert ends == {
        "ada|h|2026-11-29T10": datetime(2026, 11, 30, 11, tzinfo=UTC),
        "ada|d|2026-11-29": datetime(2026, 12, 1, tzinfo=UTC),
    }
    assert db.usage.index_information()["ttl"]["expireAfterSeconds"] == 0


@pytest.mark.parametrize("limit", [-1, MAX_LIMIT + 1])
def test_a_quota_out_of_range_cannot_be_built(limit):
    """It would mean something else to the database."""
    with pytest.raises(ValueError, match="messages_per_day"):
        Quota(messages_per_day=limit)
