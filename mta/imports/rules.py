"""Tables of what becomes of an option, and how its value is said here.

A value that no form understands goes into the new file as it is: our loader says
what is wrong with it better than anybody else could.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, NamedTuple, TypeAlias

from mta.config.values import format_duration, format_size
from mta.imports.report import Kind
from mta.imports.source import Plain, Section
from mta.imports.target import Path, Target

MAX_COMMENT: Final = 60  # characters of a value as it was

Form: TypeAlias = Callable[[Plain], Plain]


class Carry(NamedTuple):
    """An option that is one of ours.

    Attributes:
        key: Ours.
        form: Makes our value of theirs; None: nothing was said.
        differs: What is not the same, if anything.
    """

    key: str
    form: Form
    differs: str = ""


class Leave(NamedTuple):
    """An option that is not carried over, and what to do instead."""

    kind: Kind
    text: str


class Inside(NamedTuple):
    """A mapping of options; ``key`` is that of ours, if it is one here as well."""

    key: str
    rules: "Rules"


Rules: TypeAlias = Mapping[str, Carry | Leave | Inside]


def left_out(text: str) -> Leave:
    """An option without a counterpart."""
    return Leave(Kind.LEFT_OUT, text)


def by_hand(text: str) -> Leave:
    """An option that a person has to see to."""
    return Leave(Kind.BY_HAND, text)


def no_effect(text: str = "it is not read by ZoneMTA") -> Leave:
    """An option that did nothing."""
    return Leave(Kind.NO_EFFECT, text)


def environment(text: str) -> Leave:
    """An option that is wiring, or a secret."""
    return Leave(Kind.ENVIRONMENT, text)


def apply(target: Target, section: Section, path: Path, rules: Rules) -> None:
    """Do with every key that is left what the rules say; note those they don't know.

    Args:
        path: Where in the new file carried values go.
    """
    known = [key for key in rules if key in section]
    for key in [*known, *(key for key in section.rest() if key not in rules)]:
        rule = rules.get(key)
        if isinstance(rule, Inside):
            inner = section.enter(key)
            if inner is not None:
                apply(target, inner, (*path, rule.key), rule.rules)
                continue
            rule = None
        _obey(target, section, key, path, rule)


def _obey(
    target: Target, section: Section, key: str, path: Path, rule: Carry | Leave | None
) -> None:
    where, value = section.where_is(key), section.take(key)
    if value is None:
        return
    if rule is None:
        target.note(Kind.UNKNOWN, where, "")
    elif isinstance(rule, Leave):
        kind, text = rule
        if is_off(value) and kind is not Kind.NO_EFFECT:
            kind, text = Kind.NO_EFFECT, "it is off"
        target.note(kind, where, text)
    else:
        carry(target, section, key, path, rule, value)


def carry(
    target: Target, section: Section, key: str, path: Path, rule: Carry, value: Plain
) -> None:
    """Put a value that one of ours is made of."""
    where, made = section.where_is(key), rule.form(value)
    if made is None:
        target.note(Kind.NO_EFFECT, where, "it is off")
        return
    same = made == value and type(made) is type(value)
    target.put((*path, rule.key), made, where, "" if same else was(key, value))
    if rule.differs:
        target.note(Kind.DIFFERS, where, rule.differs)


def was(key: str, value: Plain) -> str:
    """The remark on what a value was there, but not if it may have had a login."""
    text = json.dumps(value)
    return f"{key} = {text}" if len(text) <= MAX_COMMENT and "@" not in text else key


def is_off(value: Plain) -> bool:
    """JavaScript, too, takes it for nothing."""
    return value is None or value in (False, 0, "", []) or value == {}


def as_is(value: Plain) -> Plain:
    """The same here as there, and nothing if it is off."""
    return None if value is False or value == "" else value


def number(value: Plain) -> Plain:
    """A count; one in quotes is one as well."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value) if len(value) < 10 else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None if value is False else value


def flag(value: Plain) -> Plain:
    """True or false; 0 and 1 are that as well."""
    return bool(value) if value in (0, 1) else value


def lasting(unit: timedelta) -> Form:
    """So many of a unit of time."""

    def read(value: Plain) -> Plain:
        count = number(value)
        if isinstance(count, bool) or not isinstance(count, int | float):
            return count
        try:
            return format_duration(count * unit)
        except OverflowError:
            return value

    return read


milliseconds = lasting(timedelta(milliseconds=1))
seconds = lasting(timedelta(seconds=1))


def octets(value: Plain) -> Plain:
    """A number of bytes."""
    count = number(value)
    if isinstance(count, bool) or not isinstance(count, int):
        return count
    return format_size(count)


def host(value: Plain) -> Plain:
    """A host, never with a login; we look up no name in /etc/hosts."""
    if isinstance(value, str):
        value = value.rpartition("@")[2]
    return "127.0.0.1" if value == "localhost" else as_is(value)


def listed(value: Plain) -> list[Plain]:
    """A list, or one value for a list of one."""
    if isinstance(value, list):
        return value
    return [] if is_off(value) else [value]
