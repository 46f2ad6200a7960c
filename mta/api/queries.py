"""Query parameters and request header fields as checked values."""

import re
from contextlib import suppress
from ipaddress import ip_address

from flask import Request

from mta.api.problems import Refused

_NUMBER = re.compile(r"[0-9]{1,18}")
_MESSAGE_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TRUE = frozenset({"true", "yes", "y", "1", "on"})
_MAX_USER_CHARS = 256
_MAX_NAME_CHARS = 256
_SHOWN_CHARS = 80


def read_number(request: Request, name: str, default: int, *, at_most: int) -> int:
    """A count in the query string; more than ``at_most`` means ``at_most``.

    Raises:
        Refused: Not a number, or negative.
    """
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and _NUMBER.fullmatch(text)):
        raise Refused(
            400, f"{text[:_SHOWN_CHARS]!r} is not a number from 0", field=name
        )
    return min(int(text), at_most)


def read_choice(
    request: Request, name: str, default: str, choices: frozenset[str]
) -> str:
    """One of ``choices`` in the query string.

    Raises:
        Refused: Something else.
    """
    text = request.args.get(name, default)
    if text not in choices:
        known = ", ".join(sorted(choices))
        raise Refused(400, f"{text[:_SHOWN_CHARS]!r} is none of {known}", field=name)
    return text


def read_flag(request: Request, name: str) -> bool:
    """Whether a query parameter says yes; anything but yes means no."""
    return request.args.get(name, "").strip().lower() in _TRUE


def is_message_id(text: str) -> bool:
    """Whether ``text`` could name a message; other names are not even looked up."""
    return _MESSAGE_ID.fullmatch(text) is not None


def check_zone_name(text: str) -> str:
    """A zone's name as it stands in a path; it need not exist.

    Raises:
        Refused: It could not name any zone.
    """
    if len(text) > _MAX_NAME_CHARS or _UNPRINTABLE.search(text):
        raise Refused(400, "This cannot be a zone's name", field="zone")
    return text


def read_origin(request: Request) -> str | None:
    """The address in X-Originating-IP: where the message really came from.

    Raises:
        Refused: Not an IP address.
    """
    text = request.headers.get("X-Originating-IP", "").strip()
    if not text:
        return None
    try:
        if "%" in text:
            raise ValueError("a zone index means nothing elsewhere")
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise Refused(
            400,
            f"{text[:_SHOWN_CHARS]!r} is not an IP address",
            field="X-Originating-IP",
        ) from None


def read_user(request: Request) -> str | None:
    """The name in X-Authenticated-User: whom the caller has logged in.

    Raises:
        Refused: Too long, or with characters no name has.
    """
    # WSGI gives header fields as Latin-1; what is UTF-8 shows itself.
    text = request.headers.get("X-Authenticated-User", "").strip()
    with suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    if len(text) > _MAX_USER_CHARS or _UNPRINTABLE.search(text):
        raise Refused(400, "Not a user's name", field="X-Authenticated-User")
    return text or None
