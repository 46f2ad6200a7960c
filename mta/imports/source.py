"""What a configuration of several files says, and which of them says it.

Files are merged as ZoneMTA's loader does it: mappings key by key, all else as a
whole, and the later file wins.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mta.imports.report import Where

MAX_DEPTH: Final = 16  # levels; ZoneMTA's options need seven
MAX_VALUES: Final = 50_000  # of one file

# As a file has it. Dates and times of TOML are text here.
Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that is no mapping."""

    value: Plain
    file: str


@dataclass(slots=True)
class Branch:
    """A mapping, to which several files may contribute; ``file`` is the first."""

    file: str
    items: "dict[str, Leaf | Branch]" = field(default_factory=dict)


Node: TypeAlias = Leaf | Branch


def grow(data: Mapping[str, Plain], file: str) -> Branch:
    """Turn what a file says into nodes."""
    items: dict[str, Node] = {
        key: grow(value, file) if isinstance(value, dict) else Leaf(value, file)
        for key, value in data.items()
    }
    return Branch(file, items)


def merge(under: Branch, over: Branch) -> None:
    """Put ``over`` on top of ``under``, which changes."""
    for key, node in over.items.items():
        below = under.items.get(key)
        if isinstance(below, Branch) and isinstance(node, Branch):
            merge(below, node)
        else:
            under.items[key] = node


def overlaps(under: Branch, over: Branch, where: Where) -> Iterator[tuple[Where, str]]:
    """What ``over`` says otherwise: places in ``under``, and the file that wins."""
    for key, below in under.items.items():
        node, place = over.items.get(key), where.at(key)
        if isinstance(below, Branch) and isinstance(node, Branch):
            yield from overlaps(below, node, place)
        elif node is not None and plain(node) != plain(below):
            yield place._replace(file=below.file), node.file


def plain(node: Node) -> Plain:
    """The value of a node without its files."""
    if isinstance(node, Leaf):
        return node.value
    return {key: plain(item) for key, item in node.items.items()}


class Section:
    """A mapping that is read key by key, and knows what nobody has read."""

    def __init__(self, node: Branch, where: Where) -> None:
        self._node = node
        self._left = dict(node.items)
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def where_is(self, key: str) -> Where:
        """The place of a key of this section; the section's own if it is not there."""
        node = self._node.items.get(key)
        place = self.where.at(key)
        return place._replace(file=node.file) if node else place

    def take(self, key: str) -> Plain:
        """The value of a key, which counts as read; None if it is not said."""
        node = self._left.pop(key, None)
        return None if node is None else plain(node)

    def look(self, key: str) -> Plain:
        """The value of a key that has not been read, and stays so."""
        node = self._left.get(key)
        return None if node is None else plain(node)

    def enter(self, key: str) -> "Section | None":
        """The mapping under a key, which counts as read; None if there is none."""
        node = self._left.get(key)
        if not isinstance(node, Branch):
            return None
        del self._left[key]
        return Section(node, self.where_is(key))

    def rest(self) -> Iterator[str]:
        """The keys that nobody has read, in the order of the files."""
        return iter(list(self._left))
