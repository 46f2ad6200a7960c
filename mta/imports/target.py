"""The zones.yaml in the making: values, where they come from, what to know of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from mta.imports.report import Kind, Note, Where
from mta.imports.source import Plain

Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A value of the new file, and a remark beside it."""

    value: Plain
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that stays in the environment; the file has only its name."""

    name: str


Tree: TypeAlias = "dict[str, Said | Variable | Tree]"


@dataclass(slots=True)
class Target:
    """The new file.

    Attributes:
        origins: By path in the new file, what it was made of.
        environ: What the variables that it names are to be; secrets.
        network_interfaces: Those that the machine that sends has to have.
    """

    tree: Tree = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    origins: dict[Path, Where] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict, repr=False)
    network_interfaces: set[str] = field(default_factory=set)

    def put(self, path: Path, value: Plain, where: Where, comment: str = "") -> None:
        """Say a value."""
        self._put(path, Said(value, comment), where)

    def put_secret(self, path: Path, name: str, value: str, where: Where) -> None:
        """Say that a value is in the environment."""
        self._put(path, Variable(name), where)
        self.environ[name] = value
        text = f"set {name} to it; it may hold a secret, and is not in the new file"
        self.note(Kind.ENVIRONMENT, where, text)

    def open(self, path: Path, where: Where) -> None:
        """Have a section, if only an empty one."""
        self.origins.setdefault(path, where)
        self._branch(path)

    def note(self, kind: Kind, where: Where, text: str) -> None:
        """Add something to know."""
        self.notes.append(Note(kind, where, text))

    def get(self, path: Path) -> Plain:
        """The value at a path; None if there is none."""
        said = self._find(path[:-1]).get(path[-1])
        return said.value if isinstance(said, Said) else None

    def arrange(self, path: Path, order: Iterable[str]) -> None:
        """Bring the keys of a section into an order, those that are in it."""
        branch = self._find(path)
        for key in [key for key in order if key in branch]:
            branch[key] = branch.pop(key)

    def origin(self, path: str) -> Where | None:
        """What the value at ``zones.bulk.pool`` was made of, or the part it is in."""
        best: tuple[int, Where] | None = None
        for own, where in self.origins.items():
            shown = ".".join(own)
            inside = path == shown or path.startswith((f"{shown}.", f"{shown}["))
            if inside and (best is None or len(shown) > best[0]):
                best = (len(shown), where)
        return best[1] if best else None

    def _find(self, path: Path) -> Tree:
        """The section at a path; an empty one if there is none."""
        branch = self.tree
        for key in path:
            inner = branch.get(key)
            branch = inner if isinstance(inner, dict) else {}
        return branch

    def _put(self, path: Path, said: Said | Variable, where: Where) -> None:
        self.origins[path] = where
        self._branch(path[:-1])[path[-1]] = said

    def _branch(self, path: Path) -> Tree:
        branch = self.tree
        for key in path:
            inner = branch.setdefault(key, {})
            assert isinstance(inner, dict)  # noqa: S101 - no key is both
            branch = inner
        return branch
