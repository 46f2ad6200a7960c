"""Trees as YAML: our loader reads what was written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.nodes import read_document
from mta.imports.target import Said, Variable
from mta.imports.write import write_yaml

TEXTS = st.sampled_from(["${A}", "$${A}", "${", "${a${B}}", "$"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=10
)
SCALARS = TEXTS | st.booleans() | st.integers(-(10**17), 10**17)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
    ),
    max_leaves=8,
)


def read(text):
    document = read_document("zones.yaml", text.encode(), {"SECRET": "s"})
    document.check()
    return document.data


def as_tuples(value):
    if isinstance(value, list):
        return tuple(map(as_tuples, value))
    if isinstance(value, dict):
        return {key: as_tuples(item) for key, item in value.items()}
    return value


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, min_size=1), max_size=4),
    TEXTS,
)
def test_what_is_written_is_read_again(sections, comment):
    """Whatever it is, and whatever stands beside it."""
    tree = {
        name: {key: Said(value, comment) for key, value in section.items()}
        for name, section in sections.items()
    }

    text = write_yaml(tree, "A heading")

    assert (read(text) or {}) == as_tuples(sections)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("10m", "10m"),
        ("30 MiB", "30 MiB"),
        ("100/minute", "100/minute"),
        ("192.0.2.1", "192.0.2.1"),
        ("12", '"12"'),
        ("1e5", '"1e5"'),
        ("no", '"no"'),
        ("a: b", '"a: b"'),
        ("${HOME}", '"$${HOME}"'),
        (0.05, "0.05"),
        (1e-7, "0.0000001"),
        (True, "true"),
        ([1, "a"], "[1, a]"),
        ({"a": 1, "b": "2"}, '{a: 1, b: "2"}'),
        ([], "[]"),
    ],
)
def test_values_are_written_as_a_person_would(value, written):
    """Quotes only where they are needed."""
    assert write_yaml({"key": Said(value)}, "").splitlines()[-1] == f"key: {written}"


def test_long_lists_have_a_line_for_each():
    """And so have those of mappings."""
    domains = [f"domain-{n}.example.com" for n in range(9)]

    text = write_yaml({"a": {"b": Said(domains, "what"), "c": Said([{"d": 1}])}}, "")

    assert text.splitlines()[1:4] == ["a:", "  # what", "  b:"]
    assert text.splitlines()[-2:] == ["  c:", "    - {d: 1}"]


def test_a_variable_is_read_from_the_environment():
    """In quotes, whatever it holds."""
    text = write_yaml({"a": Variable("SECRET")}, "")

    assert text.endswith('a: "${SECRET}"\n')
    assert read(text) == {"a": "s"}
