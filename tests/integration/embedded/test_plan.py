"""Plans reserve real ports; nothing is started."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mta.cli.process import load
from mta.embedded.child import Child
from mta.embedded.plan import Plan, make_plan
from mta.embedded.state import StateFolder

CONFIG = """
api: {port: 0}
flower: {enabled: FLOWER, port: 0}
interfaces:
  feeder: {port: 0, processes: 2}
  inside: {port: 0, processes: 1}
zones:
  default: {connections: 10}
  bounces: {connections: 1}
  old: {disabled: true}
"""

Planned = Callable[..., Plan]


@pytest.fixture
def planned(tmp_path: Path, monkeypatch) -> Iterator[Planned]:
    """Makes a plan from an environment."""
    for name in list(os.environ):
        if name.startswith("MTA_"):
            monkeypatch.delenv(name)
    with ExitStack() as held:
        state = StateFolder(tmp_path / "var")
        held.callback(state.close)

        def plan(
            environ: dict[str, str] | None = None,
            *,
            is_sandbox: bool = False,
            flower: str = "true",
        ) -> Plan:
            file = tmp_path / "zones.yaml"
            file.write_text(CONFIG.replace("FLOWER", flower))
            for name, value in (environ or {}).items():
                monkeypatch.setenv(name, value)
            settings, config = load(file)
            settings = replace(settings, state_dir=state.path)
            return make_plan(
                config, settings, state, os.environ, is_sandbox=is_sandbox, held=held
            )

        yield plan


def children(plan: Plan) -> dict[str, Child]:
    return {child.name: child for group in plan.groups for child in group}


def test_databases_come_first(planned):
    """The rest starts together when they answer, and Flower last of all."""
    plan = planned()

    assert [[child.name for child in group] for group in plan.groups] == [
        ["mongod", "redis"],
        [
            *("worker@default", "worker@bounces", "maintenance", "api"),
            *("smtp@feeder.1", "smtp@feeder.2", "smtp@inside"),
            "scheduler",
        ],
        ["flower"],
    ]


@pytest.mark.parametrize(
    ("environ", "started"),
    [
        ({"MTA_MONGO_URI": "mongodb://db.test/mta"}, ["redis"]),
        ({"MTA_BROKER_URL": "amqp://mq.test//"}, ["mongod", "redis"]),
        (
            {"MTA_BROKER_URL": "amqp://mq.test//", "MTA_REDIS_URL": "redis://r.test/1"},
            ["mongod"],
        ),
    ],
    ids=["MongoDB", "broker alone", "broker and Redis"],
)
def test_what_the_environment_names_is_not_started(planned, environ, started):
    """Our processes are pointed to it instead."""
    plan = planned(environ)

    assert [child.name for child in plan.groups[0]] == started
    env = children(plan)["api"].env
    assert {name: env[name] for name in environ} == environ


def test_nothing_is_embedded_when_all_is_named(planned):
    """No database is among the processes."""
    environ = {
        "MTA_MONGO_URI": "mongodb://db.test/mta",
        "MTA_BROKER_URL": "redis://r.test/0",
        "MTA_REDIS_URL": "redis://r.test/1",
    }

    names = children(planned(environ))
    assert not {"mongod", "redis"} & set(names)


def test_processes_know_where_everything_is(planned, tmp_path):
    """Wiring, state and configuration come to them by the environment."""
    plan = planned({"MTA_METRICS_LISTEN": "127.0.0.1:9100"})

    child = children(plan)["worker@default"]
    env = child.env
    assert env["MTA_MONGO_URI"] == plan.endpoints.mongo
    assert env["MTA_BROKER_URL"] == plan.endpoints.redis
    assert env["MTA_REDIS_URL"] == plan.endpoints.redis.removesuffix("0") + "1"
    assert env["MTA_CONFIG"] == str(tmp_path / "zones.yaml")
    assert env["MTA_STATE_DIR"] == str(tmp_path / "var")
    assert env["MTA_PROCESS_NAME"] == "worker@default"
    assert env["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path / "var" / "metrics")
    assert env["CELERY_MTA_READY_FILE"] == str(child.marker)
    assert "MTA_SANDBOX" not in env
    assert "MTA_METRICS_LISTEN" not in env


def test_databases_do_not_see_our_secrets(planned):
    """What is in MTA_* is none of their business."""
    plan = planned({"MTA_API_KEY": "secret"})

    assert "secret" not in children(plan)["mongod"].env.values()


def test_the_sandbox_is_a_process_and_everybodys_target(planned):
    """With --sandbox every relay is pointed to the MX on this machine."""
    plan = planned(is_sandbox=True)

    sandbox = children(plan)["sandbox"]
    assert sandbox.env["MTA_SANDBOX"] == f"127.0.0.1:{sandbox.argv[-1]}"
    assert children(plan)["worker@default"].env["MTA_SANDBOX"].startswith("127.0.0.1:")


def test_ports_are_told_to_processes_and_users_alike(planned):
    """Port 0 is decided on here; both doors of an interface have the same."""
    plan = planned()

    port = plan.endpoints.smtp["feeder"].removeprefix("127.0.0.1:")
    for name in ("smtp@feeder.1", "smtp@feeder.2"):
        assert children(plan)[name].argv[-4:] == ("--port", port, "--", "feeder")
    assert plan.endpoints.api == f"http://127.0.0.1:{children(plan)['api'].argv[-1]}"


def test_flower_may_be_switched_off(planned):
    """Then it has no process and no address."""
    plan = planned(flower="false")

    assert "flower" not in children(plan)
    assert plan.endpoints.flower is None


@pytest.mark.parametrize(
    ("environ", "login"),
    [({}, "mta:"), ({"MTA_FLOWER_BASIC_AUTH": "ops:word"}, "ops:word")],
    ids=["made up", "given"],
)
def test_flower_always_wants_a_login(planned, environ, login):
    """It can revoke tasks and stop workers. No command line shows the login."""
    flower = children(planned(environ))["flower"]

    given = flower.env["FLOWER_BASIC_AUTH"]
    assert given.startswith(login)
    assert given not in " ".join(flower.argv)


def test_database_ports_are_kept(planned):
    """MongoDB has its own written into the data."""
    assert planned().endpoints.mongo == planned().endpoints.mongo


def test_database_ports_are_held(planned):
    """From choosing to the end of the run: nobody else gets one by chance."""
    port = urlsplit(planned().endpoints.redis).port

    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


def test_a_database_port_that_was_taken_is_replaced(planned, tmp_path):
    """While we were away another system may have settled there; for good then."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        (tmp_path / "var" / "ports.json").write_text(json.dumps({"redis": taken}))

        port = urlsplit(planned().endpoints.redis).port

    assert port != taken
    assert json.loads((tmp_path / "var" / "ports.json").read_text())["redis"] == port
