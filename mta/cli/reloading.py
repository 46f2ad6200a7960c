"""A process takes up another configuration while it runs: all of it, or nothing.

SIGHUP asks for it, or a change of the file itself where MTA_WATCH_CONFIG is true. A
file with mistakes changes nothing: they are logged, and the process goes on as it was.
"""

import logging
import os
import signal
from collections.abc import Callable
from threading import Event, Lock, Thread

import gevent
from gevent.monkey import is_module_patched

from mta.cli.process import load, say_reloaded
from mta.config.difference import compare, keep_fixed
from mta.config.live import Live
from mta.config.load import IN_FORCE
from mta.config.settings import Settings
from mta.config.zones import Config
from mta.embedded.reload import HeldIn, check_removed
from mta.embedded.watch import WATCH_EVERY_S, FileWatch
from mta.errors import ConfigError

log = logging.getLogger(__name__)

# Old and new configuration, once the new one is in force.
Then = Callable[[Config, Config], None]


class Reloading:
    """The configuration of one process, and how it is replaced.

    Args:
        check: Raises ConfigError if this process cannot live with a configuration.
        held_in: Asked before zones go; None: the supervisor has asked.

    Attributes:
        config: The one in force.
    """

    def __init__(
        self,
        settings: Settings,
        config: Config,
        *,
        check: Callable[[Config], None] = lambda _: None,
        held_in: HeldIn | None = None,
    ) -> None:
        self.config = Live(config)
        self._settings = settings
        self._started = config
        self._check = check
        self._held_in = None if os.environ.get(IN_FORCE) else held_in
        self._then: list[Then] = []
        self._lock = Lock()

    def afterwards(self, then: Then) -> None:
        """Call ``then`` after each change; what it raises is logged."""
        self._then.append(then)

    def listen(self) -> None:
        """Heed SIGHUP from now on, and take up what was missed since the start."""
        if is_module_patched("socket"):
            gevent.signal_handler(signal.SIGHUP, self._on_hangup)
        else:
            signal.signal(signal.SIGHUP, lambda *_: _aside(self._on_hangup))
        self.reload()
        path = self._settings.config_path
        if self._settings.watch_config and path is not None:
            _aside(lambda: self._watch(FileWatch(path)))

    def reload(self, tell: Callable[[], None] = lambda: None) -> bool:
        """Put in force what the file says now; tells whether that could be done.

        Args:
            tell: Called once it is in force, before what follows from it is done.
        """
        with self._lock:
            try:
                self._reload(tell)
            except ConfigError as error:
                for problem in error.problems:
                    log.error("configuration: %s", problem)
                log.error(
                    "not reloaded mistakes=%d: the old configuration stays in force",
                    len(error.problems),
                )
                return False
            except Exception:
                log.exception("not reloaded: the old configuration stays in force")
                return False
            return True

    def _reload(self, tell: Callable[[], None]) -> None:
        old = self.config.current
        _, said = load(self._settings.config_path)
        changes = compare(old, said)
        for change in changes:
            if change.needs_restart:
                log.warning("not reloaded, needs a restart: %s", change)
        new = keep_fixed(self._started, said)
        if all(change.needs_restart for change in changes):
            tell()
            return
        self._check(new)
        if self._held_in is not None:
            check_removed(old, new, self._held_in)
        self.config.replace(new)
        log.info("reloaded changes=%d", len(changes))
        tell()
        for then in self._then:
            try:
                then(old, new)
            except Exception:
                log.exception("reload broke")

    def _on_hangup(self) -> None:
        self.reload(say_reloaded)

    def _watch(self, watch: FileWatch) -> None:
        never = Event()
        while not never.wait(WATCH_EVERY_S):
            if watch.has_changed():
                self.reload()


def _aside(run: Callable[[], None]) -> None:
    Thread(target=run, name="reload", daemon=True).start()
