"""What a file says, where each value of it stood, and what is wrong with it.

Problems are gathered here from all who look at the file, and raised together.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from mta.config.wording import MAX_SHOWN, shorten
from mta.errors import ConfigError, Problem

MAX_PROBLEMS = 100  # nobody reads more; the rest is counted

Path: TypeAlias = tuple[str | int, ...]
Data: TypeAlias = "str | int | float | bool | tuple[Data, ...] | dict[str, Data] | None"


class Mark(NamedTuple):
    """A place in the file, from 1."""

    line: int
    column: int


class Place(NamedTuple):
    """Where a key and its value stand; ``text`` is a scalar as the file has it.

    As the file has it, not as it was understood: what came from the environment
    may be a secret.
    """

    key: Mark
    value: Mark
    text: str | None


@dataclass(slots=True)
class Document:
    """What a file says, and what is wrong with it so far.

    Attributes:
        left_out: By path, the keys whose value is not in ``data`` although the
            file has one: it could not be read, and a Problem says so.
    """

    file: str
    data: Data = None
    places: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    left_out: dict[Path, set[str | int]] = field(default_factory=dict)
    untold: int = 0

    @property
    def is_full(self) -> bool:
        """More problems will only be counted."""
        return len(self.problems) >= MAX_PROBLEMS

    def note(self, path: Path, message: str) -> None:
        """Add a problem with the value at ``path``."""
        self.note_at(self.place(path).value, path, message)

    def note_key(self, path: Path, message: str) -> None:
        """Add a problem with the key at the end of ``path``."""
        self.note_at(self.place(path).key, path, message)

    def note_at(self, mark: Mark, path: Path, message: str) -> None:
        """Add a problem at a place."""
        if self.is_full:
            self.untold += 1
            return
        self.problems.append(Problem(self.file, *mark, format_path(path), message))

    def leave_out(self, path: Path) -> None:
        """Remember that the value at ``path`` could not be read."""
        self.left_out.setdefault(path[:-1], set()).add(path[-1] if path else "")

    def is_left_out(self, path: Path) -> bool:
        """The file has a value at ``path``, but it could not be read."""
        return bool(path) and path[-1] in self.left_out.get(path[:-1], ())

    def quote(self, path: Path) -> str:
        """The value at ``path`` as the file has it, to begin a message with."""
        text = self.place(path).text
        return "this" if text is None or path not in self.places else shorten(text)

    def check(self) -> None:
        """Stop here if something is wrong.

        Raises:
            ConfigError: With every problem, in the order of the file.
        """
        if not self.problems:
            return
        problems = sorted(self.problems, key=lambda p: (p.line, p.column))
        if self.untold:
            message = f"{self.untold} more problems are not shown"
            problems.append(Problem(self.file, 0, 0, "file", message))
        raise ConfigError(problems)

    def place(self, path: Path) -> Place:
        """The nearest place that is in the file."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path) or Place(Mark(0, 0), Mark(0, 0), None)


def format_path(path: Path) -> str:
    """Write ``zones.bulk.defer_times[2]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = (
                part if part.isprintable() and len(part) <= MAX_SHOWN else shorten(part)
            )
            text += f".{shown}" if text else shown
    return text or "file"
