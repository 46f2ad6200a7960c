"""``mta import zone-mta`` on a folder like those that ZoneMTA runs with."""

import re
from ipaddress import ip_address
from pathlib import Path

import pytest
from click.testing import CliRunner

from mta.cli.main import cli
from mta.config.load import parse_config

UNIT = Path(__file__).parents[1]
FOLDER = UNIT / "imports/zone-mta"
PAGE = UNIT.parents[1] / "docs/how-to/move-from-zonemta.md"
# All passwords, keys and tokens of the folder look like this.
SECRETS = re.compile(r"[a-z]+-(?:pass|token|secret|key)-[0-9][A-Za-z]{2}")
NETWORK = {"eth1": [ip_address("198.18.0.1")]}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    monkeypatch.delenv("NODE_ENV", raising=False)
    monkeypatch.setenv("HTTP_AUTH_URL", "")
    monkeypatch.delenv("HTTP_AUTH_URL")


def run(place, *options):
    arguments = ("import", "zone-mta", str(place), *options)
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.fixture
def folder(tmp_path):
    """A folder with one file."""

    def folder(text):
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config/zonemta.toml").write_text(text)
        return tmp_path / "config"

    return folder


def load(text):
    environ = {"HTTP_AUTH_URL": "https://a.example/login"}
    config = parse_config("zones.yaml", text.encode(), environ, lambda: NETWORK)
    return config.model_copy(update={"lines": {}})


def test_a_whole_folder_becomes_what_a_person_would_write(tmp_path):
    """It loads, and says the same; the exit status is 0."""
    file = tmp_path / "zones.yaml"

    result = run(FOLDER, "--env", "production", "-o", str(file))

    assert result.exit_code == 0
    assert result.stdout == ""
    expected = (UNIT / "imports/expected.yaml").read_text()
    assert load(file.read_text()) == load(expected)


def test_every_file_of_the_folder_is_accounted_for():
    """Read, or not read; and no key is without a word that is not carried over."""
    report = run(FOLDER, "--env", "production").stderr

    files = {str(f.relative_to(FOLDER)) for f in FOLDER.rglob("*") if f.is_file()}
    assert [name for name in sorted(files) if name not in report] == []
    for heading in (
        "Set in the environment:",
        "To be done by hand:",
        "Carried over, but not the same:",
        "Not carried over:",
        "Left out: it had no effect there either:",
        "Left out: not known as an option:",
        "Not read:",
    ):
        assert f"\n\n{heading}\n  " in report


def test_no_secret_leaves_the_folder():
    """The report says which variables are to be set."""
    texts = [file.read_text() for file in FOLDER.rglob("*") if file.is_file()]
    assert len(SECRETS.findall("".join(texts))) == 7

    result = run(FOLDER, "--env", "production")

    assert SECRETS.findall(result.output) == []
    assert "${HTTP_AUTH_URL}" in result.stdout
    for name in ("HTTP_AUTH_URL", "MTA_MONGO_URI", "MTA_BROKER_URL"):
        assert f": set {name}" in result.stderr


def test_the_same_folder_makes_the_same_text():
    """To the letter."""
    assert run(FOLDER).output == run(FOLDER).output


def test_node_env_may_come_from_the_environment(monkeypatch):
    """As where ZoneMTA runs."""
    monkeypatch.setenv("NODE_ENV", "production")

    assert "dbs-production.toml: dbs.redis" in run(FOLDER).stderr


def test_the_report_may_go_to_a_file(tmp_path):
    """And nothing else is said then."""
    report = tmp_path / "report.txt"

    result = run(FOLDER, "--report", str(report))

    assert result.stderr == ""
    assert report.read_text().startswith(f"{FOLDER}: ")


def test_a_file_that_is_there_is_kept(tmp_path):
    """Unless it is to be replaced."""
    file = tmp_path / "zones.yaml"
    file.write_text("mine")

    refused = run(FOLDER, "-o", str(file))

    assert refused.exit_code == 2
    assert "is there already; --force replaces it" in refused.stderr
    assert file.read_text() == "mine"
    assert run(FOLDER, "-o", str(file), "--force").exit_code == 0
    assert file.read_text() != "mine"


def test_a_value_to_be_corrected_is_named(folder, tmp_path):
    """Where it is in the new file, and what it was made of; the exit status is 1."""
    place = folder("[zones.default]\nport = 99999\nhost = 'a b'\n")
    file = tmp_path / "zones.yaml"

    result = run(place, "-o", str(file))

    assert result.exit_code == 1
    assert f"{file}:7: zones.default.port: '99999' is out of range" in result.stderr
    assert "(zonemta.toml: zones.default.host)" in result.stderr
    assert "port: 99999" in file.read_text()


def test_a_file_that_cannot_be_read_is_named(folder, tmp_path):
    """With its line; nothing is written, and the exit status is 2."""
    place = folder("[zones.default]\nport = \n")
    file = tmp_path / "zones.yaml"

    result = run(place, "-o", str(file))

    assert result.exit_code == 2
    assert f"{place}/zonemta.toml:2:8: file: is not TOML" in result.stderr
    assert not file.exists()


def test_a_folder_that_is_not_there_is_an_error():
    """Of usage."""
    assert run("/nowhere/config").exit_code == 2


def test_control_characters_do_not_reach_the_terminal(folder):
    """A key may have any."""
    result = run(folder('"\\u001b[2J" = 1\n[zones."\\u0007"]\n"a\\nb" = 2'))

    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "\x07" not in result.output


def test_the_page_names_what_is_not_carried_over():
    """Every option that the rules leave out, and every plugin they know."""
    from mta.imports import interfaces, plugins, zone_mta, zones
    from mta.imports.rules import Inside, Leave

    def left(rules):
        for key, rule in rules.items():
            if isinstance(rule, Leave):
                yield key
            elif isinstance(rule, Inside):
                yield from left(rule.rules)

    tables = (
        *(interfaces.DOOR, zones.ZONE, zones.DOMAIN),
        *(zone_mta.API, zone_mta.DNS, zone_mta.LOG, zone_mta.QUEUE, zone_mta.REST),
    )
    keys = {key for table in tables for key in left(table)} | set(plugins.PLUGINS)
    page = PAGE.read_text()

    assert sorted(key for key in keys if f"`{key}`" not in page) == []
