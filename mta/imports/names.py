"""Names of zones, interfaces and pools, which have fewer characters here."""

import re
from collections.abc import Iterable
from typing import Final

from mta.config.sections import MAX_NAME_CHARS

_RESERVED: Final = frozenset({"maintenance", "api"})  # of workers, and of doors
_OTHERS = re.compile(r"[^a-z0-9_-]+")


def rename(names: Iterable[str]) -> dict[str, str]:
    """Find for each name one that we take; those that we do keep theirs."""
    names = list(names)
    ours = {name: name for name in names if name == _allowed(name)}
    taken = set(ours)
    for name in names:
        if name not in ours:
            ours[name] = unused(_allowed(name), taken)
            taken.add(ours[name])
    return ours


def unused(name: str, taken: Iterable[str]) -> str:
    """The name, with a number if there is such a one already."""
    others = set(taken)
    candidate, number = name, 1
    while candidate in others:
        number += 1
        ending = f"-{number}"
        candidate = name[: MAX_NAME_CHARS - len(ending)] + ending
    return candidate


def _allowed(name: str) -> str:
    short = _OTHERS.sub("-", name.lower())[:MAX_NAME_CHARS].strip("-") or "unnamed"
    return f"{short}-zone" if short in _RESERVED else short
