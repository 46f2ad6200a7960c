"""A tree of values as YAML: the same text for the same tree, in the order it has."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from mta.imports.source import Plain
from mta.imports.target import Said, Tree, Variable

WIDTH: Final = 88  # characters of a line, where that can be had

_BLANKS: Final = "  "
# What means the same without quotes, within brackets as well; see _quoted.
_BARE = re.compile(r"[A-Za-z0-9_/](?:[A-Za-z0-9_./+-]| (?=[A-Za-z0-9]))*", re.ASCII)
_VARIABLE = re.compile(r"\$\{[^{}]*\}")  # as our loader finds them, in values alone
_NUMBER = re.compile(r"[0-9][0-9._+eE-]*", re.ASCII)
_WORDS: Final = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))


def write_yaml(tree: Tree, heading: str) -> str:
    """Write a file; the heading becomes a comment."""
    lines = [f"# {line}" for line in heading.splitlines()]
    for key, item in tree.items():
        lines += ["", *_entry(key, item, "")]
    return "\n".join(lines) + "\n"


def _entry(key: str, item: "Said | Variable | Tree", indent: str) -> Iterator[str]:
    name = f"{indent}{_text(key)}:"
    if isinstance(item, Variable):
        yield f'{name} "${{{item.name}}}"'
    elif isinstance(item, Said):
        yield from _said(name, item, indent)
    elif not item:
        yield f"{name} {{}}"
    else:
        yield name
        for inner_key, inner in item.items():
            yield from _entry(inner_key, inner, indent + _BLANKS)


def _said(name: str, item: Said, indent: str) -> Iterator[str]:
    comment = "".join(c if c.isprintable() else "?" for c in item.comment)
    line = f"{name} {_flow(item.value)}"
    is_list = isinstance(item.value, list) and item.value
    if is_list and (len(line) > WIDTH or _has_mappings(item.value)):
        if comment:
            yield f"{indent}# {comment}"
        yield name
        assert isinstance(item.value, list)  # noqa: S101 - as is_list says
        for entry in item.value:
            yield f"{indent}{_BLANKS}- {_flow(entry)}"
    else:
        yield f"{line}  # {comment}" if comment else line


def _has_mappings(value: Plain) -> bool:
    return isinstance(value, list) and any(isinstance(entry, dict) for entry in value)


def _flow(value: Plain) -> str:
    if isinstance(value, dict):
        pairs = (f"{_text(key)}: {_flow(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return _scalar(value)


def _scalar(value: str | int | float | bool | None) -> str:
    """Write a value; what looks like ``${NAME}`` in it stands for itself."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")  # our loader knows no exponents
    if isinstance(value, int):
        return str(value)
    return _text(_VARIABLE.sub(r"$\g<0>", value))


def _text(text: str) -> str:
    """Write a key, or a value: in quotes, if it would mean something else without."""
    is_other = _NUMBER.fullmatch(text) and text.count(".") != 3
    if _BARE.fullmatch(text) and not is_other and text.lower() not in _WORDS:
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"
