"""The reload of a whole system: checked first, then in force everywhere or nowhere.

Our processes read the file in force from the state folder, not the operator's: so one
that begins in the middle of an edit, or after it, begins with what all others go by.
Who wants to know what came of a reload leaves a question in the state folder before
SIGHUP, and finds the answer there.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mta.config.difference import Change, compare, keep_fixed, removed_zones
from mta.config.load import IN_FORCE, STARTED_WITH, parse_config, read_file
from mta.config.zones import Config
from mta.embedded.child import RELOADING, Child
from mta.embedded.state import StateFolder
from mta.errors import ConfigError, Problem, StoreUnavailable

log = logging.getLogger(__name__)

# How much mail is left in each of some zones, where there is any.
HeldIn = Callable[[Collection[str]], Mapping[str, int]]


def check_removed(old: Config, new: Config, held_in: HeldIn) -> None:
    """See that no zone goes that holds mail: nobody would deliver it.

    Raises:
        ConfigError: One would, or nobody can say.
    """
    gone = removed_zones(old, new)
    try:
        held = held_in(gone) if gone else {}
    except StoreUnavailable as error:
        held = {}
        problems = [_kept(new, zone, f"MongoDB does not say: {error}") for zone in gone]
    else:
        problems = [
            _kept(
                new,
                zone,
                f"it holds mail, {count} deliveries; first mta zone move {zone} OTHER",
            )
            for zone, count in held.items()
        ]
    if problems:
        raise ConfigError(problems)


def _kept(config: Config, zone: str, why: str) -> Problem:
    return Problem(config.source, 0, 0, f"zones.{zone}", f"cannot be removed: {why}")


@dataclass(kw_only=True)
class SystemReload:
    """What ``mta up`` does about SIGHUP.

    Attributes:
        find: Where the operator's file is; None: there is none.
        environ: What the file may name, and our processes have.
        started: The configuration that the system was started with.
        in_force: The one that it goes by.
        check: Raises ConfigError for what the file alone cannot tell.
        plan: Says what is to run by a configuration.
    """

    state: StateFolder
    find: Callable[[], Path | None]
    environ: Mapping[str, str]
    started: Config
    in_force: Config
    check: Callable[[Config], None]
    held_in: HeldIn
    plan: Callable[[Config], Sequence[Child]]

    def __call__(self) -> Sequence[Child] | None:
        """Reload, or answer what a reload would do."""
        question = self.state.take_question()
        answer: dict[str, Any] = {"id": question.get("id"), "reloading": []}
        children = None
        try:
            content, said = self._read()
            changes = compare(self.in_force, said)
            answer["changes"] = [change._asdict() for change in changes]
            new = keep_fixed(self.started, said)
            check_removed(self.in_force, new, self.held_in)
            if not question.get("dry_run"):
                children = self._put_in_force(content, new, changes)
                answer["reloading"] = [c.name for c in children if c.role in RELOADING]
        except ConfigError as error:
            answer["problems"] = [str(problem) for problem in error.problems]
            for problem in error.problems:
                log.error("not reloaded: %s", problem)
        except OSError as error:  # a full disk: all that runs goes on
            answer["problems"] = [f"state folder: {error}"]
            log.error("not reloaded: %s", error)
        if question:
            self.state.answer(answer)
        return children

    def _read(self) -> tuple[bytes, Config]:
        path = self.find()
        if path is None:
            return b"", Config()
        content = read_file(path)
        config = parse_config(str(path), content, self.environ)
        self.check(config)
        return content, config

    def _put_in_force(
        self, content: bytes, new: Config, changes: Sequence[Change]
    ) -> Sequence[Child]:
        for change in changes:
            if change.needs_restart:
                log.warning("not reloaded: %s", change)
            else:
                log.info("reloaded %s", change)
        children = self.plan(new)
        self.state.put_in_force(content)
        self.in_force = new
        return children


def start_with(
    state: StateFolder, path: Path | None, environ: Mapping[str, str]
) -> tuple[Config, dict[str, str]]:
    """Put the operator's file in force, and say where our processes find it.

    Raises:
        ConfigError: It is not right.
        OSError: It cannot be written.
    """
    content = read_file(path) if path is not None else b""
    config = parse_config(str(path), content, environ) if path else Config()
    started = state.put_in_force(content, is_start=True)
    return config, {STARTED_WITH: str(started), IN_FORCE: str(state.in_force)}
