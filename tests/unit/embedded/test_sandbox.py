import pytest

from mta.embedded.sandbox import BUSY, GREYLISTED, REFUSED, Script


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("ada@example.test", None),
        ("refuse@example.test", REFUSED),
        ("Refuse-me@example.test", REFUSED),
        ("busy.bee@example.test", BUSY),
        ("not-busy@example.test", None),
        ("ada@refuse.example.test", None),
    ],
)
def test_the_local_part_decides(recipient, reply):
    """Addresses misbehave by how their local part begins."""
    assert Script()("bob@example.test", recipient) == reply


def test_greylisting_lasts_for_one_attempt():
    """The second attempt of the same sender is let in, and every later one."""
    script = Script()
    pair = ("bob@example.test", "greylist@example.test")

    assert [script(*pair) for _ in range(3)] == [GREYLISTED, None, None]


def test_greylisting_is_by_sender_and_recipient():
    """Who is known to one recipient is not known to another."""
    script = Script()
    script("bob@example.test", "greylist-1@example.test")

    assert script("bob@example.test", "greylist-2@example.test") == GREYLISTED
    assert script("eve@example.test", "greylist-1@example.test") == GREYLISTED


def test_the_memory_of_greylisting_is_bounded():
    """The pair that was not seen for longest is forgotten first."""
    script = Script(max_pairs=2)
    for number in range(3):
        script("", f"greylist-{number}@example.test")

    assert script("", "greylist-2@example.test") is None
    assert script("", "greylist-0@example.test") == GREYLISTED
