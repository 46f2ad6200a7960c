"""Looks for the records of signing keys in DNS, every now and then.

Runs beside the scheduler, in a thread of its own: nameservers may be slow, and a tick
must not be. Every replica looks; what they find they write down the same.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import Final, Protocol

from mta.config.live import Live
from mta.errors import StoreUnavailable
from mta.operate.dkim import Keys

log = logging.getLogger(__name__)

EVERY_S: Final = 15.0  # more often than any key wants it


class Names(Protocol):
    """Asks DNS; see ``mta.relay.resolver.Resolver``."""

    def find_texts(self, name: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class KeyWatch:
    """Moves keys on once their records are there, and over."""

    keys: Keys
    names: Live[Names]
    every_s: float = EVERY_S

    def run(self, stop: Event) -> None:
        """Look, until ``stop`` is set."""
        while not stop.wait(self.every_s):
            self.look()

    def look(self) -> None:
        """Look once; what goes wrong is logged."""
        try:
            self.keys.look(self.names.current.find_texts)
        except StoreUnavailable as error:
            log.warning("signing keys not looked after error=%s", error)
        except Exception:
            # The next look may do better; without any, no new key would ever sign.
            log.exception("key watch broke")
