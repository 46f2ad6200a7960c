"""Asks a running ``mta up`` for a reload, and waits for what comes of it."""

import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mta.config.settings import VARIABLES
from mta.embedded.child import READY_SUFFIX, RELOADED_SUFFIX
from mta.embedded.state import (
    ANSWER_NAME,
    MARKERS_NAME,
    QUESTION_NAME,
    load_object,
    read_ready,
    running_pid,
    write_privately,
)
from mta.errors import MtaError

T = TypeVar("T")

ANSWER_IN_S = 20.0  # MongoDB may have to be asked, and may be away
TAKEN_UP_IN_S = 60.0  # a new worker may have to start, on a busy machine
_POLL_S = 0.05


class ReloadFailed(MtaError):
    """Nobody could be asked, or not all did as they were told; the text says who."""


def ask_for_reload(state: Path, *, dry_run: bool) -> dict[str, Any]:
    """Ask the system that runs on a state folder; returns its answer.

    Raises:
        ReloadFailed: There is none, or it says nothing.
    """
    pid = running_pid(state)
    if pid is None:
        raise ReloadFailed(
            f"no mta up runs on the state folder {state}; --state names another. "
            "Processes that were started one by one reload on SIGHUP, each for "
            "itself: systemctl reload 'mta-*', or kill -HUP PID"
        )
    if not read_ready(state):
        raise ReloadFailed(f"mta up, process {pid}, is not ready yet; try again then")
    number = secrets.token_hex(8)
    question = {"id": number, "dry_run": dry_run}
    write_privately(state / QUESTION_NAME, json.dumps(question))
    os.kill(pid, signal.SIGHUP)

    def find() -> dict[str, Any] | None:
        answer = load_object(state / ANSWER_NAME)
        return answer if answer.get("id") == number else None

    answer = _wait_for(find, ANSWER_IN_S)
    if answer is None:
        raise ReloadFailed(f"mta up, process {pid}, does not answer; see its log")
    return answer


def wait_for_processes(state: Path, names: Sequence[str]) -> None:
    """Wait until all have taken up the configuration.

    Raises:
        ReloadFailed: Some have not, in all the time there is.
    """
    since = (state / ANSWER_NAME).stat().st_mtime_ns
    folder = state / MARKERS_NAME

    def is_done(name: str) -> bool:
        begun = folder / f"{name}{READY_SUFFIX}"  # after the answer: with the new one
        return (folder / f"{name}{RELOADED_SUFFIX}").exists() or (
            begun.exists() and begun.stat().st_mtime_ns > since
        )

    if not _wait_for(lambda: all(map(is_done, names)), TAKEN_UP_IN_S):
        late = ", ".join(name for name in names if not is_done(name))
        raise ReloadFailed(f"not taken up yet by {late}; see their log")


def changed_variables(state: Path, environ: Mapping[str, str]) -> list[str]:
    """Variables of ours that are set here, and otherwise where the system runs."""
    try:
        block = Path("/proc", str(running_pid(state)), "environ").read_bytes()
    except OSError:
        return []
    there = dict(
        line.split("=", 1)
        for line in block.decode("utf-8", "replace").split("\0")
        if "=" in line
    )
    return [
        name
        for name in VARIABLES
        if name != "MTA_STATE_DIR"
        and environ.get(name, there.get(name)) != there.get(name)
    ]


def _wait_for(find: Callable[[], T], timeout_s: float) -> T:
    deadline = time.monotonic() + timeout_s
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return found
