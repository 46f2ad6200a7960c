"""Mail servers and nameservers at their worst: what becomes of a message there.

One table, three promises for each row: the outcome is the one that it should be, in
its time; what a server has taken whole is delivered or in doubt, and never sent again
as if it were neither; and once all is well again, the message arrives.
"""

import re

import pytest

from tests.dialogue.hostile import (
    contents,
    encryptions,
    envelopes,
    everywhere,
    logins,
    lookups,
    openings,
    pieces,
    reuses,
)
from tests.dialogue.hostile.rows import Row
from tests.dialogue.hostile.world import Result, World, world_of

TABLES = (
    everywhere,
    openings,
    envelopes,
    contents,
    pieces,
    reuses,
    encryptions,
    logins,
    lookups,
)
ROWS = [row for table in TABLES for row in table.rows()]
AT_LEAST = 40
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
MOST_TALK = 110_000  # characters: 200 lines of 500, and their heads


def by_name(rows: list[Row]) -> list:
    """As arguments of tests."""
    return [pytest.param(row, id=row.name) for row in rows]


def test_table_is_long_and_its_rows_are_different():
    """So that nobody makes it shorter without saying so."""
    names = [row.name for row in ROWS]

    assert len(names) >= AT_LEAST
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", by_name(ROWS))
def test_outcome(row):
    """What is recorded after one attempt, and that nothing is lost or sent twice."""
    with world_of(row, is_alone=True) as world:
        first = world.attempt()
        assert said(first) == (row.state, row.category)
        assert row.says in str(first.outcome.reply)
        assert first.took_s < row.bound_s
        assert world.bad.connections == row.connections
        assert first.grown <= (row.memory or 0)
        assert_fit_to_keep(row, first)
        taken = assert_honest(row, world, first)

        if row.state in ("deferred", "in_doubt"):
            world.mend()
            second = world.attempt()
            assert said(second) == ("delivered", "")
            # One copy more than that only if the record says that it may be so.
            assert taken == 0 or first.outcome.is_doubtful
    assert not world.bad.mistakes


@pytest.mark.parametrize("row", by_name([row for row in ROWS if row.has_next]))
def test_next_host(row):
    """Another host is asked as long as this one cannot have the message, or not."""
    with world_of(row, is_alone=False) as world:
        result = world.attempt()

        assert world.good.connections == row.next_host
        assert result.took_s < row.bound_s
        if row.next_host:
            assert said(result) == ("delivered", "")
            assert (world.bad.whole, world.good.whole) == (0, 1)
        else:
            assert said(result) == (row.state, row.category)
            assert_honest(row, world, result)


def said(result: Result) -> tuple[str, str]:
    return result.outcome.state.value, result.outcome.category


def assert_honest(row: Row, world: World, result: Result) -> int:
    """What came whole and the outcome agree; returns how many copies are out there."""
    whole = world.bad.whole - row.warm
    assert whole in (0, 1)
    if row.state == "delivered":
        assert whole + world.good.whole == 1
    if whole and not row.refuses:
        assert row.state in ("delivered", "in_doubt")
    assert result.outcome.is_doubtful == (row.state == "in_doubt")
    return whole if not row.refuses else 0


def assert_fit_to_keep(row: Row, result: Result) -> None:
    """What goes into the record is bounded, readable, and without secrets."""
    reply, talk = str(result.outcome.reply), str(result.outcome.talk)
    assert not CONTROLS.search(reply)
    assert not CONTROLS.search(talk.replace("\n", ""))
    assert len(talk) <= MOST_TALK
    if row.secret:
        assert row.secret not in reply + talk
