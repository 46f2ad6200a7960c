"""One file's bytes as plain data: TOML, JSON or YAML, by its suffix.

In TOML a comment ``# @include "zones/*.toml"`` becomes a key, which has the level
where it stands: see `included`.
"""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from mta.config.nodes import read_document
from mta.config.wording import shorten
from mta.errors import ConfigError, Problem
from mta.imports.source import MAX_DEPTH, MAX_VALUES, Plain

MAX_BYTES: Final = 1024 * 1024
MAX_PARTS: Final = 64  # of a key or a name, with dots between them
SUFFIXES: Final = (".toml", ".json", ".yaml", ".yml")

_INCLUDE = re.compile(r"[ \t]*#[ \t]*@include[ \t]+(\S.*?)[ \t]*\r?", re.ASCII)
_BETWEEN = re.compile(r"[,=\[\]{}]")
_MARK = re.compile(r"@include of line ([0-9]{1,7})", re.ASCII)
_TOML_PLACE = re.compile(r" \(at line ([0-9]+), column ([0-9]+)\)$", re.ASCII)


def parse_file(file: str, content: bytes) -> dict[str, Plain]:
    """Read a file of any of the suffixes.

    Raises:
        ConfigError: It cannot be read, or is larger or deeper than any of ours.
    """
    if len(content) > MAX_BYTES:
        fail(file, 0, 0, f"is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        fail(file, line, 1, "is not UTF-8 text")
    data = _parse(file, text)
    if not isinstance(data, dict):
        fail(file, 1, 1, "is not a mapping")
    _check(file, data)
    return {key: _plain(value) for key, value in data.items()}


def included(key: str) -> int | None:
    """The line of the include that a key stands for; None if it is a key."""
    match = _MARK.fullmatch(key)
    return int(match[1]) if match else None


def fail(file: str, line: int, column: int, message: str) -> NoReturn:
    """Stop: the file is of no use.

    Raises:
        ConfigError: Always.
    """
    raise ConfigError([Problem(file, line, column, "file", message)])


def _parse(file: str, text: str) -> object:
    try:
        if file.endswith(".toml"):
            _check_keys(file, text)
            return tomllib.loads(_mark_includes(text))
        if file.endswith(".json"):
            return json.loads(text, parse_constant=_no_number)
        return _read_yaml(file, text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        words = _TOML_PLACE.sub("", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (0, 0)
        fail(file, line, column, f"is not TOML: {words}")
    except json.JSONDecodeError as error:
        fail(file, error.lineno, error.colno, f"is not JSON: {error.msg}")
    except RecursionError:
        fail(file, 0, 0, f"is nested more than {MAX_DEPTH} levels deep")
    except ValueError as error:
        fail(file, 0, 0, f"has a number that cannot be read: {error}")


def _check_keys(file: str, text: str) -> None:
    """See that no key has very many parts: tomllib takes the square of their number."""
    for number, line in enumerate(text.split("\n"), 1):
        for token in _BETWEEN.split(line) if line.count(".") > MAX_PARTS else ():
            if token.count(".") > MAX_PARTS and not token.lstrip().startswith("#"):
                fail(file, number, 1, f"has a key of more than {MAX_PARTS} parts")


def _mark_includes(text: str) -> str:
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        match = _INCLUDE.fullmatch(line)
        if match:
            path = json.dumps(match[1].strip("\"'"))
            lines[number - 1] = f'"@include of line {number}" = {path}'
    return "\n".join(lines)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


class _AsItIs(Mapping[str, str]):
    """Variables that stand for themselves: ``${NAME}`` means nothing in ZoneMTA."""

    def __getitem__(self, name: str) -> str:
        return f"${{{name}}}"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _read_yaml(file: str, text: str) -> object:
    document = read_document(file, text.encode("utf-8", "surrogatepass"), _AsItIs())
    document.check()
    return {} if document.data is None else document.data


def _check(file: str, data: object) -> None:
    """See that it is not too deep or too much, and text all through."""
    left: list[tuple[object, int]] = [(data, 0)]
    count = 0
    while left:
        value, depth = left.pop()
        count += 1
        if depth > MAX_DEPTH:
            fail(file, 0, 0, f"is nested more than {MAX_DEPTH} levels deep")
        if count > MAX_VALUES:
            fail(file, 0, 0, f"has more than {MAX_VALUES} values")
        if isinstance(value, dict):
            left += [(part, depth + 1) for item in value.items() for part in item]
        elif isinstance(value, list | tuple):
            left += [(item, depth + 1) for item in value]
            _check_list(file, value)
        elif isinstance(value, str):
            _check_text(file, value)


def _check_list(file: str, items: list[object] | tuple[object, ...]) -> None:
    for item in items:
        for key in item if isinstance(item, dict) else ():
            if line := included(key):
                fail(
                    file, line, 1, "includes a file in a list, which is not understood"
                )


def _check_text(file: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        fail(file, 0, 0, f"has {shorten(text)}, which is not Unicode text")


def _plain(value: Any) -> Plain:
    """Lists are lists, and what only TOML has is text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)
