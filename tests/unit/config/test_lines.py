"""Where in the file it stands what a limit allows."""

import pytest

from mta.config.load import parse_config

FILE = """\
zones:
  default:
    connections: 5
    throttling: 100/minute
  quiet:
domains:
  default: {rate: 5/s}
  Bücher.example:
    max_connections: 20
    rate: 1/s
providers:
  google:
    mx: ["*.google.com"]
    max_connections: 7
    rate: 9/s
limits:
  all:
    max_connections: 4
    rate: 2/s
"""


@pytest.fixture(scope="module")
def place_of():
    return parse_config("zones.yaml", FILE.encode(), {}).place_of


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (("zones", "default", "connections"), 3),
        (("zones", "default", "throttling"), 4),
        (("domains", "default", "rate"), 7),
        (("domains", "xn--bcher-kva.example", "max_connections"), 9),
        (("domains", "xn--bcher-kva.example", "rate"), 10),
        (("providers", "google", "max_connections"), 14),
        (("providers", "google", "rate"), 15),
        (("limits", "all", "max_connections"), 18),
        (("limits", "all", "rate"), 19),
    ],
)
def test_a_limit_knows_its_line(place_of, said, line):
    """By the normal form of the name, whatever the file writes."""
    assert place_of(*said) == f"zones.yaml:{line}"


@pytest.mark.parametrize(
    "said",
    [
        ("zones", "quiet", "connections"),
        ("domains", "default", "max_connections"),
        ("domains", "b.example", "rate"),
    ],
)
def test_what_the_file_does_not_say_has_no_line(place_of, said):
    """Though it holds."""
    assert place_of(*said) == ""


def test_a_limit_of_a_merged_mapping_has_the_line_where_it_stands():
    """Anchors are a way to say the same twice."""
    text = (
        "zones: {default: {}}\n"
        "domains:\n"
        "  a.example: &few\n"
        "    rate: 1/s\n"
        "  b.example: *few\n"
    )
    config = parse_config("zones.yaml", text.encode(), {})

    assert config.place_of("domains", "b.example", "rate") == "zones.yaml:4"
