"""What a message needs of the limits, and the arithmetic of rates."""

from datetime import timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.values import Rate
from mta.config.zones import (
    Config,
    DomainLimits,
    PoolAddress,
    Provider,
    SharedLimit,
    Zone,
)
from mta.policy.limits import (
    HORIZON_US,
    Beat,
    Clock,
    Demand,
    Pace,
    Slot,
    beat_of,
    bounded_key,
    demand_of,
    find_opening,
    heal,
    limit_key,
    share_of,
)
from mta.reasons import Limit

SECOND_US = 1_000_000
MINUTE = timedelta(minutes=1)
UNUSED = Clock(0, 0)
NOW = 1_800_000_000 * SECOND_US


def test_a_session_counts_against_all_that_it_passes():
    """Narrowest first: who waits does so where it is tightest."""
    config = Config(
        domains={"b.test": DomainLimits(max_connections=2, rate=Rate(5, MINUTE))}
    )
    zone = Zone(name="bulk", connections=50, throttling=Rate(100, MINUTE))
    provider = Provider(
        name="big", mx=("*.big.test",), max_connections=20, rate=Rate(50, MINUTE)
    )
    source = PoolAddress(
        address=ip_address("192.0.2.1"), max_connections=7, rate=Rate(20, MINUTE)
    )

    demand = demand_of(config, zone, "b.test", provider=provider, source=source)

    assert demand.slots == (
        Slot("domain:bulk:b.test", 2),
        Slot("provider:bulk:big", 20),
        Slot("source:192.0.2.1", 7),
        Slot("zone:bulk", 50),
    )
    assert demand.paces == (
        Pace("domain:bulk:b.test", Rate(5, MINUTE)),
        Pace("provider:bulk:big", Rate(50, MINUTE)),
        Pace("source:192.0.2.1", Rate(20, MINUTE)),
        Pace("zone:bulk", Rate(100, MINUTE)),
    )


def test_a_limit_that_several_share_is_counted_once():
    """Each of them names it; it is one counter, whoever asks."""
    config = Config(
        limits={
            "all": SharedLimit(name="all", max_connections=9, rate=Rate(9, MINUTE)),
            "few": SharedLimit(name="few", max_connections=3),
            "even": SharedLimit(name="even", rate=Rate(1, MINUTE)),
        },
        domains={"b.test": DomainLimits(limits=("few", "all"))},
    )
    source = PoolAddress(address=ip_address("192.0.2.1"), limits=("all",))
    provider = Provider(name="big", mx=("*.big.test",), limits=("even",))
    of_a, of_b = (
        demand_of(
            config,
            Zone(name=name, limits=("all",)),
            "b.test",
            provider=provider,
            source=source,
        )
        for name in ("a", "b")
    )

    assert of_a.slots[1:-1] == (Slot("shared:few", 3), Slot("shared:all", 9))
    assert of_a.paces == (
        Pace("shared:all", Rate(9, MINUTE)),
        Pace("shared:even", Rate(1, MINUTE)),
    )
    assert of_b.slots[1:-1] == of_a.slots[1:-1]
    assert of_b.paces == of_a.paces


def test_what_is_not_limited_is_not_asked_for():
    """A zone and a domain always limit connections; all else is by choice."""
    provider = Provider(name="big", mx=("*.big.test",))
    source = PoolAddress(address=ip_address("2001:db8::1"))

    demand = demand_of(
        Config(), Zone(name="z"), "b.test", provider=provider, source=source
    )

    assert demand.slots == (Slot("domain:z:b.test", 5), Slot("zone:z", 1))
    assert demand.paces == ()


def test_a_limit_is_told_once_with_all_that_it_allows():
    """Connections and rate of one key are one limit to people."""
    demand = Demand(
        slots=(Slot("domain:z:b.test", 5), Slot("zone:z", 20)),
        paces=(
            Pace("shared:even", Rate(1, MINUTE)),
            Pace("zone:z", Rate(600, MINUTE)),
        ),
    )

    assert demand.limits() == (
        Limit("domain:z:b.test", 5),
        Limit("zone:z", 20, "600/minute"),
        Limit("shared:even", None, "1/minute"),
    )


@pytest.mark.parametrize(
    "domain", ["a" * 10_000, "b\n.test", "bü.test", "\udcff"], ids=ascii
)
def test_a_hostile_domain_makes_a_key_like_any_other(domain):
    """Names from outside are short and printable, and still all different."""
    key = limit_key("domain", "z", domain)

    assert key.startswith("domain:#")
    assert len(key) < 100
    assert key != limit_key("domain", "z", domain + "a")
    assert bounded_key(key) == key


@given(limit=st.integers(0, 1000), count=st.integers(1, 100))
def test_shares_add_up_to_the_limit(limit, count):
    """Nobody's share is more than one above another's."""
    shares = [share_of(limit, rank=rank, count=count) for rank in range(count)]

    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1


@given(count=st.integers(1, 10_000))
def test_an_interval_is_never_too_short(count):
    """Rounding to microseconds is on the side of the limit."""
    beat = beat_of(Pace("k", Rate(count, MINUTE)))

    assert 0 <= beat.interval * count - 60 * SECOND_US < count


@given(
    interval=st.integers(1, 10**10),
    parts=st.integers(1, 50),
    at=st.integers(0, 10**16),
)
def test_ticks_of_the_parts_are_ticks_of_the_whole(interval, parts, at):
    """Processes that take turns keep the rate together, without a word."""
    ticks = sorted(Beat("k", interval, parts, n).tick(at) for n in range(parts))

    assert all(at <= tick for tick in ticks)
    if parts > 1:
        assert ticks == [ticks[0] + n * interval for n in range(parts)]
        assert ticks[0] - at < interval


def test_several_paces_open_at_the_latest():
    """And the one that was the latest is told."""
    fast, slow = Beat("fast", 100), Beat("slow", 5000)
    clocks = {"fast": Clock(NOW, 0), "slow": Clock(NOW - 1000, 0)}

    opening = find_opening(NOW, [fast, slow], clocks.__getitem__, has_turn=False)

    assert opening == (NOW + 4000, 1)


def test_turns_count_for_those_who_have_none():
    """Who comes back is judged by the grants alone."""
    beats, clock = [Beat("k", 100)], Clock(NOW, NOW + 700)

    def open_at(*, has_turn: bool) -> int:
        return find_opening(NOW, beats, lambda key: clock, has_turn=has_turn)[0]

    assert open_at(has_turn=False) == NOW + 800
    assert open_at(has_turn=True) == NOW + 100


def test_what_others_were_granted_counts():
    """An interval after the last moment at which they may have been."""
    opening, _ = find_opening(
        NOW, [Beat("k", 100)], lambda key: UNUSED, has_turn=True, floor=NOW + 50
    )

    assert opening == NOW + 150


def test_a_clock_too_far_ahead_is_mended():
    """The time server was set back."""
    ahead = Clock(NOW + 10**12, NOW + 10**12)

    assert heal(ahead, Beat("k", 100), now=NOW) == Clock(
        NOW + SECOND_US, NOW + HORIZON_US
    )


def test_turns_are_void_when_nobody_comes():
    """Two intervals and half a minute after the last grant."""
    beat, clock = Beat("k", SECOND_US), Clock(NOW, NOW + HORIZON_US // 2)

    before = heal(clock, beat, now=NOW + 32 * SECOND_US)
    after = heal(clock, beat, now=NOW + 32 * SECOND_US + 1)

    assert (before, after) == (clock, Clock(NOW, 0))
