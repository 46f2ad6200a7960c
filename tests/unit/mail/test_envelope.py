"""What an envelope asks for."""

from datetime import UTC, datetime

import pytest

from mta.mail.envelope import MAX_ZONE_CHARS, Envelope


def an_envelope(zone=None):
    return Envelope(
        reverse_path="ada@a.test",
        recipients=("bob@b.test",),
        interface="feeder",
        protocol="ESMTP",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        session_id="s",
        requested_zone=zone,
    )


@pytest.mark.parametrize(
    ("by_door", "by_header", "asked"),
    [
        (None, None, None),
        (None, "", None),
        (None, "bulk", "bulk"),
        ("vip", "bulk", "vip"),
        ("vip", None, "vip"),
    ],
    ids=["nothing", "an empty field", "the header", "both", "the door"],
)
def test_what_the_door_says_goes_before_the_header_section(by_door, by_header, asked):
    """Whoever asked last knows better than what was written first."""
    assert an_envelope(by_door).asking_for(by_header).requested_zone == asked


def test_of_an_odd_name_what_can_be_one_is_kept():
    """It is stored with the message, whatever its length."""
    zone = an_envelope().asking_for("z" * 10_000).requested_zone

    assert zone == "z" * MAX_ZONE_CHARS
