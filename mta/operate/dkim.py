"""Signing keys, as operators deal with them: made, published, checked, replaced.

A key that is made here is *pending*: it signs nothing before ``look`` has seen its
record in DNS (``mta.policy.dkim``). Keys of zones.yaml are the operator's own affair:
they sign from the start, and are only checked.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from string import ascii_lowercase
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mta.config.dkim import ANY_DOMAIN
from mta.config.key_files import load_key
from mta.config.signing_key import (
    ED25519,
    RSA,
    Algorithm,
    parse_signing_key,
    to_pem,
)
from mta.config.zones import DkimConfig, DkimKey
from mta.errors import MtaError, TransientFailure
from mta.mail.dkim_record import find_fault, format_record, record_name
from mta.policy.dkim import (
    KeyState,
    find_replaced,
    is_over,
    wants_look,
)
from mta.store.dkim_keys import DkimKeys, StoredKey

log = logging.getLogger(__name__)

FindTexts = Callable[[str], Sequence[str]]

IN_ZONES_YAML: Final = "zones.yaml"
_LETTERS: Final = {RSA: "r", ED25519: "e"}
_EXPONENT: Final = 65537


class CannotRotate(MtaError):
    """There is no key to replace, or its successor is there already."""


@dataclass(frozen=True, slots=True)
class Published:
    """A public key that DNS should have.

    Attributes:
        state: As in ``KeyState``, or ``zones.yaml`` for a key that is there.
        stored: None for a key of zones.yaml.
    """

    domain: str
    selector: str
    algorithm: Algorithm
    public: str
    state: str
    stored: StoredKey | None = None

    @property
    def name(self) -> str:
        """The name of the record."""
        return record_name(self.domain, self.selector)

    @property
    def record(self) -> str:
        """The text of the record."""
        return format_record(self.algorithm, self.public)


def make_pem(algorithm: Algorithm, bits: int) -> bytes:
    """Make a private key; ``bits`` is for RSA."""
    if algorithm == ED25519:
        return to_pem(Ed25519PrivateKey.generate())
    return to_pem(rsa.generate_private_key(_EXPONENT, bits))


def choose_selector(algorithm: Algorithm, now: datetime, taken: Iterable[str]) -> str:
    """Name a key by what it is and its day: ``r20260301``, ``r20260301b`` ..."""
    day, used = f"{_LETTERS[algorithm]}{now:%Y%m%d}", set(taken)
    letters = (f"{day}{letter}" for letter in ascii_lowercase[1:])
    names = chain((day,), letters, (f"{day}-{number}" for number in count(27)))
    return next(name for name in names if name not in used)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys in MongoDB; all times are aware UTC."""

    store: DkimKeys
    now: Callable[[], datetime]

    def make(
        self, domain: str, algorithm: Algorithm, *, bits: int, selector: str = ""
    ) -> StoredKey:
        """Make a key; it is pending.

        Raises:
            KeyExists: There is one with that selector.
        """
        now = self.now()
        if not selector:
            taken = (key.selector for key in self.store.find(domain))
            selector = choose_selector(algorithm, now, taken)
        pem = make_pem(algorithm, bits)
        key = StoredKey(
            domain=domain,
            selector=selector,
            algorithm=algorithm,
            public=parse_signing_key(pem, is_trusted=True).public,
            state=KeyState.PENDING,
            created_at=now,
        )
        self.store.add(key, pem)
        return key

    def rotate(self, domain: str, *, bits: int) -> list[StoredKey]:
        """Make a successor of each active key; they sign on until it is published.

        Raises:
            CannotRotate: There is no active key, or all have successors.
        """
        keys = self.store.find(domain)
        active = {key.algorithm for key in keys if key.state is KeyState.ACTIVE}
        waiting = {key.algorithm for key in keys if key.state is KeyState.PENDING}
        if not active:
            raise CannotRotate(
                f"{domain} has no active key in MongoDB; mta dkim keygen makes one"
            )
        if active <= waiting:
            raise CannotRotate(
                f"the next key of {domain} is made already, and waits for its record: "
                f"mta dkim dns {domain}"
            )
        wanted = sorted(active - waiting, reverse=True)
        return [self.make(domain, algorithm, bits=bits) for algorithm in wanted]

    def look(self, find_texts: FindTexts) -> None:
        """Look for the records for which it is time, and move keys on.

        Raises:
            StoreUnavailable: MongoDB is away; what was not done is done next time.
        """
        now = self.now()
        for key in self.store.find():
            if wants_look(key, now):
                self._look_for(key, find_texts, now)
            if is_over(key, now):
                self._change(key, KeyState.RETIRED, now)
        for key in find_replaced(self.store.find()):
            self._change(key, KeyState.RETIRING, now)

    def _look_for(self, key: StoredKey, find_texts: FindTexts, now: datetime) -> None:
        problem = look_up(_published(key), find_texts)
        self.store.note_look(key, problem, now)
        if problem and not key.problem and key.state is not KeyState.PENDING:
            log.error("signing key %s is not in DNS any more: %s", key.id, problem)
        if key.state is KeyState.PENDING and not problem:
            self._change(key, KeyState.ACTIVE, now)

    def _change(self, key: StoredKey, state: KeyState, now: datetime) -> None:
        if self.store.change(key, state, now):
            log.info("signing key %s is %s, was %s", key.id, state, key.state)


def look_up(key: Published, find_texts: FindTexts) -> str:
    """Why DNS has not what proves a key's signatures; "" if it has."""
    try:
        return find_fault(find_texts(key.name), key.record)
    except TransientFailure as failure:
        return str(failure.reply)


def published(
    store: DkimKeys, config: DkimConfig, domain: str | None = None
) -> list[Published]:
    """All keys that DNS should have: those of zones.yaml, then those in MongoDB.

    Args:
        domain: Only those that sign for it or in its name; None: all, but those
            under ``*`` that sign in anybody's name.

    Raises:
        ValueError: A key of zones.yaml cannot be read.
    """
    keys = [key for key in store.find(domain) if key.state is not KeyState.RETIRED]
    is_other = not keys and domain not in config.keys
    said = [
        (name, key)
        for name, own in config.keys.items()
        for key in own
        if domain in (None, name, key.domain) or (name == ANY_DOMAIN and is_other)
    ]
    return [*_configured(said, domain or ""), *map(_published, keys)]


def _configured(
    said: Iterable[tuple[str, DkimKey]], domain: str
) -> Iterator[Published]:
    for name, key in said:
        signs_for = key.domain or (domain if name == ANY_DOMAIN else name)
        if signs_for:
            read = load_key(key)
            names = (signs_for, key.selector, read.algorithm, read.public)
            yield Published(*names, IN_ZONES_YAML)


def _published(key: StoredKey) -> Published:
    return Published(
        *(key.domain, key.selector, key.algorithm, key.public, key.state.value), key
    )
