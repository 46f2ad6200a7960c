"""Rules by which replies of other servers change how mail is sent to them."""

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mta.config.base import DAY, HOUR, MINUTE, Connections, Frozen
from mta.config.fields import Boolean, RateValue, lasting, text_of
from mta.config.schedule import read_category
from mta.config.values import Rate

MAX_PATTERN = 1000  # characters
MAX_AFTER = 1000  # replies that a rule counts
SLOWEST = Rate(1, MINUTE)  # a rule that wants less suspends


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    if not text or len(text) > MAX_PATTERN:
        raise ValueError(f"is not an expression of 1 to {MAX_PATTERN} characters")
    return text


Category = Annotated[str, BeforeValidator(read_category)]
Pattern = Annotated[str, BeforeValidator(text_of(_pattern))]


class ShapingRule(Frozen):
    """What follows from certain replies, for how long, and for whom.

    Attributes:
        name: Its key in ``shaping``.
        category: Of failures it is about; empty: any.
        reply: Expression that is searched for in the reply, without regard to case.
        zones, providers: Only these; empty: all.
        after: So many such replies in so long; None: the first one.
        action: ``rest``: the address is not used; ``suspend``: nothing is sent;
            ``slow``: not more than ``rate`` and ``max_connections``.
        per_tenant: It holds for the mail of the tenant alone that met the reply.
        duration: How long it holds after the last such reply.
    """

    derived = frozenset({"name"})

    name: str
    disabled: Boolean = False
    category: Annotated[tuple[Category, ...], Field(max_length=20)] = ()
    reply: Pattern | None = None
    zones: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    after: RateValue | None = None
    action: Literal["rest", "suspend", "slow"]
    rate: RateValue | None = None
    max_connections: Connections | None = None
    per_tenant: Boolean = False
    duration: Annotated[timedelta, lasting(MINUTE, 30 * DAY)]


BLACKLIST = "blacklist"


def built_in_rules() -> Mapping[str, ShapingRule]:
    """What holds unless the file has rules of the same names."""
    rest = ShapingRule(
        name=BLACKLIST, category=(BLACKLIST,), action="rest", duration=6 * HOUR
    )
    return MappingProxyType({BLACKLIST: rest})
