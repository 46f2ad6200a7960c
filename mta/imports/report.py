"""What the operator has to know about an import: where it was said, and what of it.

A report names keys, never the values of what may be a secret.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple


class Where(NamedTuple):
    """A place in the other system's configuration."""

    file: str
    key: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}" if self.key else self.file

    def at(self, key: str | int) -> "Where":
        """A place below this one."""
        if isinstance(key, int):
            return self._replace(key=f"{self.key}[{key}]")
        shown = f'"{key}"' if "." in key or "/" in key else key
        return self._replace(key=f"{self.key}.{shown}" if self.key else shown)


class Kind(Enum):
    """What has become of a key; the values are headings, in the report's order."""

    REFUSED = "To be corrected in the new file, which does not load"
    ENVIRONMENT = "Set in the environment"
    BY_HAND = "To be done by hand"
    DIFFERS = "Carried over, but not the same"
    LEFT_OUT = "Not carried over"
    SAME = "As it is here without being said"
    NO_EFFECT = "Left out: it had no effect there either"
    UNKNOWN = "Left out: not known as an option"
    NOT_READ = "Not read"


class Note(NamedTuple):
    """One thing to know."""

    kind: Kind
    where: Where
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.text else str(self.where)


def format_report(summary: str, notes: Sequence[Note]) -> str:
    """Write the notes under their headings, each as often as it was made: once."""
    lines = [summary]
    for kind in Kind:
        texts = dict.fromkeys(str(note) for note in notes if note.kind is kind)
        if texts:
            lines += ["", f"{kind.value}:", *_indent(texts)]
    return "\n".join(lines) + "\n"


def _indent(texts: Iterable[str]) -> list[str]:
    return [f"  {text}" for text in texts]
