"""How many connections an address may have, and how often it may come."""

from collections import Counter
from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.values import Rate, parse_rate
from mta.smtpd.gate import MAX_ADDRESSES, TOO_MANY_AT_ONCE, TOO_OFTEN, Gate

ADA = ip_address("192.0.2.1")
BOB = ip_address("192.0.2.2")


class Clock:
    def __init__(self):
        self.now = 1000.1

    def __call__(self):
        return self.now


def a_gate(most_at_once=1000, rate=None, **options):
    rate = parse_rate(rate) if rate else None
    return Gate(most_at_once=most_at_once, rate=rate, **options)


def visit(gate, address):
    """Come and go; return what was said."""
    refusal = gate.enter(address)
    if refusal is None:
        gate.leave(address)
    return refusal


def test_an_address_may_have_so_many_connections_and_no_more():
    """The limit itself is let in, the next one is not."""
    gate = a_gate(most_at_once=2)

    answers = [gate.enter(ADA) for _ in range(3)]

    assert answers == [None, None, TOO_MANY_AT_ONCE]


def test_a_connection_that_ends_makes_room_for_another():
    """It is connections at a time that count."""
    gate = a_gate(most_at_once=1)
    gate.enter(ADA)
    gate.leave(ADA)

    assert gate.enter(ADA) is None


def test_a_connection_that_was_refused_is_not_counted():
    """Only whoever was let in leaves."""
    gate = a_gate(most_at_once=1)
    gate.enter(ADA)
    gate.enter(ADA)
    gate.leave(ADA)

    assert gate.enter(ADA) is None


def test_addresses_do_not_share_their_limits():
    """One busy client leaves the others in peace."""
    gate = a_gate(most_at_once=1, rate="1/hour")
    gate.enter(ADA)

    assert gate.enter(BOB) is None


def test_leaving_without_having_come_is_an_error():
    """The books would be wrong from there on."""
    gate = a_gate()
    visit(gate, ADA)

    with pytest.raises(KeyError):
        gate.leave(ADA)


def test_all_connections_of_a_period_may_come_at_once():
    """A queue runner opens its connections together."""
    gate = a_gate(rate="3/minute", monotonic=Clock())

    answers = [visit(gate, ADA) for _ in range(4)]

    assert answers == [None, None, None, TOO_OFTEN]


@pytest.mark.parametrize("rate", ["1/s", "3/s", "7/minute", "1000/day"])
def test_exactly_the_count_of_a_rate_may_come_at_once(rate):
    """However its interval is rounded, not one more and not one less."""
    gate = a_gate(rate=rate, monotonic=Clock())
    count = parse_rate(rate).count

    answers = Counter(visit(gate, ADA) for _ in range(count + 5))

    assert answers == {None: count, TOO_OFTEN: 5}


def test_after_a_burst_connections_come_back_one_by_one():
    """3/minute is one every twenty seconds."""
    clock = Clock()
    gate = a_gate(rate="3/minute", monotonic=clock)
    for _ in range(3):
        visit(gate, ADA)
    answers = []

    for passed in (19, 2, 1, 18):
        clock.now += passed
        answers.append(visit(gate, ADA))

    assert answers == [TOO_OFTEN, None, TOO_OFTEN, None]


def test_a_connection_that_came_too_often_does_not_push_the_next_further_away():
    """Else a client that retries too soon would never be let in again."""
    clock = Clock()
    gate = a_gate(rate="1/minute", monotonic=clock)
    visit(gate, ADA)
    for _ in range(59):
        clock.now += 1
        visit(gate, ADA)

    clock.now += 1

    assert visit(gate, ADA) is None


def test_one_who_is_present_has_a_rate_as_well():
    """Connections that stay open were let in all the same."""
    gate = a_gate(rate="2/hour", monotonic=Clock())

    answers = [gate.enter(ADA) for _ in range(3)]

    assert answers == [None, None, TOO_OFTEN]


def test_a_long_stay_saves_nothing_up():
    """After hours there is one period's count to spend, not one for each."""
    clock = Clock()
    gate = a_gate(rate="2/minute", monotonic=clock)
    gate.enter(ADA)
    clock.now += 3600

    answers = [gate.enter(ADA) for _ in range(3)]

    assert answers == [None, None, TOO_OFTEN]


@pytest.mark.parametrize("refusal", [TOO_MANY_AT_ONCE, TOO_OFTEN])
def test_a_refusal_is_transient(refusal):
    """The client's mail is good; it should try again."""
    assert (refusal.code, str(refusal.status)) == (421, "4.7.0")


def test_a_64_of_ipv6_counts_as_one_address():
    """Its owner could come from another address each time."""
    gate = a_gate(most_at_once=1)
    gate.enter(ip_address("2001:db8:0:1::1"))

    assert gate.enter(ip_address("2001:db8:0:1:ffff::2")) == TOO_MANY_AT_ONCE


def test_the_next_64_of_ipv6_is_somebody_else():
    """The border is at the 64th bit."""
    gate = a_gate(most_at_once=1)
    gate.enter(ip_address("2001:db8:0:1::1"))

    assert gate.enter(ip_address("2001:db8:0:2::1")) is None


def test_a_mapped_address_is_the_ipv4_address_that_it_stands_for():
    """All of IPv4 is within one /64 there."""
    gate = a_gate(most_at_once=1)
    gate.enter(ADA)

    answers = [gate.enter(ip_address(f"::ffff:192.0.2.{host}")) for host in (1, 2)]

    assert answers == [TOO_MANY_AT_ONCE, None]


def test_ipv4_and_ipv6_are_never_mixed_up():
    """0.0.0.0 and ::1 have the same first bits."""
    gate = a_gate(most_at_once=1)
    gate.enter(ip_address("0.0.0.0"))

    assert gate.enter(ip_address("::1")) is None


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"])
def test_who_is_exempt_is_not_counted(address):
    """Neither by connections nor by rate."""
    exempt = (ip_network("10.0.0.0/8"), ip_network("2001:db8::1/128"))
    gate = a_gate(most_at_once=1, rate="1/day", exempt=exempt)
    answers = [gate.enter(ip_address(address)) for _ in range(100)]
    for _ in range(100):
        gate.leave(ip_address(address))

    assert (set(answers), len(gate)) == ({None}, 0)


def test_an_exempt_address_does_not_exempt_its_neighbours():
    """Networks are matched with the address, not with its /64."""
    gate = a_gate(most_at_once=1, exempt=(ip_network("2001:db8::1/128"),))
    gate.enter(ip_address("2001:db8::2"))

    assert gate.enter(ip_address("2001:db8::3")) == TOO_MANY_AT_ONCE


def test_loopback_is_counted_like_anyone_else():
    """Whoever wants it exempt says so."""
    gate = a_gate(most_at_once=1)
    gate.enter(ip_address("127.0.0.1"))

    assert gate.enter(ip_address("127.0.0.1")) == TOO_MANY_AT_ONCE


def test_who_is_gone_is_forgotten_once_rested():
    """An address that owes nothing is as good as a new one."""
    clock = Clock()
    gate = a_gate(rate="1/minute", monotonic=clock)
    visit(gate, ADA)
    clock.now += 60

    visit(gate, BOB)

    assert len(gate) == 1


def test_without_a_rate_nobody_who_is_gone_is_remembered():
    """There is nothing to remember."""
    gate = a_gate(rate=None)

    visit(gate, ADA)

    assert len(gate) == 0


def test_memory_is_bounded():
    """A million addresses cost no more than the first hundred thousand."""
    gate = a_gate(rate="1/day", monotonic=Clock())

    for number in range(MAX_ADDRESSES + 10):
        visit(gate, ip_address(number))

    assert len(gate) == MAX_ADDRESSES


def test_of_those_who_are_gone_the_oldest_is_forgotten_first():
    """Who came last is the likeliest to come again."""
    gate = a_gate(rate="1/day", monotonic=Clock(), max_addresses=2)
    for number in (1, 2, 3):
        visit(gate, ip_address(number))

    answers = [gate.enter(ip_address(number)) for number in (2, 3, 1)]

    assert answers == [TOO_OFTEN, TOO_OFTEN, None]


def test_who_came_again_is_not_the_oldest_any_more():
    """It is the last visit that counts."""
    gate = a_gate(rate="2/day", monotonic=Clock(), max_addresses=3)
    for number in (1, 2, 1, 3, 4):
        visit(gate, ip_address(number))

    assert gate.enter(ip_address(1)) == TOO_OFTEN


def test_who_is_present_is_never_forgotten():
    """Nobody gets more connections by sending a crowd."""
    gate = a_gate(most_at_once=1, rate="10/day", monotonic=Clock(), max_addresses=2)
    gate.enter(ADA)
    for number in range(5):
        visit(gate, ip_address(number))

    assert gate.enter(ADA) == TOO_MANY_AT_ONCE


@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.lists(st.tuples(st.floats(0, 30), st.booleans(), st.sampled_from([ADA, BOB]))),
)
def test_no_stretch_of_time_sees_more_than_a_burst_and_the_rate(most, count, steps):
    """Whatever clients do, and in whatever order."""
    clock = Clock()
    rate = Rate(count, timedelta(minutes=1))
    gate = Gate(most_at_once=most, rate=rate, monotonic=clock)
    came, is_open = {ADA: [], BOB: []}, Counter()

    for pause, is_leaving, address in steps:
        clock.now += pause
        if is_leaving and is_open[address]:
            gate.leave(address)
            is_open[address] -= 1
        elif gate.enter(address) is None:
            came[address].append(clock.now)
            is_open[address] += 1

        assert is_open[address] <= most
    for times in came.values():
        for first, start in enumerate(times):
            for last, end in enumerate(times[first:], 1):
                assert last <= count + (end - start) * count / 60 + 1e-3
