"""Shares: exact in the long run, nothing wasted, nobody starved."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.policy.fairness import choose_lane, interleave, share_out

TENANTS = st.sampled_from([f"{digit}:t{n}" for digit in "05" for n in range(8)])
LANES = st.dictionaries(
    TENANTS, st.one_of(st.none(), st.integers(0, 300)), min_size=1, max_size=12
)
WEIGHTS = st.lists(st.integers(1, 1000), min_size=8, max_size=8)


def equal(_tenant):
    return 1


def share(room, lanes, *, weight_of=equal, floor=0.5, offset=0):
    return share_out(room, lanes, weight_of=weight_of, floor=floor, offset=offset)


@given(
    room=st.integers(0, 500),
    lanes=LANES,
    weights=WEIGHTS,
    floor=st.floats(0, 1),
    offset=st.integers(0, 10**9),
)
def test_no_place_is_wasted_and_nobody_gets_more_than_wanted(
    room, lanes, weights, floor, offset
):
    """Work-conserving: what a lane does not use is lent to the others."""
    shares = share(
        room,
        lanes,
        weight_of=lambda tenant: weights[int(tenant[1:])],
        floor=floor,
        offset=offset,
    )

    wanted = sum(room if most is None else most for most in lanes.values())
    assert sum(shares.values()) == min(room, wanted)
    assert all(
        places >= 0 and (lanes[lane] is None or places <= lanes[lane])
        for lane, places in shares.items()
    )
    assert set(shares) == set(lanes)


@given(
    room=st.integers(1, 500),
    lanes=LANES,
    weights=WEIGHTS,
    offset=st.integers(0, 10**9),
)
def test_who_gets_less_than_wanted_gets_as_much_as_others_by_weight(
    room, lanes, weights, offset
):
    """Max-min: only less than one place is between two who both want more."""

    def weight_of(tenant):
        return weights[int(tenant[1:])]

    shares = share(room, lanes, weight_of=weight_of, floor=0, offset=offset)

    hungry = [
        lane
        for lane, places in shares.items()
        if lanes[lane] is None or places < lanes[lane]
    ]
    for poor in hungry:
        for rich in shares:
            most = Fraction(shares[poor] + 1, weight_of(poor[2:]))
            assert Fraction(shares[rich] - 1, weight_of(rich[2:])) < most


@given(
    room=st.integers(1, 500),
    lanes=LANES,
    weights=WEIGHTS,
    floor=st.floats(0, 1),
    offset=st.integers(0, 10**9),
)
def test_transactional_lanes_have_their_floor(room, lanes, weights, floor, offset):
    """If they want it, and however heavy the others are."""
    shares = share(
        room,
        lanes,
        weight_of=lambda tenant: weights[int(tenant[1:])],
        floor=floor,
        offset=offset,
    )

    first = {lane: most for lane, most in lanes.items() if lane[0] == "0"}
    wanted = sum(room if most is None else most for most in first.values())
    got = sum(shares[lane] for lane in first)
    assert got > min(wanted, (floor - 0.001) * room) - 1


@pytest.mark.parametrize("room", [1, 2, 7, 500])
def test_over_time_every_lane_has_its_exact_share(room):
    """What does not come out even rotates: over 600 places the error is below 5 %."""
    weights = {"a": 1, "b": 2, "c": 4}
    lanes = {f"5:{tenant}": None for tenant in weights}
    got = Counter()

    for tick in range(max(10, 600 // room)):
        got.update(share(room, lanes, weight_of=weights.__getitem__, offset=tick))

    for tenant, weight in weights.items():
        part = got[f"5:{tenant}"] / got.total()
        assert part == pytest.approx(weight / 7, rel=0.05)


def test_hundreds_of_lanes_with_one_place_a_tick_are_all_served():
    """Nobody starves, however many there are."""
    lanes = dict.fromkeys((f"5:t{n}" for n in range(300)), 1)
    got = Counter()

    for tick in range(900):
        got.update(share(1, lanes, offset=tick))

    assert min(got.values()) >= 1
    assert len([lane for lane in got if got[lane]]) == 300


def test_a_single_row_is_rung_with_a_hundred_thousand_of_another():
    """The classic fault: one newsletter delays everybody's mail."""
    assert share(500, {"5:news": 100_000, "5:shop": 1}) == {"5:news": 499, "5:shop": 1}


def test_without_other_mail_transactional_mail_has_everything():
    """A floor is no ceiling."""
    assert share(10, {"0:shop": None}) == {"0:shop": 10}


def test_a_floor_that_nobody_needs_is_lent():
    """Capacity is never kept free for mail that is not there."""
    assert share(10, {"0:shop": 1, "5:news": None}) == {"0:shop": 1, "5:news": 9}


def test_the_floor_is_for_all_transactional_lanes_together():
    """Inside it they are equal again."""
    lanes = dict.fromkeys(["0:a", "0:b", "5:c", "5:d", "5:e", "5:f", "5:g", "5:h"])

    shares = share(100, lanes, floor=0.5)

    assert (shares["0:a"], shares["0:b"]) == (25, 25)


@pytest.mark.parametrize("room", [0, -5])
def test_no_room_is_nobodys(room):
    """The list may already be longer than wished for."""
    assert share(room, {"5:a": None}) == {"5:a": 0}


@given(
    lanes=st.lists(TENANTS, min_size=1, max_size=12, unique=True),
    weights=WEIGHTS,
    floor=st.floats(0, 1),
)
def test_the_lottery_gives_each_lane_its_chance(lanes, weights, floor):
    """A thousand evenly spread draws fall as the weights say."""

    def weight_of(tenant):
        return weights[int(tenant[1:])]

    drawn = Counter(
        choose_lane(lanes, weight_of=weight_of, floor=floor, draw=(n + 0.5) / 1000)
        for n in range(1000)
    )

    first = sum(weight_of(lane[2:]) for lane in lanes if lane[0] == "0")
    total = sum(weight_of(lane[2:]) for lane in lanes)
    chance = first / total if first in (0, total) else max(first / total, floor)
    for lane in lanes:
        of = first if lane[0] == "0" else total - first
        part = chance if lane[0] == "0" else 1 - chance
        exact = part * weight_of(lane[2:]) / of
        assert drawn[lane] / 1000 == pytest.approx(exact, abs=0.0021)


@pytest.mark.parametrize("draw", [0.0, 0.5, 1 - 2**-53])
def test_the_lottery_never_chooses_who_has_no_chance(draw):
    """With the whole share for transactional mail, other mail waits for it."""
    lanes = ["0:a", "5:b"]

    assert choose_lane(lanes, weight_of=equal, floor=1.0, draw=draw) == "0:a"


def test_interleaved_lanes_are_spread_evenly():
    """Whoever has one row is not behind another's hundred."""
    lanes = {"5:a": ["a1", "a2", "a3", "a4"], "5:b": ["b1", "b2"], "5:c": ["c1"]}

    assert interleave(lanes) == ["a1", "b1", "c1", "a2", "a3", "b2", "a4"]
