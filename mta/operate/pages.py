"""Long lists page by page: a cursor names the last entry that was shown.

So a page is where it was, however much is added or finished meanwhile. Cursors are
opaque to clients, and come back from them: whatever we did not write is refused.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"[0-9A-Za-z_-]{2,120}")
_DELIVERY_ID = re.compile(r"[0-9A-Za-z]{1,64}\.[0-9a-f]{3,8}")
# Milliseconds of 14 digits reach the year 5138.
_PLACE = re.compile(r"(0|[1-9][0-9]{0,13}) (\S+)")

T = TypeVar("T")


class Place(NamedTuple):
    """Where an entry stands in a list by time: its instant and its id."""

    at: datetime
    id: str


def is_delivery_id(text: str) -> bool:
    """Whether ``text`` could name a delivery; other names are not even looked up."""
    return _DELIVERY_ID.fullmatch(text) is not None


def format_place(place: Place) -> str:
    """Write a cursor for a list by time."""
    return _encode(f"{(place.at - _EPOCH) // timedelta(milliseconds=1)} {place.id}")


def parse_place(cursor: str) -> Place:
    """Read a cursor of ``format_place``.

    Raises:
        ValueError: It is none.
    """
    match = _PLACE.fullmatch(_decode(cursor))
    if match is None or not is_delivery_id(match[2]):
        raise ValueError("not a cursor of this list")
    return Place(_EPOCH + timedelta(milliseconds=int(match[1])), match[2])


def format_after(delivery_id: str) -> str:
    """Write a cursor for a list by id."""
    return _encode(delivery_id)


def parse_after(cursor: str) -> str:
    """Read a cursor of ``format_after``.

    Raises:
        ValueError: It is none.
    """
    text = _decode(cursor)
    if not is_delivery_id(text):
        raise ValueError("not a cursor of this list")
    return text


def cut(
    found: Sequence[T], limit: int, cursor_of: Callable[[T], str]
) -> tuple[Sequence[T], str | None]:
    """Cut what was found, one more than fits if there is more, to a page.

    Returns:
        The page, and the cursor of the next one, if there is one.
    """
    page = found[:limit]
    return page, cursor_of(page[-1]) if page and len(found) > limit else None


def _encode(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    """The text of a cursor, which has one way to be written.

    Raises:
        ValueError: It is none.
    """
    if not _CURSOR.fullmatch(cursor):
        raise ValueError("not a cursor")
    # Both errors that these may raise are ValueErrors.
    text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    if _encode(text) != cursor:
        raise ValueError("not a cursor")
    return text
