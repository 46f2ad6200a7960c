"""What ends without a worker: time that is over, doubts, and lost words."""

from datetime import UTC, datetime, timedelta

import pytest

from mta.config.live import Live
from mta.config.zones import Config, QueueConfig, Zone
from mta.delivery import Delivery, DeliveryState
from mta.observe import metrics
from mta.worker.mender import PARKED_AT_ONCE, UNPARK_FOR_S, Mender
from mta.worker.outcome import Judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
END = NOW + DAY


def a_delivery(number=1, **changes):
    facts = {
        "id": f"m.{number:03x}",
        "message_id": "m",
        "zone": "default",
        "recipient": "bob@b.test",
        "domain": "b.test",
        "state": DeliveryState.DEFERRED,
        "created_at": NOW,
        "due_at": NOW,
        "give_up_at": END,
        "attempts": 2,
    }
    return Delivery(**{**facts, **changes})


class Rows:
    def __init__(self):
        self.overdue_rows = []
        self.doubtful_rows = []
        self.settled = []
        self.is_ours = True

    def overdue(self, now, *, limit):
        return self.overdue_rows[:limit]

    def doubtful(self, *, limit):
        return self.doubtful_rows[:limit]

    def expire(self, row, outcome, *, keep_until):
        self.settled.append((row.id, outcome, keep_until))
        return self.is_ours

    doubt = expire


class Parking:
    def __init__(self, parked):
        self.parked = parked
        self.done = []

    def keys_to_ring(self, now):
        return sorted(self.parked)

    def unpark(self, key, count, now):
        self.done.append(("unparked", key, count))

    def postpone(self, key, now):
        self.done.append(("postponed", key))


@pytest.fixture
def rows():
    return Rows()


@pytest.fixture
def mender(rows):
    return a_mender(rows)


def a_mender(rows, *, parking=None, **zone):
    config = Config(
        queue=QueueConfig(), zones={"default": Zone(name="default", **zone)}
    )
    return Mender(due=rows, parking=parking, judge=Live(Judge(config=config)))


def counted(metric, *labels):
    return metric.labels(*labels)._value.get()


def test_what_waited_too_long_expires_with_a_reply_and_a_line(rows, mender, caplog):
    """Nothing waits for ever, nothing ends silently."""
    caplog.set_level("INFO")
    rows.overdue_rows = [a_delivery(state=DeliveryState.HELD)]

    mender.expire(NOW)

    ((_, outcome, keep_until),) = rows.settled
    assert (outcome.state, outcome.status) == (DeliveryState.EXPIRED, "5.4.7")
    assert keep_until == NOW + QueueConfig().keep_records
    assert "expired id=m.001" in caplog.text
    assert "was=held" in caplog.text


def test_what_somebody_else_was_quicker_with_is_not_told_twice(rows, mender, caplog):
    """Two leaders may look at the same row; one of them ends it."""
    caplog.set_level("INFO")
    rows.is_ours = False
    rows.overdue_rows = rows.doubtful_rows = [a_delivery()]

    mender.expire(NOW)
    mender.settle_doubts(NOW)

    assert caplog.text == ""


def settle_doubt(rows, zone="default", **policy):
    rows.doubtful_rows = [a_delivery(zone=zone, state=DeliveryState.SENDING)]
    a_mender(rows, **policy).settle_doubts(NOW)
    ((_, outcome, _),) = rows.settled
    return outcome


@pytest.mark.parametrize(
    ("policy", "state", "due_at"),
    [
        ("retry", DeliveryState.IN_DOUBT, NOW + timedelta(minutes=15)),
        ("hold", DeliveryState.IN_DOUBT, END),
        ("assume_delivered", DeliveryState.DELIVERED, None),
    ],
)
def test_the_zone_decides_what_becomes_of_a_doubt(rows, policy, state, due_at):
    """Its owner died between the final dot and the record: nobody knows."""
    outcome = settle_doubt(rows, in_doubt=policy)

    assert (outcome.state, outcome.due_at) == (state, due_at)
    assert outcome.is_doubtful


def test_mail_of_a_zone_that_is_no_more_is_tried_again(rows):
    """Mail must not be lost, whatever the operator did to the file."""
    outcome = settle_doubt(rows, zone="gone")

    assert outcome.state is DeliveryState.IN_DOUBT


def test_the_timeline_says_why_there_is_a_doubt(rows):
    """And that it was a try: the next hop may have got all of it."""
    outcome = settle_doubt(rows)

    assert (outcome.category, outcome.code, outcome.status) == ("doubt", 450, "4.4.2")
    assert "may have been delivered" in outcome.text
    assert outcome.attempt == 3


def test_a_doubt_is_counted_and_told(rows, caplog):
    """No duplicate is silent."""
    before = counted(metrics.IN_DOUBT, "default", "crash")

    settle_doubt(rows)

    assert counted(metrics.IN_DOUBT, "default", "crash") == before + 1
    assert "in doubt id=m.001" in caplog.text


def test_a_lost_word_wakes_a_few_and_leaves_the_rest():
    """One of them takes the slot and passes the word on; waking all is a storm."""
    key = "domain:default:b.test"
    parking = Parking({key: [a_delivery(number) for number in range(1, 50)]})

    a_mender(Rows(), parking=parking).unpark(NOW)

    assert parking.done == [("unparked", key, PARKED_AT_ONCE), ("postponed", key)]


def test_waking_ends_when_its_time_is_over():
    """The lists of the zones must not run dry for it."""
    parking = Parking({f"domain:default:d{n}.test": [] for n in range(50)})
    mender = a_mender(Rows(), parking=parking)
    mender.monotonic = iter([0.0, UNPARK_FOR_S / 2, UNPARK_FOR_S * 2]).__next__

    mender.unpark(NOW)

    assert len(parking.done) == 2 * 2


def test_of_too_many_limits_all_have_their_turn():
    """Those at the end of the alphabet, too."""
    keys = {f"domain:default:d{number:04}.test": [] for number in range(500)}
    seen = set()
    for second in range(3):
        parking = Parking(keys)
        a_mender(Rows(), parking=parking).unpark(NOW + timedelta(seconds=second))
        seen |= {done[1] for done in parking.done}

    assert seen == keys.keys()


def test_doubt_after_doubt_comes_ever_later_and_then_to_a_person():
    """A hop that takes mail and never says so gets a few copies, not thousands."""
    judge = Judge(config=Config(queue=QueueConfig(), zones={}))
    rows = [a_delivery(doubts=n, give_up_at=NOW + 30 * DAY) for n in range(7)]

    due = [judge.doubt("retry", row, NOW)[1] - NOW for row in rows]

    assert due[:3] == [timedelta(minutes=15 * 2**n) for n in range(3)]
    assert due[5:] == [30 * DAY] * 2
