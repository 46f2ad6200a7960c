import math
from collections import Counter
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.zones import PoolAddress
from mta.policy.source import choose_source, share_load

KEYS = [f"157ca04cd5c000dd{n:x}.001" for n in range(4000)]
TEN = [f"192.0.2.{n}" for n in range(10)]


def chosen(pool, key, family=4, **barred):
    return choose_source(pool, key, family, **barred).address


def part_of(pool, family=4):
    counts = Counter(str(chosen(pool, key, family).address) for key in KEYS)
    return {address: count / len(KEYS) for address, count in counts.items()}


def test_delivery_keeps_its_address(a_pool):
    """Greylisting wants the same client again; the order of the pool is no matter."""
    pool = a_pool(("192.0.2.1", None), ("192.0.2.2", 0.3), ("192.0.2.3", None))

    for key in KEYS[:50]:
        assert chosen(pool, key) == chosen(pool[::-1], key)


def test_new_address_takes_only_its_share(a_pool):
    """Who does not move to the new address stays where he was."""
    old = a_pool(("192.0.2.1", None), ("192.0.2.2", None), ("192.0.2.3", None))
    new = (*old, *a_pool(("192.0.2.4", None)))
    moved = [chosen(new, key) for key in KEYS if chosen(new, key) != chosen(old, key)]

    assert {str(address.address) for address in moved} == {"192.0.2.4"}
    assert len(moved) / len(KEYS) == pytest.approx(1 / 4, abs=0.03)


@pytest.mark.parametrize("gone", [0, 4, 9])
@pytest.mark.parametrize("ratio", [None, 0.1], ids=["no ratios", "equal ratios"])
def test_of_ten_addresses_one_takes_only_its_tenth_along(a_pool, ratio, gone):
    """And that tenth is shared out among the nine."""
    pool = a_pool(*((text, ratio) for text in TEN))
    left = [entry for entry in pool if str(entry.address) != TEN[gone]]

    before = {key: chosen(pool, key) for key in KEYS[:2000]}

    moved = [key for key in before if chosen(left, key) != before[key]]

    assert moved == [key for key in before if before[key] == pool[gone]]
    assert len(moved) / len(before) == pytest.approx(1 / 10, abs=0.03)
    assert len({chosen(left, key) for key in moved}) == 9


def test_an_address_without_a_ratio_leaves_those_with_one_alone(a_pool):
    """An address that is warming up gets neither more nor other mail."""
    pool = a_pool(*((text, None) for text in TEN[:5]), ("192.0.2.99", 0.05))

    for key in KEYS[:1000]:
        before, after = chosen(pool, key), chosen(pool[1:], key)
        assert before == after or before == pool[0]


def test_warming_address_gets_its_ratio(a_pool):
    """A ratio of 1/20 is 5 % of the load; the others share the rest evenly."""
    parts = part_of(
        a_pool(("192.0.2.1", None), ("192.0.2.2", None), ("192.0.2.3", 0.05))
    )

    assert parts["192.0.2.3"] == pytest.approx(0.05, abs=0.015)
    assert parts["192.0.2.1"] == pytest.approx(0.475, abs=0.03)


ratios = st.one_of(st.none(), st.floats(0, 1))


@settings(max_examples=2, derandomize=True, deadline=None)
@given(st.lists(ratios, min_size=2, max_size=3).filter(lambda r: any(r) or None in r))
def test_each_address_gets_its_share_of_a_hundred_thousand(ratios):
    """Whatever the ratios are."""
    pool = [
        PoolAddress(address=ip_address(text), ratio=ratio)
        for text, ratio in zip(TEN, ratios, strict=False)
    ]
    shares = {str(a.address): share for a, share in share_load(pool)}

    counts = Counter(str(chosen(pool, f"{n}.001").address) for n in range(100_000))

    for address in TEN[: len(pool)]:
        expected = shares.get(address, 0)
        assert counts[address] / 100_000 == pytest.approx(expected, abs=0.008)


@settings(max_examples=50)
@given(st.lists(ratios, max_size=6))
def test_shares_are_parts_of_one_or_there_are_none(ratios):
    """No ratios make them anything else."""
    pool = [
        PoolAddress(address=ip_address(text), ratio=ratio)
        for text, ratio in zip(TEN, ratios, strict=False)
    ]

    shares = [share for _, share in share_load(pool)]

    assert all(0 < share <= 1 for share in shares)
    assert not shares or math.isclose(math.fsum(shares), 1)
    assert bool(shares) == (None in ratios or any(ratios))


def test_a_share_too_small_to_be_a_number_is_none(a_pool):
    """It could not be drawn with."""
    pool = a_pool(("192.0.2.1", 1.0), ("192.0.2.2", 1.0), ("192.0.2.3", 5e-324))

    assert [entry for entry, _ in share_load(pool)] == list(pool[:2])


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        pytest.param([None] * 4, [0.25] * 4, id="no ratios"),
        pytest.param([None, 0.5, None], [0.25, 0.5, 0.25], id="half"),
        pytest.param([None, 0.1, None, None], [0.3, 0.1, 0.3, 0.3], id="a tenth"),
        pytest.param([None, 1.0, None], [0, 1.0, 0], id="all"),
        pytest.param([0.2, 0.2], [0.5, 0.5], id="all rated, too little"),
        pytest.param([0.9, 0.9], [0.5, 0.5], id="all rated, too much"),
        pytest.param([0.3, 0.6, 0.1], [0.3, 0.6, 0.1], id="all rated, exactly one"),
        pytest.param([1.0, 1.0, None], [0.5, 0.5, 0], id="too much"),
        pytest.param([0.1] * 10 + [None], [0.1] * 10 + [0], id="one, by a hair"),
        pytest.param([0.0, None], [0, 1.0], id="never"),
        pytest.param([0.0, 0.3], [0, 1.0], id="never, and all that is left"),
        pytest.param([0.3], [1.0], id="alone"),
        pytest.param([5e-324], [1.0], id="alone, with next to nothing"),
        pytest.param([0.0, 0.0], [0, 0], id="nobody"),
    ],
)
def test_shares_add_up_to_one(a_pool, ratios, expected):
    """Ratios are parts of the whole; the rest is split; odd sums are normalized."""
    pool = a_pool(*((f"192.0.2.{n}", ratio) for n, ratio in enumerate(ratios)))

    shares = {str(a.address): share for a, share in share_load(pool)}

    assert [shares.get(f"192.0.2.{n}", 0) for n in range(len(ratios))] == [
        pytest.approx(share) for share in expected
    ]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="empty"),
        pytest.param([("192.0.2.1", 0.0)], id="never"),
        pytest.param([("2001:db8::1", None)], id="other family"),
    ],
)
def test_pool_without_a_usable_address_gives_none(a_pool, entries):
    """The caller must not fall back to an address outside of the pool unawares."""
    assert chosen(a_pool(*entries), "key") is None


def test_family_of_the_target_decides(a_pool):
    """Each has its own shares."""
    pool = a_pool(("192.0.2.1", 0.1), ("192.0.2.2", None), ("2001:db8::1", 0.1))

    assert part_of(pool, 6) == {"2001:db8::1": 1}
    assert part_of(pool)["192.0.2.1"] == pytest.approx(0.1, abs=0.02)


def test_barred_address_is_left_out_and_the_rest_stays(a_pool):
    """A domain that does not want one of our addresses gets the others, as before."""
    pool = a_pool(("192.0.2.1", None), ("192.0.2.2", None), ("192.0.2.3", None))
    barred = {pool[0].address: "disabled for the domain"}

    for key in KEYS:
        before, after = chosen(pool, key), chosen(pool, key, barred=barred)
        assert after in pool[1:]
        assert before in (after, pool[0])


def test_what_a_passed_address_would_have_had_goes_to_those_without_a_ratio(a_pool):
    """Its own keys move, and no other; what has a ratio keeps to it."""
    pool = a_pool(
        ("192.0.2.1", 0.3), ("192.0.2.2", 0.1), *((t, None) for t in TEN[3:6])
    )
    passed = {pool[1].address: "its ration is used up"}

    moves = {key: (chosen(pool, key), chosen(pool, key, passed=passed)) for key in KEYS}

    moved = [now for before, now in moves.values() if before != now]
    assert {before for before, now in moves.values() if before != now} == {pool[1]}
    assert set(moved) == set(pool[2:])


def test_a_passed_address_is_told_only_where_it_was_picked(a_pool):
    pool = a_pool(("192.0.2.1", None), ("192.0.2.2", None))
    passed = {pool[1].address: "its ration is used up"}

    told = {
        key: choose_source(pool, key, 4, passed=passed).passed_over for key in KEYS[:50]
    }

    assert all(bool(told[key]) is (chosen(pool, key) == pool[1]) for key in told)


def test_with_ratios_alone_they_take_over_from_each_other(a_pool):
    pool = a_pool(("192.0.2.1", 0.5), ("192.0.2.2", 0.5))

    assert chosen(pool, "x", passed={pool[0].address: "used up"}) == pool[1]
    assert chosen(pool, "y", passed={pool[0].address: "used up"}) == pool[1]


def test_nothing_is_left_when_all_are_barred(a_pool):
    """There is no way back to an address that is not wanted."""
    pool = a_pool(("192.0.2.1", None))

    assert chosen(pool, "key", barred={pool[0].address: "no"}) is None


def test_a_choice_says_who_took_part_and_why_others_did_not(a_pool):
    """In the order of the pool."""
    pool = a_pool(
        ("192.0.2.1", 0.25),
        ("2001:db8::1", None),
        ("192.0.2.2", 0.0),
        ("192.0.2.3", None),
        ("192.0.2.4", None),
    )

    choice = choose_source(pool, "key", 4, {pool[4].address: "disabled for b.test"})

    assert choice.address in (pool[0], pool[3])
    assert choice.shares == ((pool[0], 0.25), (pool[3], 0.75))
    assert choice.passed_over == (
        (pool[1], "the target has IPv4"),
        (pool[2], "its ratio is 0"),
        (pool[4], "disabled for b.test"),
    )
