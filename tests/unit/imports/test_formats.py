"""One file of a configuration: what can be read of it, and where it goes wrong."""

import pytest

from mta.errors import ConfigError
from mta.imports.formats import MAX_BYTES, parse_file


def problem(file, content):
    with pytest.raises(ConfigError) as caught:
        parse_file(file, content)
    return str(caught.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.toml", b'[zones.bulk]\nconnections = 5\nsenderDomains = ["a.example"]'),
        (
            "a.json",
            b'{"zones": {"bulk": {"connections": 5, "senderDomains": ["a.example"]}}}',
        ),
        ("a.yaml", b"zones: {bulk: {connections: 5, senderDomains: [a.example]}}"),
        (
            "a.json",
            b'\xef\xbb\xbf{"zones": {"bulk": {"connections": 5,'
            b' "senderDomains": ["a.example"]}}}',
        ),
    ],
    ids=["TOML", "JSON", "YAML", "JSON with a byte order mark"],
)
def test_every_form_says_the_same(file, content):
    """The suffix decides."""
    data = parse_file(file, content)

    assert data == {
        "zones": {"bulk": {"connections": 5, "senderDomains": ["a.example"]}}
    }


def test_a_variable_of_yaml_is_text():
    """``${NAME}`` means nothing to ZoneMTA, and is not looked up."""
    assert parse_file("a.yaml", b'name: "${HOME}"') == {"name": "${HOME}"}


def test_a_date_of_toml_is_text():
    """No option is one."""
    assert parse_file("a.toml", b"x = 2026-01-02\ny = nan") == {
        "x": "2026-01-02",
        "y": "nan",
    }


@pytest.mark.parametrize(
    ("file", "content", "place"),
    [
        ("a.toml", b"x = 1\ny = = 2\n", "a.toml:2:5: file: is not TOML"),
        ("a.json", b'{"x": 1,\n "y": }', "a.json:2:7: file: is not JSON"),
        ("a.yaml", b"x: 1\ny: ]", "a.yaml:2:4: file: is not YAML"),
        ("a.toml", b"x = 1\ny = '\xff'", "a.toml:2:1: file: is not UTF-8"),
        ("a.json", b"[1]", "a.json:1:1: file: is not a mapping"),
        ("a.json", b'{"x": NaN}', "a.json: file: has a number that cannot be read"),
    ],
    ids=["TOML", "JSON", "YAML", "bytes", "list", "number"],
)
def test_a_mistake_has_its_line(file, content, place):
    """So that it can be found."""
    assert problem(file, content).startswith(place)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.toml", b"#" * (MAX_BYTES + 1)),
        ("a.json", b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("a.toml", b"x = " + b"[" * 100_000 + b"]" * 100_000),
        ("a.toml", b".".join([b"a"] * 1000) + b" = 1"),
        ("a.toml", b".".join([b"a"] * 400_000) + b" = 1"),
        ("a.toml", b"x = {" + b".".join([b"a"] * 400_000) + b" = 1}"),
        ("a.json", b'{"x": [' + b"0," * 60_000 + b"0]}"),
        ("a.json", b'{"x": ' + b"9" * 5000 + b"}"),
        ("a.json", b'{"x": "\\ud800"}'),
        ("a.json", b'{"\\ud800": 1}'),
    ],
    ids=[
        "bytes",
        "lists in lists",
        "lists in lists of TOML",
        "dots",
        "very many dots",
        "very many dots within braces",
        "values",
        "digits",
        "half a character",
        "half a character in a key",
    ],
)
def test_what_is_too_much_is_refused(file, content):
    """With a word, and at once."""
    assert problem(file, content).startswith(file)


def test_a_text_in_an_error_is_no_secret():
    """What stands in a file that cannot be read is not repeated."""
    assert "hunter2" not in problem("a.toml", b'pass = "hunter2\n')
    assert "hunter2" not in problem("a.json", b'{"pass": "hunter2}')
