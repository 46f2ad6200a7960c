"""The one shape of what decided an attempt."""

from mta.reasons import MAX_ADDRESSES, MAX_CAUSES, PassedOver, group_by_cause


def test_addresses_with_a_cause_in_common_are_said_together():
    """In the order of the pool, and so are the causes."""
    passed = [("192.0.2.1", "rests"), ("192.0.2.2", "full"), ("192.0.2.3", "rests")]

    assert group_by_cause(passed) == (
        PassedOver("rests", ("192.0.2.1", "192.0.2.3")),
        PassedOver("full", ("192.0.2.2",)),
    )


def test_of_very_many_addresses_the_first_ones_are_said():
    """A row has no room for a pool of thousands."""
    passed = [(f"2001:db8::{n:x}", "rests") for n in range(MAX_ADDRESSES + 5)]

    [entry] = group_by_cause(passed)

    assert entry.addresses == tuple(address for address, _ in passed[:MAX_ADDRESSES])


def test_of_very_many_causes_the_first_ones_are_said():
    """Each measure has words of its own."""
    passed = [("192.0.2.1", f"cause {n}") for n in range(MAX_CAUSES + 5)]

    found = group_by_cause(passed)

    assert [entry.cause for entry in found] == [f"cause {n}" for n in range(MAX_CAUSES)]


def test_nothing_passed_over_is_nothing_to_say():
    """As in most attempts."""
    assert group_by_cause([]) == ()
