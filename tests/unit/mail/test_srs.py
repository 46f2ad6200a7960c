"""Rewritten reverse paths: made, given back, and not made up."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.mail.srs import NotOurs, restore, rewrite, timestamp

SECRET, OURS, TODAY = "a cat", "fwd.test", date(1970, 1, 1)


def rewritten(path, today=TODAY, **facts):
    return rewrite(path, secret=SECRET, domain=OURS, today=today, **facts)


def given_back(path, today=TODAY):
    return restore(path.rpartition("@")[0], secret=SECRET, today=today)


def test_a_path_is_written_as_others_write_it():
    """The example of the scheme's other implementations; its day is AA."""
    assert timestamp(TODAY) == "AA"
    assert rewritten("user@example.org") == "SRS0=82a4=AA=example.org=user@fwd.test"


@pytest.mark.parametrize("path", ["", "ada@fwd.test", "ada@FWD.test", "eve@kept.test"])
def test_what_is_ours_or_nobodys_stays(path):
    assert rewritten(path, keep=("kept.test",)) == path


def test_what_somebody_else_has_rewritten_keeps_his_hop_and_ours():
    once = rewritten("user@example.org").replace("@fwd.test", "@other.test")

    twice = rewritten(once)

    assert twice.startswith("SRS1=")
    assert twice.endswith("=other.test==82a4=AA=example.org=user@fwd.test")
    assert given_back(twice) == "SRS0=82a4=AA=example.org=user@other.test"


def test_a_third_hop_makes_it_no_longer():
    """It goes back to the first one at once."""
    twice = rewritten("SRS0=82a4=AA=example.org=user@first.test")
    thrice = rewritten(twice.replace("@fwd.test", "@second.test"))

    assert thrice.count("=first.test=") == 1
    assert "second.test" not in thrice


def test_what_would_not_fit_an_address_stays():
    long = f"{'x' * 60}@example.org"

    assert rewritten(long) == long


@pytest.mark.parametrize(
    "local_part",
    [
        "user",
        "SRS0=82a5=AA=example.org=user",
        "SRS0=82a4=AA=example.org=other",
        "SRS0=82a4=AA=example.com=user",
        "SRS0=82a4=AB=example.org=user",
        "SRS1=82a4=other.test==82a4=AA=example.org=user",
        "SRS0====",
        "SRS0=\u00e9=AA=example.org=user",
    ],
)
def test_what_was_not_made_here_is_given_back_to_nobody(local_part):
    """Or we would be everybody's relay."""
    with pytest.raises(NotOurs):
        restore(local_part, secret=SECRET, today=TODAY)


@pytest.mark.parametrize(("days", "holds"), [(0, True), (21, True), (22, False)])
def test_a_path_holds_for_three_weeks(days, holds):
    """Also across the day on which the count begins anew."""
    made = TODAY + timedelta(days=1020)
    path = rewritten("user@example.org", made)
    later = made + timedelta(days=days)

    if holds:
        assert given_back(path, later) == "user@example.org"
    else:
        with pytest.raises(NotOurs):
            given_back(path, later)


@given(
    st.text(
        st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20
    ),
    st.dates(date(2020, 1, 1), date(2040, 1, 1)),
)
def test_what_is_rewritten_can_be_given_back(local, today):
    path = f"{local}@example.org"

    assert given_back(rewritten(path, today), today) == path
