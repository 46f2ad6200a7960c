"""Pauses between the attempts at a delivery, by what the failure was about.

A list in the file is the schedule of every category. A mapping may have lists of its
own for some, and has one under ``default`` for the others.
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator, TypeAdapter

from mta.config.fields import lasting
from mta.config.wording import join_words, suggest

DEFAULT = "default"
# What failures are sorted into: by the server's reply, and where there is none by
# what broke.
CATEGORIES = (
    *("auth", "blacklist", "block", "capacity", "config", "dns", "envelope"),
    *("message", "network", "other", "policy", "protocol", "recipient", "spam"),
    "store",
)


def read_category(value: object) -> str:
    """Take the name of a category.

    Raises:
        ValueError: There is none of that name.
    """
    if value not in CATEGORIES:
        known = join_words(CATEGORIES, "and")
        hint = suggest(str(value), CATEGORIES) or f"known are {known}"
        raise ValueError(f"is no category of failures; {hint}")
    return str(value)


def _category(value: object) -> str:
    if value != DEFAULT and value not in CATEGORIES:
        known = join_words((DEFAULT, *CATEGORIES), "and")
        hint = suggest(str(value), (DEFAULT, *CATEGORIES)) or f"known are {known}"
        raise ValueError(f"is no category of failures; {hint}")
    return str(value)


Waits = Annotated[
    tuple[Annotated[timedelta, lasting(timedelta(seconds=1), timedelta(days=30))], ...],
    Field(min_length=1, max_length=100),
]
_WAITS: TypeAdapter[tuple[timedelta, ...]] = TypeAdapter(Waits)
_BY_CATEGORY: TypeAdapter[dict[str, tuple[timedelta, ...]]] = TypeAdapter(
    dict[Annotated[str, BeforeValidator(_category)], Waits]
)


def _schedule(value: object) -> Mapping[str, tuple[timedelta, ...]]:
    """Read either form; the errors of the inner ones keep their places."""
    if isinstance(value, Mapping):
        schedule = _BY_CATEGORY.validate_python(dict(value), strict=True)
        if DEFAULT not in schedule:
            raise ValueError(f"has no {DEFAULT}, which is for all other categories")
        return MappingProxyType(schedule)
    if isinstance(value, tuple):
        waits = _WAITS.validate_python(value, strict=True)
        return MappingProxyType({DEFAULT: waits})
    raise ValueError("is not a list; write [5m, 10m] or {default: [5m, 10m]}")


Schedule = Annotated[Mapping[str, tuple[timedelta, ...]], PlainValidator(_schedule)]
