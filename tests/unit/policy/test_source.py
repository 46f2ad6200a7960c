from collections import Counter

import pytest

from mta.policy.source import choose_source, leave_out, share_load

KEYS = [f"157ca04cd5c000dd{n:x}.001" for n in range(4000)]


def part_of(pool, family=4):
    chosen = Counter(str(choose_source(pool, key, family).address) for key in KEYS)
    return {address: count / len(KEYS) for address, count in chosen.items()}


def test_delivery_keeps_its_address(a_pool):
    """Greylisting wants the same client again; the order of the pool is no matter."""
    pool = a_pool(("192.0.2.1", None), ("192.0.2.2", None), ("192.0.2.3", None))

    for key in KEYS[:50]:
        assert choose_source(pool, key, 4) == choose_source(pool[::-1], key, 4)


def test_new_address_takes_only_its_share(a_pool):
    """Who does not move to the new address stays where he was."""
    old = a_pool(("192.0.2.1", None), ("192.0.2.2", None), ("192.0.2.3", None))
    new = (*old, *a_pool(("192.0.2.4", None)))
    moved = [
        choose_source(new, key, 4)
        for key in KEYS
        if choose_source(new, key, 4) != choose_source(old, key, 4)
    ]

    assert {str(address.address) for address in moved} == {"192.0.2.4"}
    assert len(moved) / len(KEYS) == pytest.approx(1 / 4, abs=0.03)


def test_warming_address_gets_its_ratio(a_pool):
    """A ratio of 1/20 is 5 % of the load; the others share the rest evenly."""
    parts = part_of(
        a_pool(("192.0.2.1", None), ("192.0.2.2", None), ("192.0.2.3", 0.05))
    )

    assert parts["192.0.2.3"] == pytest.approx(0.05, abs=0.015)
    assert parts["192.0.2.1"] == pytest.approx(0.475, abs=0.03)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        pytest.param([None] * 4, [0.25] * 4, id="no ratios"),
        pytest.param([None, 0.5, None], [0.25, 0.5, 0.25], id="half"),
        pytest.param([None, 0.1, None, None], [0.3, 0.1, 0.3, 0.3], id="a tenth"),
        pytest.param([None, 1.0, None], [0, 1.0, 0], id="all"),
        pytest.param([0.2, 0.2], [0.5, 0.5], id="all rated, too little"),
        pytest.param([1.0, 1.0, None], [0.5, 0.5, 0], id="too much"),
        pytest.param([0.0, None], [0, 1.0], id="never"),
    ],
)
def test_shares_add_up_to_one(a_pool, ratios, expected):
    """Ratios are parts of the whole; the rest is split; odd sums are normalized."""
    pool = a_pool(*((f"192.0.2.{n}", ratio) for n, ratio in enumerate(ratios)))

    shares = {str(a.address): share for a, share in share_load(pool, 4)}

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
    assert choose_source(a_pool(*entries), "key", 4) is None


def test_family_of_the_target_decides(a_pool):
    """An IPv6 target is reached from an IPv6 address."""
    pool = a_pool(("192.0.2.1", None), ("2001:db8::1", None))

    assert str(choose_source(pool, "key", 6).address) == "2001:db8::1"


def test_disabled_address_is_left_out_and_the_rest_stays(a_pool):
    """A domain that does not want one of our addresses gets the others, as before."""
    pool = a_pool(("192.0.2.1", None), ("192.0.2.2", None), ("192.0.2.3", None))
    disabled = {pool[0].address}

    moved = [key for key in KEYS if choose_source(pool, key, 4) == pool[0]]
    left = leave_out(pool, disabled)

    assert left == list(pool[1:])
    for key in set(KEYS) - set(moved):
        assert choose_source(left, key, 4) == choose_source(pool, key, 4)


def test_nothing_is_left_when_all_are_disabled(a_pool):
    """There is no way back to an address that is not wanted."""
    pool = a_pool(("192.0.2.1", None))

    assert choose_source(leave_out(pool, {pool[0].address}), "key", 4) is None


def test_pool_without_disabled_addresses_is_the_same(a_pool):
    """The usual case."""
    pool = a_pool(("192.0.2.1", None))

    assert leave_out(pool, ()) is pool
