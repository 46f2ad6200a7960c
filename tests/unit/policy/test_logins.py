"""How long who failed waits, and who is turned away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.policy.logins import MAX_FAILURES, WINDOW_S, FailedLogins

HERE = "192.0.2.1"


def fail(failed, times, *, address=HERE, username="ada", at_s=0.0):
    for _ in range(times):
        failed.add(address, username, at_s)


@pytest.mark.parametrize(
    ("failures", "delay_s"),
    [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (6, 16), (7, 30), (100, 30)],
)
def test_each_failure_makes_the_next_answer_later(failures, delay_s):
    """Two are free, because people mistype; half a minute is the most."""
    failed = FailedLogins()
    fail(failed, failures)

    assert failed.delay(HERE, "ada", 1.0) == delay_s


def test_an_address_waits_whatever_account_it_tries():
    """One guess at each of many accounts is guessing, too."""
    failed = FailedLogins()
    for number in range(4):
        failed.add(HERE, f"user{number}", 0.0)

    assert failed.delay(HERE, "ada", 1.0) == 4


def test_an_account_waits_wherever_it_is_tried_from():
    """Guesses may come from many addresses."""
    failed = FailedLogins()
    for number in range(4):
        failed.add(f"192.0.2.{number}", "ada", 0.0)

    assert failed.delay("198.51.100.1", "ada", 1.0) == 4
    assert failed.delay("198.51.100.1", "eve", 1.0) == 0


def test_who_gave_no_name_shares_no_account():
    """Some tokens come without; their clients have nothing else in common."""
    failed = FailedLogins()
    fail(failed, 4, username="")

    assert failed.delay("198.51.100.1", "", 1.0) == 0


def test_failures_are_forgotten_in_time():
    """Each by itself."""
    failed = FailedLogins()
    fail(failed, 3, at_s=0.0)
    fail(failed, 3, at_s=100.0)

    delays = [
        failed.delay(HERE, "ada", at_s)
        for at_s in (WINDOW_S - 1, WINDOW_S, WINDOW_S + 99, WINDOW_S + 100)
    ]

    assert delays == [16, 2, 2, 0]


def test_an_address_that_failed_too_often_is_turned_away_for_a_while():
    """Until the first of its failures is old."""
    failed = FailedLogins()
    fail(failed, MAX_FAILURES - 1, at_s=0.0)
    before = failed.is_blocked(HERE, 1.0)
    fail(failed, 1, at_s=1.0)

    assert not before
    assert failed.is_blocked(HERE, WINDOW_S - 1)
    assert not failed.is_blocked(HERE, WINDOW_S)


def test_an_account_is_never_turned_away():
    """Or anybody could lock anybody out."""
    failed = FailedLogins()
    for number in range(2 * MAX_FAILURES):
        failed.add(f"192.0.2.{number}", "ada", 0.0)

    assert not failed.is_blocked("198.51.100.1", 1.0)


def test_a_success_clears_the_account_but_not_the_address():
    """Else whoever has an account could go on guessing others."""
    failed = FailedLogins()
    fail(failed, 5)

    failed.forgive("ada")

    assert failed.delay("198.51.100.1", "ada", 1.0) == 0
    assert failed.delay(HERE, "ada", 1.0) == 8


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
    ],
)
def test_an_ipv6_network_counts_as_one_address(one, other, is_same):
    """A client chooses the last 64 bits as it likes (RFC 4291 §2.5.1)."""
    failed = FailedLogins()
    fail(failed, 4, address=one)

    assert bool(failed.delay(other, "eve", 1.0)) is is_same


def test_who_failed_longest_ago_is_forgotten_first():
    """Memory is bounded, whoever comes."""
    failed = FailedLogins(max_addresses=2, max_accounts=2)
    for address, name in [("a", "1"), ("b", "2"), ("a", "1"), ("c", "3")]:
        fail(failed, 3, address=address, username=name)

    by_address = [failed.delay(address, "", 1.0) for address in "abc"]
    by_account = [failed.delay("", name, 1.0) for name in "123"]

    assert by_address == by_account == [16, 0, 2]


@given(
    st.lists(
        st.tuples(st.text(max_size=300), st.text(max_size=300), st.floats(0, 1e4)),
        max_size=50,
    )
)
def test_whatever_addresses_and_names_are_there_is_an_answer(tries):
    """From nothing to half a minute."""
    failed = FailedLogins(max_addresses=5, max_accounts=5)

    for address, name, at_s in tries:
        assert 0 <= failed.delay(address, name, at_s) <= 30
        failed.add(address, name, at_s)
        failed.is_blocked(address, at_s)
