"""Cursors: what we write we read, and nothing else."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest

from mta.operate.pages import (
    Place,
    cut,
    format_after,
    format_place,
    is_delivery_id,
    parse_after,
    parse_place,
)

ID = "19ab3c5d7e0001c0de.001"
AT = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)


def a_cursor(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_a_place_comes_back_as_it_was():
    """To the millisecond, which is all that MongoDB keeps."""
    assert parse_place(format_place(Place(AT, ID))) == Place(AT, ID)


def test_an_id_comes_back_as_it_was():
    """The list by id needs no more."""
    assert parse_after(format_after(ID)) == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        ID,
        f"1795341600123{ID}",
        f"-1 {ID}",
        f"01 {ID}",
        f"1e3 {ID}",
        f"999999999999999 {ID}",
        "1795341600123 ",
        "1795341600123 $where",
        f"1795341600123 {ID} ",
        f"1795341600123 {ID}\n",
        f"1795341600123 {'a' * 65}.001",
        f"\u0661 {ID}",
    ],
)
def test_what_names_no_place_is_refused(text):
    """Cursors come from outside, however opaque they are."""
    with pytest.raises(ValueError, match=r"cursor|codec"):
        parse_place(a_cursor(text))


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "=",
        "a",
        "a" * 121,
        a_cursor(ID) + "=",
        a_cursor(ID) + "\n",
        "+/+/",
        format_place(Place(AT, ID)),
    ],
)
def test_what_is_no_cursor_of_ids_is_refused(cursor):
    """Nor is one of another list."""
    with pytest.raises(ValueError, match=r"cursor|decode"):
        parse_after(cursor)


def test_a_cursor_has_one_way_to_be_written():
    """Bits that Base64 leaves over are not passed over."""
    cursor = format_after(ID)
    assert len(ID) % 3 == 1

    with pytest.raises(ValueError, match="not a cursor"):
        parse_after(cursor[:-1] + chr(ord(cursor[-1]) + 1))


def test_a_page_that_holds_all_is_the_last():
    """There is no cursor to a page without entries."""
    assert cut(["a", "b"], 2, str) == (["a", "b"], None)
    assert cut([], 2, str) == ([], None)


def test_a_page_that_is_full_names_its_last_entry():
    """One more was found than fits."""
    assert cut(["a", "b", "c"], 2, str.upper) == (["a", "b"], "B")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ID, True),
        ("m.fff", True),
        ("m.2710", True),
        ("m", False),
        ("m.", False),
        ("m.01", False),
        ("m.FFF", False),
        (".001", False),
        ("m.001.001", False),
        ("m.001\n", False),
    ],
)
def test_an_id_of_a_delivery_is_known_by_its_form(text, expected):
    """Others are not even looked up."""
    assert is_delivery_id(text) is expected
