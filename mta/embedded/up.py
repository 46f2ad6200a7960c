"""``mta up``: everything on one machine, until a signal stops it."""

import logging
import resource
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from mta.config.settings import DEFAULT_CONFIG, Settings
from mta.config.zones import Config
from mta.embedded.child import Process
from mta.embedded.failure import naming
from mta.embedded.plan import make_plan
from mta.embedded.reload import SystemReload, start_with
from mta.embedded.state import StateFolder, write_privately
from mta.embedded.supervisor import Supervisor
from mta.embedded.watch import FileWatch
from mta.store.census import Census
from mta.store.mongo import connect

log = logging.getLogger(__name__)

WANTED_FILES = 65_536  # a busy door or zone has a descriptor per session


def run_up(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    is_sandbox: bool,
    ready_file: Path | None,
    announce: Callable[[str], None],
    check: Callable[[Config], None],
) -> None:
    """Run the whole system.

    Args:
        environ: What every process inherits.
        ready_file: A copy of the state folder's ready file.
        announce: Called once, with the ready line.
        check: Raises ConfigError for what a configuration's file alone cannot tell.

    Raises:
        StartFailed: Something did not come up. What did has been stopped.
    """
    raise_file_limit()
    with ExitStack() as held:
        state = StateFolder(settings.state_dir)
        held.callback(state.close)
        if ready_file is not None:
            with naming("ready file"):
                write_privately(ready_file, "")  # rather now than when all is up
                ready_file.unlink()
            held.callback(ready_file.unlink, missing_ok=True)
        with naming(f"state folder {state.path}"):
            config, read = start_with(state, settings.config_path, environ)
            plan = make_plan(
                config,
                settings,
                state,
                {**environ, **read},
                is_sandbox=is_sandbox,
                held=held,
            )
        lines = [plan.endpoints.line()]

        def tell(processes: Sequence[Process]) -> None:
            try:
                state.write_ready(plan.endpoints.document(processes), ready_file)
            except OSError as error:  # a full disk: all that runs goes on
                log.error("ready file not written: %s", error)
            if lines:
                announce(lines.pop())

        def forget(pid: int) -> None:
            # The gauges of a process end with it; its counters stay.
            mark_process_dead(pid, str(state.metrics))  # type: ignore[no-untyped-call]

        def find() -> Path | None:
            is_new = settings.config_path is None and DEFAULT_CONFIG.is_file()
            return DEFAULT_CONFIG if is_new else settings.config_path

        reload = SystemReload(
            state=state,
            find=find,
            environ=environ,
            started=config,
            in_force=config,
            check=check,
            held_in=partial(count_live_in, plan.endpoints.mongo),
            plan=lambda new: tuple(chain.from_iterable(plan.groups_of(new))),
        )
        path = find()
        watch = FileWatch(path) if settings.watch_config and path else None
        Supervisor(
            plan.groups,
            on_ready=tell,
            on_end=forget,
            on_hangup=reload,
            is_changed=watch.has_changed if watch else None,
            pass_fds=[state.lock_fd],
        ).run()


def count_live_in(uri: str, zones: Collection[str]) -> dict[str, int]:
    """Count the mail that is left in zones, by a connection for this alone.

    Raises:
        StoreUnavailable: MongoDB does not answer.
    """
    database = connect(uri, name="mta up")
    with database.client:
        return Census(database).count_live_in(zones)


def raise_file_limit() -> None:
    """Allow this process and its children as many files as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
