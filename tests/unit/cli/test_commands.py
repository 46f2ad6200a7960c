import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mta.cli import run as run_module
from mta.cli.main import COMMANDS, cli
from mta.embedded import commands
from mta.errors import StoreUnavailable
from mta.worker.doorbell import MAINTENANCE_QUEUE

CONFIG = """
zones:
  default: {connections: 10}
  bulk: {connections: 5}
  bounces: {connections: 1}
"""


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    for name in list(os.environ):
        if name.startswith("MTA_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "zones.yaml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def became(monkeypatch) -> dict[str, object]:
    """What a command has become by ``exec``."""
    seen: dict[str, object] = {}

    def note(program, argv, env):
        seen.update(program=program, argv=argv, env=env)

    monkeypatch.setattr(run_module.os, "execve", note)
    return seen


def mta(*arguments: str, **options: object) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False, **options)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    """Each listed command exists and tells what it does."""
    result = mta(name, "--help")

    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_help_imports_no_command():
    """The list of commands costs no more than click."""
    program = (
        "import sys; from mta.cli.main import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('mta.c')], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr.strip() == "['mta.cli', 'mta.cli.main']"


def test_a_mistyped_command_is_corrected():
    """A suggestion, and exit status 2."""
    result = mta("wroker")

    assert result.exit_code == 2
    assert "worker" in result.output


def test_a_worker_takes_the_connections_of_its_zones(config, became):
    """Concurrency is the sum, queues are the zones, events are on."""
    mta("worker", "default", "bulk")

    argv = became["argv"]
    assert argv == [
        *(sys.executable, "-W", "ignore:Monkey-patching ssl after"),
        *("-W", "ignore:You're running the worker with superuser privileges"),
        *("-m", "celery", "-q", "-A", "mta.worker", "worker"),
        *("-P", "gevent", "-c", "15", "-Q", "default,bulk", "-n", "default+bulk@%h"),
        *("-E", "--without-gossip", "--without-mingle", "--loglevel=info"),
    ]
    assert became["env"]["MTA_PROCESS_NAME"] == "worker@default+bulk"
    assert became["env"]["MTA_CONFIG"] == "zones.yaml"


def test_the_maintenance_worker_is_not_gevents(config, became):
    """Only with Celery's own event loop are lost doorbells handed back."""
    mta("worker", "--maintenance")

    assert became["argv"][11:17] == [
        *("-P", "solo", "-Q", MAINTENANCE_QUEUE, "-n", "maintenance@%h"),
    ]
    assert commands.MAINTENANCE_QUEUE == MAINTENANCE_QUEUE


def test_an_unknown_zone_is_refused_with_a_suggestion(config, became):
    """A worker on a queue that nobody fills would look healthy and do nothing."""
    result = mta("worker", "bukl")

    assert result.exit_code == 2
    assert "no such zone; did you mean 'bulk'?" in result.output
    assert became == {}


@pytest.mark.parametrize(
    "arguments", [("worker",), ("worker", "--maintenance", "default")]
)
def test_a_worker_has_zones_or_maintenance(config, became, arguments):
    """One of both, or exit status 2."""
    assert mta(*arguments).exit_code == 2
    assert became == {}


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (("api", "--port", "0"), ["mta.cli.run_api", "--port", "0"]),
        (("scheduler",), ["mta.cli.run_scheduler"]),
        (("sandbox", "--port", "26"), ["mta.cli.run_sandbox", "--port", "26"]),
    ],
    ids=["api", "scheduler", "sandbox"],
)
def test_a_process_is_its_module(config, became, arguments, module):
    """The command becomes the process; nothing stays in between."""
    mta(*arguments)

    assert became["argv"] == [sys.executable, "-m", *module]
    assert became["env"]["MTA_PROCESS_NAME"] == arguments[0]


def test_many_zones_make_a_short_node_name(config):
    """Celery's node names stay readable."""
    from mta.config.zones import Zone

    zones = [Zone(name=f"zone-number-{n}") for n in range(20)]

    assert commands.worker_name(zones) == "zone-number-0+19"


def test_check_looks_at_certificates(tmp_path):
    """A listener that cannot encrypt does not start."""
    config = tmp_path / "zones.yaml"
    config.write_text(
        "interfaces: {a: {starttls: true, tls: {certificate: /nowhere.pem}}}"
    )

    result = mta("check", "--config", str(config))

    assert result.exit_code == 2
    assert "interfaces.a.tls: /nowhere.pem: cannot be read" in result.output


def test_check_says_ok(config):
    """File, verdict and what there is, in one line."""
    result = mta("check", "--config", str(config))

    assert result.exit_code == 0
    assert "ok, 3 zones, 1 interface, 0 pools" in result.output


def test_check_warns_of_addresses_that_are_not_there(config):
    """It is no mistake: the machine that sends may be another one."""
    config.write_text(
        "pools: {p: [192.0.2.200]}\nzones: {default: {pool: p}, bounces: }"
    )

    result = mta("check", "--config", str(config))

    assert result.exit_code == 0
    warning, verdict = result.output.splitlines()
    assert warning.startswith(f"warning: {config}:1: pools.p: 192.0.2.200 cannot be")
    assert "ok, 2 zones" in verdict


def test_check_tells_all_mistakes_at_once(config, monkeypatch):
    """Those of the file with their places, and those of the environment."""
    config.write_text("zones:\n  default: {connections: 0}\n  bulk: {colour: red}\n")
    monkeypatch.setenv("MTA_CONFIG", str(config))
    monkeypatch.setenv("MTA_LOG_LEVEL", "loud")
    monkeypatch.setenv("MTA_MONGO_URL", "x")

    result = mta("check")

    assert result.exit_code == 2
    lines = result.output.splitlines()
    places = [line.partition(" ")[0] for line in lines]
    assert places[:2] == ["environment:", "environment:"]
    assert places[2:4] == [f"{config}:2:26:", f"{config}:3:10:"]


def test_a_message_needs_a_running_system(config):
    """Nobody answering is said in words, with exit status 1."""
    result = mta(
        "send", "--from", "a@x.test", "--to", "b@x.test", "--api", "http://127.0.0.1:9"
    )

    assert result.exit_code == 1
    assert "Is `mta up` running?" in result.output


def test_an_inbox_needs_a_running_system(config, monkeypatch):
    """A database that does not answer is said in words, with exit status 1."""

    class Away:
        def list(self, limit, recipient):
            raise StoreUnavailable("ServerSelectionTimeoutError: ...")

    monkeypatch.setattr("mta.cli.inbox._open", lambda _: Away())

    result = mta("inbox")

    assert result.exit_code == 1
    assert "Is `mta up --sandbox` running?" in result.output


def test_the_running_systems_api_is_found(config, tmp_path):
    """The ready file in the state folder is asked before the configuration."""
    from mta.cli.client import find_api
    from mta.cli.process import load

    settings, loaded = load(config)
    configured = find_api(None, settings, loaded)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "ready.json").write_text(json.dumps({"api": "http://h:1"}))

    assert configured == "http://127.0.0.1:12080"
    assert find_api(None, settings, loaded) == "http://h:1"
    assert find_api("http://h:2", settings, loaded) == "http://h:2"
