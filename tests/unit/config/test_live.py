import pytest

from mta.config.live import Live


def test_what_is_derived_follows():
    """A table that is made of the configuration is that of the one in force."""
    live = Live(2)
    doubled = live.derive(lambda value: value * 2)
    shown = doubled.derive(str)

    live.replace(5)

    assert (live.current, doubled.current, shown.current) == (5, 10, "10")


def test_a_table_that_cannot_be_made_changes_nothing():
    """All or nothing: what was derived first has not moved either."""
    live = Live(2)
    doubled = live.derive(lambda value: value * 2)
    live.derive(lambda value: 1 / value)

    with pytest.raises(ZeroDivisionError):
        live.replace(0)

    assert (live.current, doubled.current) == (2, 4)


def test_who_has_read_it_keeps_what_he_read():
    """A piece of work goes on by the configuration with which it began."""
    live = Live(("old",))
    read = live.current

    live.replace(("new",))

    assert read == ("old",)
