"""Reading a configuration folder of ZoneMTA, which is a tree of included files.

JavaScript would have to be run, and is not. Paths of includes are relative to the
file that has them; ``{env}`` in one is NODE_ENV. All is bounded.
"""

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from mta.config.wording import shorten
from mta.imports.formats import MAX_BYTES, SUFFIXES, fail, included, parse_file
from mta.imports.report import Kind, Note, Where
from mta.imports.source import Branch, Leaf, grow, merge, overlaps

MAX_FILES: Final = 1000
MAX_OCTETS: Final = 8 * MAX_BYTES  # of all of them
MAX_SHOWN: Final = 50  # of those that are not read
MAX_LEVELS: Final = 10  # of files that include files

_NO_ENV = re.compile(r"[^0-9a-z_-]")  # what the loader drops of NODE_ENV
Identity: TypeAlias = tuple[int, int]

_CODE: Final = (".js", ".cjs", ".mjs")
_NO_CODE = (
    "JavaScript is not run; write what it says as JSON beside it: "
    "node -p 'JSON.stringify(require(\"./{name}\"))' > {stem}.json"
)


@dataclass(slots=True)
class Found:
    """What a folder says.

    Attributes:
        files: Those that were read, in this order.
        notes: On those that were not, and on what two of them say.
    """

    root: Branch
    files: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def read_folder(place: Path, node_env: str) -> Found:
    """Read ``default.*``, ``NODE_ENV.*``, ``local.*``, and then the main file.

    Args:
        place: The folder, where the main file is ``zonemta.*``, if there is one; or
            the main file itself.
        node_env: What NODE_ENV is where ZoneMTA runs.

    Raises:
        ConfigError: A file cannot be read, with its line; or there is none.
    """
    folder = place if place.is_dir() else place.parent
    node_env = _NO_ENV.sub("", node_env.lower()) or "development"
    stems = ["default", node_env, "local"]
    paths = [folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
    paths += [folder / f"zonemta{suffix}" for suffix in SUFFIXES]
    paths = [path for path in dict.fromkeys(paths) if path.exists()]
    if not place.is_dir():
        paths = [path for path in paths if path.stem != "zonemta" and path != place]
        paths.append(place)
    reader = _Reader(folder, node_env)
    try:
        for path in paths:
            merge(reader.found.root, reader.read(path, ()))
        reader.look_for_others()
    except OSError as error:
        fail(str(error.filename), 0, 0, f"cannot be read: {error.strerror}")
    if not reader.found.files:
        code = [str(note) for note in reader.found.notes if note.text[:4] == "Java"]
        hint = f"; {code[0]}" if code else ""
        fail(str(folder), 0, 0, f"has no default.toml, zonemta.toml or the like{hint}")
    return reader.found


class _Reader:
    def __init__(self, folder: Path, node_env: str) -> None:
        self._folder = folder
        self._env = node_env
        self._read: set[Path] = set()
        self._count = 0
        self._octets = 0
        self.found = Found(Branch(str(folder)))

    def read(self, path: Path, above: tuple[Identity, ...]) -> Branch:
        """Read a file and what it includes.

        Args:
            above: The files that include it, from the outermost on.
        """
        self._count += 1
        if self._count > MAX_FILES:
            fail(str(path), 0, 0, f"is one of more than {MAX_FILES} files")
        name = self._name(path)
        if name not in self.found.files:
            self.found.files.append(name)
        self._read.add(path)
        content = _content(path)
        self._octets += len(content)
        if self._octets > MAX_OCTETS:
            fail(str(path), 0, 0, f"makes more than {MAX_OCTETS} bytes of all files")
        branch = grow(parse_file(str(path), content), name)
        self._include(branch, path, (*above, _identify(path)))
        return branch

    def look_for_others(self) -> None:
        """Note the files in the folder that nothing has read."""
        others = sorted(path for path in self._others() if path not in self._read)
        for path in others[:MAX_SHOWN]:
            if path.suffix in _CODE:
                text = _NO_CODE.format(name=path.name, stem=path.stem)
            else:
                text = f"no file includes it, and NODE_ENV is {self._env} (--env)"
            self._not_read(self._name(path), text)
        if len(others) > MAX_SHOWN:
            self._not_read(str(self._folder), f"{len(others)} files are not read")

    def _not_read(self, file: str, text: str) -> None:
        self.found.notes.append(Note(Kind.NOT_READ, Where(file, ""), text))

    def _others(self) -> Iterator[Path]:
        """Files of the folder, of those in it, and of those that others are from."""
        inner = (path for path in self._folder.iterdir() if path.is_dir())
        folders = {self._folder, *inner, *(path.parent for path in self._read)}
        for folder in sorted(folders):
            if folder.name == "node_modules" or folder.name.startswith("."):
                continue
            for path in islice(folder.iterdir(), MAX_FILES):
                if path.suffix in SUFFIXES + _CODE and path.is_file():
                    yield path

    def _include(self, branch: Branch, path: Path, above: tuple[Identity, ...]) -> None:
        """Put what is included in place of its mark, below what the file says."""
        below = Branch(branch.file)
        for key in list(branch.items):
            item = branch.items[key]
            line = included(key)
            if line and isinstance(item, Leaf):
                del branch.items[key]
                for inner in self._matches(path, line, str(item.value)):
                    self._check_level(inner, above, path, line)
                    merge(below, self.read(inner, above))
            elif isinstance(item, Branch):
                self._include(item, path, above)
        for where, taken in overlaps(below, branch, Where(branch.file, "")):
            text = f"{taken} says something else, and was taken; see what ZoneMTA takes"
            self.found.notes.append(Note(Kind.DIFFERS, where, text))
        merge(below, branch)
        branch.items = below.items

    def _check_level(
        self, inner: Path, above: tuple[Identity, ...], path: Path, line: int
    ) -> None:
        if _identify(inner) in above:
            message = f"includes {self._name(inner)}, by which it is included itself"
            fail(str(path), line, 1, message)
        if len(above) > MAX_LEVELS:
            fail(str(path), line, 1, f"is more than {MAX_LEVELS} includes deep")

    def _matches(self, path: Path, line: int, pattern: str) -> list[Path]:
        """The files of an include; several in the order of their names."""
        pattern = re.sub(r"\{env\}", lambda _: self._env, pattern, flags=re.IGNORECASE)
        if "\0" in pattern:
            fail(str(path), line, 1, "includes what cannot be a file's name")
        folder = path.parent
        if set("*?[") & set(pattern):
            # Not recursive: "**" is "*", and no whole disk is searched.
            found = glob.iglob(pattern, root_dir=folder)  # noqa: PTH207 - may be absolute
            names = islice(found, MAX_FILES + 1)
            return sorted(folder / name for name in names)
        if not (folder / pattern).exists():
            fail(str(path), line, 1, f"includes {shorten(pattern)}, which is not there")
        return [folder / pattern]

    def _name(self, path: Path) -> str:
        """The path as it is shown: from the folder on, if it is in there."""
        if path.is_relative_to(self._folder):
            return str(path.relative_to(self._folder))
        return str(path)


def _content(path: Path) -> bytes:
    """Read the file, or as much of it as shows that it is too large."""
    if path.suffix not in SUFFIXES:
        fail(
            str(path), 0, 0, f"is not one of {', '.join(SUFFIXES)}, and cannot be read"
        )
    # Neither a device nor a pipe: they may have no end.
    if not path.is_file():
        fail(str(path), 0, 0, "is no file")
    with path.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)


def _identify(path: Path) -> Identity:
    """Tell a file from others, whatever they are called."""
    status = path.stat()
    return status.st_dev, status.st_ino
