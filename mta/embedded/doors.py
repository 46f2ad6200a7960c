"""The processes of an SMTP interface: several on one port, watched together."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from mta.config.zones import Interface
from mta.embedded.child import Child, Process, Role, marked_child
from mta.embedded.commands import smtp_command
from mta.embedded.ports import format_endpoint, port_of, reachable_host, reserve
from mta.embedded.probes import port_accepts, smtp_answers
from mta.embedded.supervisor import Supervisor

DOOR_GRACE_S = 15.0  # for transactions that are under way


def door_names(interface: Interface) -> list[str]:
    """What the processes of an interface are called."""
    if interface.processes == 1:
        return [f"smtp@{interface.name}"]
    return [f"smtp@{interface.name}.{n + 1}" for n in range(interface.processes)]


def door_children(
    interface: Interface,
    port: int,
    env: Mapping[str, str],
    marker: Callable[[str], Path],
) -> list[Child]:
    """The processes of an interface, listening on ``port``."""
    command = smtp_command(interface.name, port)
    # Each one's marker too: on a shared port, a greeting may be another's.
    is_silent = interface.secure or interface.proxy_from or interface.greeting_delay
    answers = port_accepts if is_silent else smtp_answers
    greets = answers(reachable_host(interface.host), port)
    return [
        marked_child(name, Role.DOOR, command, env, marker(name), DOOR_GRACE_S, greets)
        for name in door_names(interface)
    ]


def run_doors(
    interfaces: Sequence[Interface],
    env: Mapping[str, str],
    announce: Callable[[str], None],
    *,
    may_reload: Callable[[], bool],
) -> None:
    """Run the SMTP doors until a signal stops them.

    Args:
        announce: Called once, with a line that tells where they listen.
        may_reload: Asked on SIGHUP; only then the processes hear of it.

    Raises:
        StartFailed: A port is taken, or a process does not come up.
    """
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        children: list[Child] = []
        places: list[str] = []
        for interface in interfaces:
            what = f"interface {interface.name}"
            reservation = reserve(interface.host, interface.port, what=what)
            port = port_of(held.enter_context(reservation))
            places.append(f"{format_endpoint(interface.host, port)} ({interface.name})")
            children += door_children(
                interface, port, env, lambda name: folder / f"{name}.ready"
            )
        lines = [f"ready: SMTP {', '.join(places)}"]

        def tell(_: Sequence[Process]) -> None:
            if lines:
                announce(lines.pop())

        def reload() -> Sequence[Child] | None:
            return children if may_reload() else None

        Supervisor([children], on_ready=tell, on_hangup=reload).run()
