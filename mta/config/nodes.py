"""From YAML to plain data that remembers where each value stood.

Only the nodes are used: nothing is constructed, so no tag can run anything. Words
are read more narrowly than YAML 1.1 does it: ``true`` and ``false`` alone are
booleans, so a pool may be called ``no``; ``010`` and ``1:30`` are text.

What comes in is bounded: bytes, depth, and values, counted after aliases.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

import yaml

from mta.config.document import Data, Document, Mark, Path, Place
from mta.config.wording import shorten, suggest

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 16  # the schema needs five
MAX_VALUES = 50_000

_TAG = "tag:yaml.org,2002:"
_COLLECTIONS = {f"{_TAG}map", f"{_TAG}seq"}
_SCALARS = {
    f"{_TAG}{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
}
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"[-+]?[0-9]{1,15}\.[0-9]{1,15}", re.ASCII)
# "$${" stands for "${".
_VARIABLE = re.compile(r"(\$?)\$\{([^{}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class AnyMark(Protocol):
    """What libyaml and PyYAML's own parser both say of a place, from 0."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


def read_document(file: str, content: bytes, environ: Mapping[str, str]) -> Document:
    """Read YAML; what can be read in spite of a mistake is.

    Args:
        environ: What ``${NAME}`` is replaced from.

    Raises:
        ConfigError: It is not YAML at all, or too large.
    """
    document = Document(file)
    try:
        text = _decode(content)
        _check_shape(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
        if root is not None:
            reader = _Reader(document, environ)
            document.data = reader.read(root, (), _mark(root.start_mark))
    except _Unusable as error:
        document.note_at(error.mark, (), str(error))
    except yaml.reader.ReaderError as error:
        mark = _mark_of_byte(content, error.position)
        document.note_at(mark, (), f"is not YAML: {error.reason}")
    except yaml.MarkedYAMLError as error:
        mark = _mark(error.problem_mark or error.context_mark)
        document.note_at(mark, (), f"is not YAML: {_explain(error, mark, content)}")
    if document.problems and not document.places:
        document.check()
    return document


def _explain(error: yaml.MarkedYAMLError, mark: Mark, content: bytes) -> str:
    """What libyaml says, and what it cannot know of our readers' usual slips."""
    words = error.problem or "it cannot be read"
    if error.context:
        begin = _mark(error.context_mark).line
        words += f", {error.context}"
        words += f" that begins in line {begin}" if 0 < begin < mark.line else ""
    line = b"".join(content.split(b"\n")[mark.line - 1 : mark.line])
    if b"\t" in line[: mark.column]:
        words += "; a tab does not indent, only blanks do"
    elif b"${" in line:
        words += '; within braces write "${NAME}" in quotes'
    return words


class _Unusable(Exception):
    """There is no point in reading on."""

    def __init__(self, mark: Mark, message: str) -> None:
        self.mark = mark
        super().__init__(message)


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _Unusable(Mark(0, 0), f"is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _mark_of_byte(content, error.start)
        raise _Unusable(mark, "is not UTF-8 text") from None


def _check_shape(text: str) -> None:
    """Count before anything is built: libyaml's events come one by one."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        _check_bounds(depth, count, event.start_mark)


def _check_bounds(depth: int, count: int, mark: AnyMark | None) -> None:
    if depth > MAX_DEPTH:
        raise _Unusable(_mark(mark), f"is nested more than {MAX_DEPTH} levels deep")
    # An event for each value, a second one where a collection ends.
    if count > 2 * MAX_VALUES:
        raise _Unusable(_mark(mark), f"has more than {MAX_VALUES} values")


class _Reader:
    """Walks the nodes once, aliases as often as they stand there."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._count = 0

    def read(self, node: yaml.Node, path: Path, key: Mark) -> Data:
        """Turn a node into data, and remember its place."""
        mark = _mark(node.start_mark)
        self._count += 1
        _check_bounds(len(path), self._count, node.start_mark)
        self._document.places[path] = Place(key, mark, _text_of(node))
        known = _SCALARS if isinstance(node, yaml.ScalarNode) else _COLLECTIONS
        if node.tag not in known:
            self._leave_out(path, f"the tag {shorten(node.tag)} means nothing here")
        elif isinstance(node, yaml.MappingNode):
            return dict(self._entries(node, path))
        elif isinstance(node, yaml.SequenceNode):
            return tuple(self._items(node, path))
        elif isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return None

    def _entries(
        self, node: yaml.MappingNode, path: Path
    ) -> Iterator[tuple[str, Data]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.note_at(mark, path, "a key must be plain text")
                continue
            key = key_node.value
            inner = (*path, key)
            if key in seen:
                message = f"is there twice, first in line {seen[key]}"
                self._document.note_at(mark, inner, message)
                continue
            seen[key] = mark.line
            value = self.read(value_node, inner, mark)
            if not self._document.is_left_out(inner):
                yield key, value

    def _items(self, node: yaml.SequenceNode, path: Path) -> Iterator[Data]:
        for index, item in enumerate(node.value):
            inner = (*path, index)
            value = self.read(item, inner, _mark(item.start_mark))
            if self._document.is_left_out(inner):
                # The list as a whole is not what was meant.
                self._document.leave_out(path)
            yield value

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Data:
        text = _VARIABLE.sub(lambda match: self._variable(match, path), node.value)
        is_plain = node.style not in ("'", '"', "|", ">")
        if not is_plain or (node.tag == f"{_TAG}str" and text == node.value):
            return text
        return _understand(text)

    def _variable(self, match: re.Match[str], path: Path) -> str:
        name = match[2]
        if match[1]:
            return match[0][1:]
        if not _VARIABLE_NAME.fullmatch(name):
            self._leave_out(path, f"{shorten(match[0])} does not name a variable")
        elif name not in self._environ:
            hint = suggest(name, self._environ) or "to mean the text, write $${...}"
            message = f"the environment has no {shorten(name)}; {hint}"
            self._leave_out(path, message)
        return self._environ.get(name, "")

    def _leave_out(self, path: Path, message: str) -> None:
        self._document.note(path, message)
        self._document.leave_out(path)


def _understand(text: str) -> str | int | float | bool | None:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _text_of(node: yaml.Node) -> str | None:
    return node.value if isinstance(node, yaml.ScalarNode) else None


def _mark(mark: AnyMark | None) -> Mark:
    return Mark(0, 0) if mark is None else Mark(mark.line + 1, mark.column + 1)


def _mark_of_byte(content: bytes, position: int) -> Mark:
    before = content[:position]
    line_start = before.rfind(b"\n") + 1
    column = len(before[line_start:].decode("utf-8", "replace"))
    return Mark(before.count(b"\n") + 1, column + 1)
