"""Which processes a configuration asks for, on which ports, with what environment.

Every port is reserved here, before anything starts, so that a port in use is the
first thing said and not the last. The databases are one group; everything else
starts together once they answer.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from mta.config.settings import Settings
from mta.config.zones import Config
from mta.embedded import commands
from mta.embedded.child import Child, Role, marked_child
from mta.embedded.doors import DOOR_GRACE_S, door_children
from mta.embedded.endpoints import Endpoints
from mta.embedded.ports import format_endpoint, port_of, reachable_host, reserve
from mta.embedded.probes import http_answers
from mta.embedded.services import Services, choose_services
from mta.embedded.state import StateFolder

LOOPBACK = "127.0.0.1"

# A start is over though the queue is full: that is no reason not to deliver.
READY_PATH = "/readyz?exclude=queue&exclude=memory&exclude=database"

# Seconds from SIGTERM to SIGKILL. A worker finishes what it sends; what it does
# not finish in time, another claims when the lease has run out.
WORKER_GRACE_S = 30.0
OTHER_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, group after group, and where it will answer.

    Attributes:
        groups_of: What is to run by another configuration with the same doors.
    """

    groups: tuple[tuple[Child, ...], ...]
    groups_of: Callable[[Config], tuple[tuple[Child, ...], ...]]
    endpoints: Endpoints


@dataclass(frozen=True, slots=True)
class Ports:
    """The port of each door; ``flower`` and ``sandbox`` may be switched off."""

    smtp: Mapping[str, int]
    api: int
    flower: int | None
    sandbox: int | None


def make_plan(
    config: Config,
    settings: Settings,
    state: StateFolder,
    environ: Mapping[str, str],
    *,
    is_sandbox: bool,
    held: ExitStack,
) -> Plan:
    """Plan one run.

    Args:
        environ: What every process inherits.
        is_sandbox: Route all mail to an MX on this machine.
        held: Keeps the ports reserved until it is closed.

    Raises:
        StartFailed: A port is taken, or a server is nowhere to be found.
    """
    services = choose_services(settings, state, environ, held=held)
    ports = _reserve_ports(config, is_sandbox=is_sandbox, held=held)
    env = _environment(settings, state, environ, services, ports.sandbox)
    others = _others(state, env, ports)

    def groups_of(config: Config) -> tuple[tuple[Child, ...], ...]:
        ours = [
            *_workers(config, settings, state, env),
            *_doors(config, settings, state, env, ports),
            *others,
        ]
        # Flower asks once, at its start, which workers there are and what they consume.
        last = _flower(config, settings, state, env, ports)
        return tuple(filter(None, (services.children, tuple(ours), last)))

    return Plan(groups_of(config), groups_of, _endpoints(config, services, ports))


def _reserve_ports(config: Config, *, is_sandbox: bool, held: ExitStack) -> Ports:
    def reserved(host: str, port: int, what: str) -> int:
        return port_of(held.enter_context(reserve(host, port, what=what)))

    flower = config.flower
    return Ports(
        smtp={
            name: reserved(door.host, door.port, f"interface {name}")
            for name, door in config.interfaces.items()
        },
        api=reserved(config.api.host, config.api.port, "the API"),
        flower=reserved(flower.host, flower.port, "Flower") if flower.enabled else None,
        sandbox=reserved(LOOPBACK, 0, "the sandbox") if is_sandbox else None,
    )


def _environment(
    settings: Settings,
    state: StateFolder,
    environ: Mapping[str, str],
    services: Services,
    sandbox_port: int | None,
) -> dict[str, str]:
    env = {**environ, **services.variables}
    env["MTA_STATE_DIR"] = str(state.path)
    env.pop("MTA_WATCH_CONFIG", None)  # the supervisor's
    env["PROMETHEUS_MULTIPROC_DIR"] = str(state.metrics)
    # The API's /metrics speaks for all; one port cannot be everybody's.
    env.pop("MTA_METRICS_LISTEN", None)
    if settings.config_path is not None:
        env["MTA_CONFIG"] = str(settings.config_path.absolute())
    if sandbox_port is not None:
        env["MTA_SANDBOX"] = f"{LOOPBACK}:{sandbox_port}"
    return env


def _workers(
    config: Config, settings: Settings, state: StateFolder, env: Mapping[str, str]
) -> list[Child]:
    level = settings.log_level
    named = {
        f"worker@{zone.name}": commands.worker_command([zone], log_level=level)
        for zone in config.enabled_zones()
    }
    named["maintenance"] = commands.maintenance_command(log_level=level)
    return [
        marked_child(name, Role.WORKER, argv, env, state.marker(name), WORKER_GRACE_S)
        for name, argv in named.items()
    ]


def _doors(
    config: Config,
    settings: Settings,
    state: StateFolder,
    env: Mapping[str, str],
    ports: Ports,
) -> list[Child]:
    key = settings.api_key
    login = {"Authorization": f"Bearer {key}"} if key else {}
    api = marked_child(
        "api",
        Role.DOOR,
        commands.api_command(ports.api),
        env,
        state.marker("api"),
        DOOR_GRACE_S,
        http_answers(reachable_host(config.api.host), ports.api, READY_PATH, login),
    )
    children = [api]
    for name, port in ports.smtp.items():
        children += door_children(config.interfaces[name], port, env, state.marker)
    return children


def _others(state: StateFolder, env: Mapping[str, str], ports: Ports) -> list[Child]:
    commanded = {"scheduler": (Role.SCHEDULER, commands.scheduler_command())}
    if ports.sandbox is not None:
        commanded["sandbox"] = (Role.SANDBOX, commands.sandbox_command(ports.sandbox))
    return [
        marked_child(name, role, argv, env, state.marker(name), OTHER_GRACE_S)
        for name, (role, argv) in commanded.items()
    ]


def _flower(
    config: Config,
    settings: Settings,
    state: StateFolder,
    env: Mapping[str, str],
    ports: Ports,
) -> tuple[Child, ...]:
    if ports.flower is None:
        return ()
    host = config.flower.host
    login = settings.flower_basic_auth or state.flower_login()
    flower = Child(
        name="flower",
        role=Role.FLOWER,
        argv=commands.flower_command(host, ports.flower),
        env={**env, "MTA_PROCESS_NAME": "flower", "FLOWER_BASIC_AUTH": login},
        is_ready=http_answers(reachable_host(host), ports.flower, "/healthcheck"),
        grace_s=OTHER_GRACE_S,
    )
    return (flower,)


def _endpoints(config: Config, services: Services, ports: Ports) -> Endpoints:
    def url(host: str, port: int) -> str:
        return f"http://{format_endpoint(host, port)}"

    return Endpoints(
        smtp={
            name: format_endpoint(config.interfaces[name].host, port)
            for name, port in ports.smtp.items()
        },
        api=url(config.api.host, ports.api),
        flower=url(config.flower.host, ports.flower) if ports.flower else None,
        mongo=services.mongo_uri,
        redis=services.broker_url,
        sandbox=format_endpoint(LOOPBACK, ports.sandbox) if ports.sandbox else None,
    )
