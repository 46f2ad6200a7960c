"""What a request says of its message beside the message itself.

``/send`` has it as fields of the JSON object, ``/send-raw`` in the query string.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args

from flask import Request

from mta.api.problems import Refused
from mta.config.values import parse_tenant
from mta.config.wording import join_words
from mta.config.zones import Priority
from mta.mail.compose_input import Node

NAMES = ("zone", "tenant", "priority", "deliver_after", "expires_at")

# What Nodemailer puts into the header section for its other two words.
_HEADER = "X-Priority: {0}\r\nX-MSMail-Priority: {1}\r\nImportance: {1}\r\n"
_HEADERS = {
    "high": _HEADER.format("1 (Highest)", "High").encode(),
    "low": _HEADER.format("5 (Lowest)", "Low").encode(),
}
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_MAX_DIGITS = 20
_NO_TIME = "must be whole seconds from now, or an instant such as 2030-12-31T18:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was said; the names are those of ``Envelope``, where it is no zone."""

    zone: str | None = None
    tenant: str = ""
    priority: Priority | None = None
    deliver_after: datetime | None = None
    expires_at: datetime | None = None


def take_terms(mail: dict[str, object], now: datetime) -> tuple[Terms, bytes]:
    """Take the terms out of a mail; what is left is the message.

    Returns:
        The terms, and header fields that belong into the message.

    Raises:
        Rejected: A value that cannot be; ``pointer`` names it.
    """
    said = {name: mail.pop(name) for name in NAMES if name in mail}
    header = b""
    word = str(said.get("priority")).lower()
    if word in _HEADERS:
        if "raw" in mail:
            raise Node(word, "/priority").refuse("cannot stand beside raw")
        header = _HEADERS[word]
        del said["priority"]
    terms = _to_terms(said, now, lambda name, why: Node("", f"/{name}").refuse(why))
    return terms, header


def read_terms(request: Request, now: datetime) -> Terms:
    """Read the terms from the query string.

    Raises:
        Refused: A value that cannot be.
    """
    said: dict[str, object] = {
        name: request.args[name] for name in NAMES if name in request.args
    }
    for name in ("deliver_after", "expires_at"):
        if text := request.args.get(name):
            # In a query string, "+" is a blank.
            is_count = text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS
            said[name] = int(text) if is_count else text.replace(" ", "+")
    return _to_terms(
        said, now, lambda name, why: Refused(400, f"{name}: {why}", field=name)
    )


def _to_terms(
    said: dict[str, object], now: datetime, refuse: Callable[[str, str], Exception]
) -> Terms:
    facts: dict[str, Any] = {}
    for name, value in said.items():
        if value is None:
            continue
        try:
            facts[name] = _READERS[name](value, now)
        except ValueError as error:
            raise refuse(name, str(error)) from None
    return Terms(**facts)


def _zone(value: object, _now: datetime) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value.strip().lower()


def _tenant(value: object, _now: datetime) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return parse_tenant(value)


def _priority(value: object, _now: datetime) -> Priority:
    word = value.lower() if isinstance(value, str) else ""
    if word not in get_args(Priority):
        known = join_words(get_args(Priority), "or")
        raise ValueError(f"must be {known}")
    return cast(Priority, word)


def _instant(value: object, now: datetime) -> datetime:
    try:
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            instant = datetime.fromisoformat(value.upper()).astimezone(UTC)
        elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            instant = now + timedelta(seconds=value)
        else:
            raise ValueError(_NO_TIME)
    except (ValueError, OverflowError):
        raise ValueError(_NO_TIME) from None
    # As the store keeps it: whole milliseconds.
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


_READERS: Mapping[str, Callable[[object, datetime], object]] = {
    "zone": _zone,
    "tenant": _tenant,
    "priority": _priority,
    "deliver_after": _instant,
    "expires_at": _instant,
}
