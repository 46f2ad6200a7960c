"""When mail has to come later, and when it may come again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.zones import PressureConfig
from mta.policy.pressure import (
    REFUSALS,
    Strain,
    Vitals,
    choose_refusal,
    explain,
    judge,
)

LIMITS = PressureConfig(
    max_waiting=1000, max_latency=timedelta(seconds=2), min_memory=0.09
)
NOTHING = frozenset()
ALL = frozenset(Strain)

_MEASURED = st.builds(
    Vitals,
    waiting=st.none() | st.integers(0, 10**12),
    free_memory=st.none() | st.floats(0, 1),
    latency=st.none() | st.timedeltas(timedelta(0), timedelta(days=1)),
)


def seconds(count):
    return timedelta(seconds=count)


@pytest.mark.parametrize(
    ("vitals", "strains"),
    [
        pytest.param(Vitals(waiting=1000), NOTHING, id="as much as may wait"),
        pytest.param(Vitals(waiting=1001), {Strain.QUEUE}, id="one more"),
        pytest.param(Vitals(free_memory=0.09), NOTHING, id="just enough memory"),
        pytest.param(Vitals(free_memory=0.089), {Strain.MEMORY}, id="a little less"),
        pytest.param(Vitals(free_memory=0.0), {Strain.MEMORY}, id="none at all"),
        pytest.param(Vitals(latency=seconds(2)), NOTHING, id="just quick enough"),
        pytest.param(Vitals(latency=seconds(2.1)), {Strain.DATABASE}, id="too slow"),
        pytest.param(Vitals(), NOTHING, id="nobody knows"),
        pytest.param(
            Vitals(waiting=2000, free_memory=0.01, latency=seconds(9)), ALL, id="all"
        ),
    ],
)
def test_a_strain_begins_above_its_bound(vitals, strains):
    """Each alone is enough, and what is not known is no reason."""
    assert judge(vitals, LIMITS, NOTHING) == strains


@pytest.mark.parametrize(
    ("vitals", "strains"),
    [
        pytest.param(Vitals(waiting=900), {Strain.QUEUE}, id="at nine tenths"),
        pytest.param(Vitals(waiting=899), NOTHING, id="below"),
        pytest.param(Vitals(free_memory=0.099), {Strain.MEMORY}, id="too little more"),
        pytest.param(Vitals(free_memory=0.101), NOTHING, id="more memory"),
        pytest.param(Vitals(latency=seconds(1.9)), {Strain.DATABASE}, id="quicker"),
        pytest.param(Vitals(latency=seconds(1.7)), NOTHING, id="quick"),
        pytest.param(Vitals(), NOTHING, id="nobody knows any more"),
    ],
)
def test_a_strain_ends_a_tenth_below_its_bound(vitals, strains):
    """Else the doors would open and close with every measurement."""
    assert judge(vitals, LIMITS, ALL) == strains


def test_what_one_strain_was_says_nothing_of_another():
    """A queue that was too long makes no database slow."""
    vitals = Vitals(waiting=950, latency=seconds(1.9))

    assert judge(vitals, LIMITS, {Strain.QUEUE}) == {Strain.QUEUE}


def test_memory_that_nobody_minds_is_never_too_little():
    """0 switches this bound off."""
    limits = PressureConfig(min_memory=0.0)

    assert judge(Vitals(free_memory=0.0), limits, ALL) == NOTHING


@given(_MEASURED)
def test_what_was_too_much_is_still_too_much(vitals):
    """The bound of the end is never above that of the beginning."""
    assert judge(vitals, LIMITS, NOTHING) <= judge(vitals, LIMITS, ALL)


@given(_MEASURED)
def test_every_strain_has_its_figures(vitals):
    """Whoever is told of one is told why."""
    assert judge(vitals, LIMITS, ALL) <= explain(vitals, LIMITS).keys()


@pytest.mark.parametrize(
    ("strains", "reply"),
    [
        ({Strain.QUEUE}, "452 4.3.1 Too much mail is waiting, try later"),
        ({Strain.MEMORY}, "452 4.3.1 Out of memory for now, try later"),
        (ALL, "451 4.3.0 The message store is slow, try later"),
    ],
)
def test_clients_hear_of_the_gravest_and_of_no_figures(strains, reply):
    """They need to know that later is better, and not how we are configured."""
    assert str(choose_refusal(strains)) == reply


def test_without_a_strain_clients_are_welcome():
    """No reply means yes."""
    assert choose_refusal(NOTHING) is None


def test_every_refusal_is_for_now():
    """A 5xx would bounce mail that could come in a minute later."""
    assert set(REFUSALS) == ALL
    assert all(reply.is_transient for reply in REFUSALS.values())


def test_figures_are_told_as_people_read_them():
    """They stand in /readyz and in the log."""
    vitals = Vitals(waiting=1001, free_memory=0.0321, latency=seconds(2.34567))

    assert explain(vitals, LIMITS) == {
        Strain.DATABASE: "a write takes 2.35 s; 2 s are allowed",
        Strain.MEMORY: "3.2% of the memory is free; 9.0% has to be",
        Strain.QUEUE: "1001 deliveries wait; 1000 are allowed",
    }


def test_a_configuration_that_lets_no_mail_in_is_refused():
    """More memory than half of all is never sure to be free."""
    with pytest.raises(ValueError, match="from 0% to 50%"):
        PressureConfig(min_memory=0.51)
