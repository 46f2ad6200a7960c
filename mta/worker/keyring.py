"""Finds the keys that sign for a domain: those of zones.yaml, and those of MongoDB.

A file with a key is read again when it has changed. One that is no good any more is
reported once, and the key that was read before stays in use; where there is none, mail
has to wait. What MongoDB has is known for half a minute.
"""

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from mta.config.dkim import ANY_DOMAIN
from mta.config.key_files import load_key
from mta.config.live import Live
from mta.config.signing_key import SigningKey, parse_signing_key
from mta.config.zones import DkimConfig, DkimKey
from mta.errors import KeyUnusable
from mta.mail.dkim_sign import Signer
from mta.store.cache import SharedCache
from mta.store.dkim_keys import SecretKey

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0  # at a file
KNOWN_FOR_S: Final = 30.0  # what MongoDB said
MAX_DOMAINS: Final = 10_000

_Stamp: TypeAlias = tuple[int, int, int] | None


class Stored(Protocol):
    """Where keys are kept; see ``mta.store.dkim_keys.DkimKeys``."""

    def active(self, domain: str) -> tuple[SecretKey, ...]: ...


class Keyring:
    """The keys of one process, each read once.

    Args:
        monotonic: The clock; seconds.
    """

    def __init__(
        self,
        config: Live[DkimConfig],
        stored: Stored,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._stored = stored
        self._monotonic = monotonic
        self._known: SharedCache[str, tuple[Signer, ...]] = SharedCache(
            max_entries=MAX_DOMAINS, monotonic=monotonic
        )
        self._read: dict[DkimKey, _KeyFile] = {}
        self._read_for = config.current

    def find(self, domain: str) -> tuple[Signer, ...]:
        """The keys that sign for mail of a domain; none if nobody has one.

        Args:
            domain: A lower-case A-label; "": the mail names none.

        Raises:
            KeyUnusable: There is a key, and nobody can sign with it now.
            StoreUnavailable: MongoDB is away.
        """
        config = self._config.current
        self._forget_others(config)
        said = config.keys.get(domain, ())
        stored = self._find_stored(domain) if domain else ()
        if not said and not stored:
            others = config.keys.get(ANY_DOMAIN, ())
            said = tuple(key for key in others if key.domain or domain)
        named = (Signer(k.domain or domain, k.selector, self._key(k)) for k in said)
        return each_once((*named, *stored))

    def _find_stored(self, domain: str) -> tuple[Signer, ...]:
        return self._known.get(domain, lambda: (self._load(domain), KNOWN_FOR_S))

    def _load(self, domain: str) -> tuple[Signer, ...]:
        return tuple(map(_to_signer, self._stored.active(domain)))

    def _key(self, said: DkimKey) -> SigningKey:
        if said not in self._read:
            self._read[said] = _KeyFile(said, self._monotonic)
        return self._read[said].current()

    def _forget_others(self, config: DkimConfig) -> None:
        """No longer hold keys that a reload has taken out."""
        if config is not self._read_for:
            self._read_for = config
            wanted = {key for keys in config.keys.values() for key in keys}
            self._read = {k: file for k, file in self._read.items() if k in wanted}


class _KeyFile:
    """One key of zones.yaml as it was last read."""

    def __init__(self, said: DkimKey, monotonic: Callable[[], float]) -> None:
        self._said = said
        self._monotonic = monotonic
        self._look_at = 0.0
        self._stamp: _Stamp = None
        self._fault = ""
        self._key: SigningKey | None = None

    def current(self) -> SigningKey:
        now = self._monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            self._refresh()
        if self._key is None:
            raise KeyUnusable(self._fault)
        return self._key

    def _refresh(self) -> None:
        # Looked at first: what changes while we read is read again.
        stamp = _stamp_of(self._said)
        # What could not be read may be put right without a new stamp.
        if self._key is not None and stamp == self._stamp and not self._fault:
            return
        self._stamp = stamp
        try:
            key = load_key(self._said)
        except ValueError as error:
            if str(error) != self._fault:
                log.error("signing key not read selector=%s: %s", *self._name(error))
            self._fault = str(error)
            return
        log.info(
            "signing key read selector=%s algorithm=%s bits=%d",
            *(self._said.selector, key.algorithm, key.bits),
        )
        if key.is_short:
            log.warning("signing key is short: have 2048 bits or more")
        self._key, self._fault = key, ""

    def _name(self, error: ValueError) -> tuple[str, ValueError]:
        return self._said.selector, error


def each_once(signers: Iterable[Signer]) -> tuple[Signer, ...]:
    """Of those that share a record in DNS the first alone, in their order."""
    found: dict[tuple[str, str], Signer] = {}
    for signer in signers:
        found.setdefault((signer.domain, signer.selector), signer)
    return tuple(found.values())


def _to_signer(found: SecretKey) -> Signer:
    try:
        key = parse_signing_key(found.pem, is_trusted=True)
    except ValueError as error:
        raise KeyUnusable(f"{found.id} in MongoDB {error}") from None
    return Signer(found.domain, found.selector, key)


def _stamp_of(said: DkimKey) -> _Stamp:
    if said.path is None:
        return None
    try:
        seen = Path(said.path).stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
