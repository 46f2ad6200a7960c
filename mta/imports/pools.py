"""Pools of addresses, and what they share among themselves."""

import math
from typing import Final, TypeAlias

from mta.config.values import parse_address
from mta.imports.names import rename, unused
from mta.imports.report import Kind, Where
from mta.imports.rules import as_is, is_off, listed
from mta.imports.source import Plain, Section
from mta.imports.target import Target

Entry: TypeAlias = dict[str, Plain]

_ALL_OF_IT: Final = 1 - 1e-9  # floats that add up to one may fall short by a hair
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - it is left out
_KEYS: Final = ("address", "name", "ratio")
_ZERO = (
    "a ratio of 0 is no ratio for ZoneMTA; it was left out, since here it means that "
    "the address is never used"
)
_TOO_MUCH = (
    "the ratios leave nothing for addresses without one, which ZoneMTA does not use "
    "then; they have the ratio 0"
)


class Pools:
    """The pools of the new file, by the names of the old one."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._ours: dict[str, str] = {}
        self._known: set[str] = set()
        self._own: set[str] = set()  # ours, of one zone each

    def read(self, section: Section | None) -> None:
        """Take over all pools."""
        if section is None:
            return
        ours = rename(section.rest())
        for name in section.rest():
            where = section.where_is(name)
            if ours[name] != name:
                text = f"is called {ours[name]} here"
                self._target.note(Kind.DIFFERS, where, text)
            self._known.add(name)
            if self.add(ours[name], section.take(name), where):
                self._ours[name] = ours[name]

    def add(self, name: str, value: Plain, where: Where) -> bool:
        """Take over one; False: it says no more than that the system chooses."""
        entries = [
            self._entry(entry, where.at(index))
            for index, entry in enumerate(listed(value))
        ]
        good = _first_of_each([entry for entry in entries if entry])
        if not good:
            text = "has no address; the system chooses one, as with ZoneMTA"
            self._target.note(Kind.DIFFERS, where, text)
            return False
        if _share(good):
            self._target.note(Kind.DIFFERS, where, _TOO_MUCH)
        shown: list[Plain] = [
            entry["address"] if len(entry) == 1 else entry for entry in good
        ]
        self._target.put(("pools", name), shown, where)
        return True

    def find(self, value: Plain, zone: str, where: Where) -> str | None:
        """The pool of a zone, which is a name, or has its addresses right there."""
        if isinstance(value, str) and value in self._known:
            if value not in self._ours:
                text = "the pool has no address; the system chooses one"
                self._target.note(Kind.DIFFERS, where, text)
            return self._ours.get(value)
        if isinstance(value, str) and _family(value) is None:
            text = "there is no such pool; the system chooses the address"
            self._target.note(Kind.DIFFERS, where, text)
            return None
        name = self._name_for(zone)
        self._own.add(name)
        return name if self.add(name, value, where) else None

    def with_interface(
        self, pool: str | None, nic: Plain, zone: str, where: Where
    ) -> str:
        """A pool of the zone's own: another one, and what a network interface has."""
        others = self._target.get(("pools", pool)) if pool else None
        name = pool if pool and pool in self._own else self._name_for(zone)
        entries = [*listed(others), {"interface": nic}]
        self._target.put(("pools", name), entries, where)
        self._target.network_interfaces.add(str(nic))
        text = f"every machine that sends must have it; it is in the pool {name}"
        self._target.note(Kind.DIFFERS, where, text)
        return name

    def _name_for(self, zone: str) -> str:
        taken = self._target.tree.get("pools")
        return unused(zone, taken if isinstance(taken, dict) else ())

    def _entry(self, value: Plain, where: Where) -> Entry:
        """An address as we say it; empty if it is none in particular."""
        entry = value if isinstance(value, dict) else {"address": value}
        for key in entry:
            if key not in _KEYS:
                self._target.note(Kind.UNKNOWN, where.at(key), "")
        if entry.get("address") in _ANY:
            text = "it is no address; without one, the system chooses"
            self._target.note(Kind.LEFT_OUT, where, text)
            return {}
        if is_off(entry.get("address")):
            self._target.note(Kind.NO_EFFECT, where, "it has no address")
            return {}
        ours: Entry = {"address": entry["address"]}
        if name := as_is(entry.get("name")):
            ours["name"] = name
        ratio = _ratio(entry.get("ratio"))
        if ratio == 0:
            self._target.note(Kind.DIFFERS, where.at("ratio"), _ZERO)
        elif ratio is not None:
            ours["ratio"] = ratio
        return ours


def _ratio(value: Plain) -> Plain:
    """A share of 1; what is beyond that, ZoneMTA cuts off."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None if value is False else value
    return str(value) if math.isnan(value) else min(max(value, 0), 1)


def _first_of_each(entries: list[Entry]) -> list[Entry]:
    """Of entries for one address, the first; in their order."""
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(str(entry["address"]), entry)
    return list(first.values())


def _share(pool: list[Entry]) -> bool:
    """Where ratios leave nothing for addresses without one, say so of these."""
    has_changed = False
    for family in (4, 6):
        members = [entry for entry in pool if _family(entry["address"]) == family]
        plain = [entry for entry in members if "ratio" not in entry]
        given = [entry.get("ratio") for entry in members]
        total = sum(ratio for ratio in given if isinstance(ratio, int | float))
        if plain and total > _ALL_OF_IT:
            has_changed = True
            for entry in plain:
                entry["ratio"] = 0
    return has_changed


def _family(value: Plain) -> int | None:
    try:
        return parse_address(str(value)).version
    except ValueError:
        return None
