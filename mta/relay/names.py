"""What we call ourselves in EHLO where the file does not say.

The name that DNS gives the address we dial from, if DNS also gives that name the
address: many servers look for just that. Found out once for each address, and kept;
whoever is first waits for it, for some seconds at most.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from mta.config.zones import IPAddress, PoolAddress
from mta.errors import AttemptFailed, TransientFailure
from mta.store.cache import SharedCache

log = logging.getLogger(__name__)

# For one question; two are asked as a rule, while a delivery waits.
PATIENCE = timedelta(seconds=2)
KEPT = timedelta(days=1)
# DNS did not tell: asked again then.
PAUSE = timedelta(minutes=5)

MAX_ADDRESSES = 10_000
MAX_NAMES = 3  # of one address that are looked up


class Names(Protocol):
    """The part of the resolver that is needed here; give it ``PATIENCE``."""

    def find_names(self, address: IPAddress) -> tuple[str, ...]: ...

    def find_addresses(self, host: str) -> Sequence[IPAddress]: ...


class EhloNames:
    """Knows our names.

    Args:
        hostname: Where neither the file nor DNS has one.
    """

    def __init__(
        self,
        names: Names,
        hostname: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = names
        self._hostname = hostname
        self._found: SharedCache[IPAddress, str] = SharedCache(
            max_entries=MAX_ADDRESSES, monotonic=monotonic
        )

    def __call__(self, source: PoolAddress | None) -> str:
        """Our name when we dial from ``source``; None: the system chooses it."""
        if source is None:
            return self._hostname
        if source.name is not None:
            return source.name
        address = source.address
        return self._found.get(address, lambda: self._find(address)) or self._hostname

    def _find(self, address: IPAddress) -> tuple[str, float]:
        try:
            name = next(self._confirmed(address), "")
        except AttemptFailed as failure:
            log.warning(
                "name of address not found out address=%s (%s)", address, failure
            )
            return "", PAUSE.total_seconds()
        log.info("name of address address=%s name=%s", address, name or "-")
        return name, KEPT.total_seconds()

    def _confirmed(self, address: IPAddress) -> Iterator[str]:
        """Yield the names of an address that lead back to it."""
        failure: TransientFailure | None = None
        for name in sorted(self._names.find_names(address))[:MAX_NAMES]:
            try:
                if address in self._names.find_addresses(name):
                    yield name.lower()
            except TransientFailure as error:
                failure = error
            except AttemptFailed:
                continue  # there is no such name
        if failure is not None:
            raise failure
