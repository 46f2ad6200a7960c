"""A folder of files that include each other."""

import os

import pytest

from mta.errors import ConfigError
from mta.imports import files
from mta.imports.files import read_folder
from mta.imports.report import Kind
from mta.imports.source import plain


def read(place, node_env="production"):
    return plain(read_folder(place, node_env).root)


def problem(place, node_env="production"):
    with pytest.raises(ConfigError) as caught:
        read_folder(place, node_env)
    return str(caught.value)


def test_later_files_win_key_by_key(folder):
    """Those of default, NODE_ENV, local, and then the main file."""
    place = folder(
        {
            "default.toml": "[api]\nport = 1\nhost = 'a'\n[x]\nd = 1",
            "production.json": '{"api": {"port": 2}, "x": {"p": 1}}',
            "local.yaml": "api: {port: 3}\nx: {l: 1}",
            "zonemta.toml": "[api]\nport = 4",
            "test.toml": "[api]\nport = 5",
        }
    )

    assert read(place) == {
        "api": {"port": 4, "host": "a"},
        "x": {"d": 1, "p": 1, "l": 1},
    }


def test_a_file_may_be_named_instead_of_the_folder(folder):
    """It comes last, in place of ``zonemta.toml``."""
    place = folder(
        {"default.toml": "a = 1\nb = 1", "zonemta.toml": "c = 1", "other.toml": "b = 2"}
    )

    assert read(place / "other.toml") == {"a": 1, "b": 2}


def test_a_list_is_replaced_as_a_whole(folder):
    """Only mappings are merged."""
    place = folder({"default.toml": "x = [1, 2]", "local.toml": "x = [3]"})

    assert read(place) == {"x": [3]}


def test_an_include_stands_at_its_level(folder):
    """Below the header of a section it is what the section says."""
    place = folder(
        {
            "zonemta.toml": """
            # @include "top.toml"
            [zones]
              # @include "zones/*.toml"
            [pools]
            # @include 'pools-{ENV}.toml'
        """,
            "top.toml": "name = 'x'",
            "zones/a.toml": "[a]\nport = 1",
            "zones/b.toml": "[b]\nport = 2",
        }
    )
    (place / "pools-production.toml").write_text("p = ['192.0.2.1']")

    assert read(place) == {
        "name": "x",
        "zones": {"a": {"port": 1}, "b": {"port": 2}},
        "pools": {"p": ["192.0.2.1"]},
    }


def test_paths_are_relative_to_the_file(folder):
    """Also those in a file that was included."""
    place = folder(
        {
            "zonemta.toml": '# @include "sub/a.toml"',
            "sub/a.toml": '# @include "b.toml"',
            "sub/b.toml": "x = 1",
        }
    )

    assert read(place) == {"x": 1}


def test_a_value_said_twice_is_told(folder):
    """Of an include and the file that has it, the latter is taken."""
    place = folder(
        {
            "zonemta.toml": '[a]\n# @include "a.toml"\nx = 1\ny = 1',
            "a.toml": "x = 2\ny = 1",
        }
    )

    found = read_folder(place, "production")

    assert plain(found.root) == {"a": {"x": 1, "y": 1}}
    assert [str(note.where) for note in found.notes] == ["a.toml: x"]


def test_a_pattern_may_find_nothing(folder):
    """As with a folder for what there may be one day."""
    assert read(folder({"zonemta.toml": 'x = 1\n# @include "zones/*.toml"'})) == {
        "x": 1
    }


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (
            {"zonemta.toml": 'x = 1\n# @include "no.toml"'},
            ":2:1: file: includes 'no.toml', ",
        ),
        (
            {"zonemta.toml": '# @include "zonemta.toml"'},
            ":1:1: file: includes zonemta.toml,",
        ),
        ({"zonemta.toml": 'x = [\n{a = 1},\n# @include "b"\n]'}, ":3:"),
        (
            {"zonemta.toml": '[[x]]\n# @include "b.toml"'},
            ":2:1: file: includes a file in a",
        ),
        ({"zonemta.toml": '# @include "a.txt"', "a.txt": "x"}, "is not one of"),
        ({"readme.md": "x"}, "has no default.toml"),
        ({"default.js": "module.exports = {}"}, "node -p 'JSON.stringify"),
    ],
    ids=["missing", "itself", "in an array", "in a list", "text", "none", "JavaScript"],
)
def test_what_cannot_be_read_is_named(folder, others, message):
    """With the line, if it is an include."""
    assert message in problem(folder(others))


def test_a_circle_of_includes_is_found(folder):
    """And not followed."""
    place = folder(
        {
            "zonemta.toml": '# @include "a.toml"',
            "a.toml": '# @include "b.toml"',
            "b.toml": '\n# @include "a.toml"',
        }
    )

    assert "b.toml:2:1: file: includes a.toml, by which it is" in problem(place)


def test_includes_have_an_end(folder, monkeypatch):
    """In depth, and in number."""
    chain = {f"f{n}.toml": f'# @include "f{n + 1}.toml"' for n in range(20)}
    place = folder({"default.toml": '# @include "f0.toml"', "f20.toml": "", **chain})

    assert "includes deep" in problem(place)

    monkeypatch.setattr(files, "MAX_OCTETS", 50)

    assert "more than 50 bytes of all" in problem(place)

    monkeypatch.setattr(files, "MAX_FILES", 2)

    assert "more than 2 files" in problem(place)


def test_a_pipe_is_not_waited_for(folder):
    """Nor read: it may have no end."""
    place = folder({"zonemta.toml": '# @include "pipe.toml"'})
    os.mkfifo(place / "pipe.toml")

    assert "pipe.toml: file: is no file" in problem(place)


@pytest.mark.parametrize("name", ["x" * 5000 + ".toml", "loop.toml"])
def test_what_the_system_refuses_is_named(folder, name):
    """Whatever its reason is."""
    place = folder({"zonemta.toml": f'# @include "{name}"\n# @include "l*.toml"'})
    (place / "loop.toml").symlink_to("loop.toml")

    assert name[:100] in problem(place)


def test_what_is_not_read_is_told(folder):
    """JavaScript, files for another NODE_ENV, and what nothing includes."""
    place = folder(
        {
            "default.toml": "x = 1",
            "default.js": "x",
            "staging.toml": "x = 2",
            "zones/a.toml": "",
            "node_modules/b.js": "x",
        }
    )

    notes = read_folder(place, "production").notes

    assert {note.kind for note in notes} == {Kind.NOT_READ}
    assert [note.where.file for note in notes] == [
        "default.js",
        "staging.toml",
        "zones/a.toml",
    ]


@pytest.mark.parametrize("node_env", ["../secret", "/etc", "", "*"])
def test_node_env_is_no_path(folder, node_env):
    """It is a part of a file's name, of a few characters."""
    assert read(folder({"default.toml": "x = 1"}), node_env) == {"x": 1}
