"""Reading the rows page by page, on a real MongoDB."""

from datetime import UTC, datetime, timedelta

from mta.delivery import LIVE, DeliveryState
from mta.store.census import Census

NOW = datetime.now(UTC).replace(microsecond=0)
MESSAGE_ID = "0123456789abcdef01"


def ids(rows) -> list[str]:
    return [row.id.rpartition(".")[2] for row in rows]


def test_one_row_is_found_by_its_id(db, a_row):
    """Or it is not there."""
    row = a_row()

    assert Census(db).find(row).id == row
    assert Census(db).find(f"{MESSAGE_ID}.fff") is None


def test_pages_follow_each_other_without_gap_or_repetition(db, a_row):
    """Also when what was shown is finished meanwhile."""
    for number in range(1, 8):
        a_row(number)
    census = Census(db)

    first = census.walk(LIVE, zone=None, after=None, limit=3)
    db.deliveries.delete_one({"_id": first[-1].id})
    second = census.walk(LIVE, zone=None, after=first[-1].id, limit=3)

    assert ids(first) == ["001", "002", "003"]
    assert ids(second) == ["004", "005", "006"]


def test_walk_is_by_state_and_zone(db, a_row):
    """What is asked for, and nothing else."""
    a_row(1, state="held")
    a_row(2, state="held", zone="bulk")
    a_row(3, zone="bulk")
    census = Census(db)

    held = census.walk({DeliveryState.HELD}, zone=None, after=None, limit=9)
    bulk = census.walk(LIVE, zone="bulk", after=None, limit=9)

    assert ids(held) == ["001", "002"]
    assert ids(bulk) == ["002", "003"]


def test_rows_of_a_message_are_counted_by_state(db, a_row):
    """Those of its neighbors in the index are not."""
    a_row(1)
    a_row(2, state="delivered")
    a_row(4096)
    a_row(1, _id=f"{MESSAGE_ID}0.001", message=f"{MESSAGE_ID}0")
    a_row(1, _id="0123456789abcdef00.001", message="0123456789abcdef00")

    counts = Census(db).count_of_message(MESSAGE_ID)

    assert counts == {DeliveryState.QUEUED: 2, DeliveryState.DELIVERED: 1}


def test_doubts_are_listed_latest_first(db, a_row):
    """Those of one instant by their ids; pages go on after time and id."""
    for number, minutes in ((1, 5), (2, 1), (3, 1), (4, 3)):
        a_row(number, doubts=1, doubted_at=NOW - timedelta(minutes=minutes))
    a_row(5)
    census = Census(db)

    first = census.doubted(before=None, limit=2)
    last, since = first[-1]
    second = census.doubted(before=(since, last.id), limit=2)
    split = census.doubted(before=(since, f"{MESSAGE_ID}.002"), limit=1)

    assert ids(row for row, _ in first) == ["002", "003"]
    assert ids(row for row, _ in second) == ["004", "001"]
    assert ids(row for row, _ in split) == ["003"]


def test_whether_there_are_doubts_is_known(db, a_row):
    """The navigation asks on every page."""
    a_row(1)
    census = Census(db)
    before = census.has_doubts()

    a_row(2, doubts=1, doubted_at=NOW)

    assert (before, census.has_doubts()) == (False, True)
