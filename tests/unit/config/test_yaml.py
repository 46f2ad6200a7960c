import pytest

from mta.config.nodes import MAX_BYTES
from tests.support.pace import costs_at_most


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "zones:\n  a: [1,\n  b: {\n",
            "zones.yaml:4:1: file: is not YAML: did not find",
            id="brackets left open",
        ),
        pytest.param("a: b: c\n", "zones.yaml:1:5: file: is not YAML", id="two colons"),
        pytest.param(
            "zones:\n\tdefault: {}\n",
            "zones.yaml:2:1: file: is not YAML: found character",
            id="tab",
        ),
        pytest.param("x: \x01", "zones.yaml:1:4: file: is not YAML", id="control"),
        pytest.param("a: 1\n---\nb: 2\n", "zones.yaml:2:1: file:", id="documents"),
        pytest.param("x: *nobody", "zones.yaml:1:4: file: is not YAML", id="alias"),
        pytest.param(
            b"a: 1\nb: \xff", "zones.yaml:2:4: file: is not UTF-8", id="bytes"
        ),
        pytest.param("- zones\n", "zones.yaml:1:1: file: this is not", id="list"),
        pytest.param("zones", "zones.yaml:1:1: file: 'zones' is not", id="word"),
    ],
)
def test_what_is_not_a_mapping_in_yaml_says_where(only_problem, text, expected):
    """The first fault ends the reading: what follows is guesswork."""
    assert only_problem(text).startswith(expected)


def test_a_tab_is_named_as_the_culprit(only_problem):
    """Nobody sees it on the screen."""
    assert "tab does not indent" in only_problem("zones:\n\tdefault: {}\n")


def test_a_byte_order_mark_is_no_mistake(load):
    """Some editors write one."""
    assert "default" in load(b"\xef\xbb\xbfapi: {port: 0}").zones


def test_a_key_that_is_there_twice_names_both_lines(only_problem):
    """YAML parsers keep the last one without a word; ours does not."""
    problem = only_problem("api: {port: 0}\nflower:\napi: {port: 1}\n")

    assert problem == "zones.yaml:3:1: api: is there twice, first in line 1"


def test_a_tag_runs_nothing(only_problem):
    """Nodes are looked at, never constructed."""
    assert "means nothing here" in only_problem("zones: !!python/object:os.system {}")


def test_words_that_yaml_takes_for_booleans_are_names(load):
    """Norway's zone is called no."""
    config = load("pools: {no: [192.0.2.1]}\nzones: {default: {pool: no}, bounces: }")

    assert config.zones["default"].pool == "no"


@pytest.mark.parametrize("text", ["yes", "on", '"true"', "1"])
def test_only_true_and_false_are_booleans(only_problem, text):
    """One way to write it."""
    problem = only_problem(f"flower: {{enabled: {text}}}")

    assert "is neither true nor false" in problem


@pytest.mark.parametrize("text", ["0777", "1:30", "1_000", "0x10", '"25"', "1e3"])
def test_only_plain_digits_are_numbers(only_problem, text):
    """YAML 1.1 would read 0777 as 511 and 1:30 as 90."""
    assert "is not a whole number" in only_problem(f"api: {{port: {text}}}")


def test_a_variable_is_replaced_in_values(load):
    """For what must not stand in a file; unquoted, it may be a number."""
    config = load(
        """
        interfaces:
          feeder:
            port: ${SMTP_PORT}
            banner: "at ${SITE}, $${SITE}"
        """,
        SMTP_PORT="2600",
        SITE="home",
    )

    assert config.interfaces["feeder"].port == 2600
    assert config.interfaces["feeder"].banner == "at home, ${SITE}"


def test_a_variable_that_is_not_set_is_a_problem(only_problem):
    """An empty secret would be worse than none; and it causes no second problem."""
    problem = only_problem("api: \n  host: ${API_HOTS}\n", API_HOST="::1")

    expected = "the environment has no 'API_HOTS'; did you mean 'API_HOST'?"
    assert problem == f"zones.yaml:2:9: api.host: {expected}"


def test_a_variable_without_a_name_is_a_problem(only_problem):
    """Braces with anything but a name in them are a slip."""
    assert "does not name a variable" in only_problem('api: {host: "${A B}"}')


def test_a_variables_value_is_never_shown(only_problem):
    """It may be a secret: the file's text is quoted instead."""
    problem = only_problem('interfaces: {feeder: {max_size: "${S}"}}', S="hunter2")

    assert "hunter2" not in problem
    assert "'${S}' is not a size" in problem


def test_an_unquoted_variable_within_braces_says_to_quote_it(only_problem):
    """To YAML its brace begins a mapping."""
    assert 'write "${NAME}" in quotes' in only_problem("api: {host: ${HOST}}")


def _laughs(levels):
    lines = ["l0: &l0 [a, a, a, a, a, a, a, a, a, a]"]
    for n in range(1, levels):
        lines.append(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(_laughs(12), "has more than 50000 values", id="aliases"),
        pytest.param("zones: &z {a: *z}", "is nested more than 16", id="circle"),
        pytest.param("[" * 200_000, "is nested more than 16", id="brackets"),
        pytest.param("- " * 200_000, "is nested more than 16", id="dashes"),
        pytest.param("x: [" + "1," * 300_000, "has more than 50000", id="values"),
        pytest.param("#" * (MAX_BYTES + 1), "is larger than", id="bytes"),
    ],
)
def test_a_hostile_file_is_refused_quickly(only_problem, text, expected):
    """Bytes, depth and values are bounded, whatever the aliases multiply."""
    assert expected in only_problem(text)
    assert costs_at_most(500, lambda: only_problem(text))


def test_thousands_of_problems_are_counted_not_told(problems):
    """Nobody reads more than a hundred."""
    many = "zones:\n" + "  z: {q: 1}\n" * 5000

    told = problems(many)

    assert len(told) == 101
    assert "more problems are not shown" in told[-1]
    assert costs_at_most(500, lambda: problems(many))


def test_control_characters_of_the_file_do_not_reach_the_terminal(problems):
    """A key can hold an escape sequence."""
    told = problems('"\\e[31mred": 1\nzones: {"\\r": }')

    assert not any(set(problem) & {"\x1b", "\r"} for problem in told)
