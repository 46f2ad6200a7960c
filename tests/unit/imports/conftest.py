"""A configuration of ZoneMTA as text, and what becomes of it."""

import textwrap
from pathlib import Path

import pytest

from mta.imports.formats import parse_file
from mta.imports.source import grow
from mta.imports.target import Said, Variable
from mta.imports.zone_mta import translate

FOLDER = Path(__file__).parent / "zone-mta"


class Imported:
    """What was made of a text.

    Attributes:
        values: By dotted paths in the new file.
        comments: Likewise, where there are any.
    """

    def __init__(self, target):
        self.target = target
        self.values = {}
        self.comments = {}
        self._walk((), target.tree)

    def notes(self, kind):
        """The keys under a heading of the report, each with its text."""
        return {n.where.key: n.text for n in self.target.notes if n.kind is kind}

    def _walk(self, path, tree):
        for key, item in tree.items():
            inner = (*path, key)
            if isinstance(item, Said):
                self.values[".".join(inner)] = item.value
                if item.comment:
                    self.comments[".".join(inner)] = item.comment
            elif isinstance(item, Variable):
                self.values[".".join(inner)] = f"${{{item.name}}}"
            else:
                self._walk(inner, item)


@pytest.fixture
def imported():
    """Import TOML."""

    def imported(text):
        content = textwrap.dedent(text).encode()
        return Imported(translate(grow(parse_file("a.toml", content), "a.toml")))

    return imported


@pytest.fixture
def folder(tmp_path):
    """Write files, by their paths, into a folder."""

    def folder(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return tmp_path

    return folder
