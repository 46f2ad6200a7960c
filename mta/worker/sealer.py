"""Signs what leaves: once for a message and a key, however many it goes to.

A message to ten thousand recipients has the same header and the same body for all of
them, so its signatures are made by whoever comes first, and shared. Only where each
copy names its recipient in a To field is each signed for itself.

Keys are found before anybody is connected to; a signature is made when the next hop
wants the content.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from mta.config.live import Live
from mta.config.zones import DkimConfig
from mta.errors import KeyUnusable
from mta.mail.address import domain_of, first_address, is_valid_domain
from mta.mail.dkim_sign import SignedHeader, Signer, SigningTerms
from mta.mail.header import HeaderSection
from mta.observe import metrics
from mta.store.cache import SharedCache
from mta.store.documents import StoredMessage
from mta.worker.keyring import each_once

log = logging.getLogger(__name__)

# As long as the library keeps messages: who comes later signs anew, with a new time.
KEPT_S: Final = 300.0
SIGNATURES_KEPT: Final = 2_000  # about a KiB each
AUTHORS_KEPT: Final = 2_000


class Keys(Protocol):
    """Finds keys; see ``mta.worker.keyring.Keyring``."""

    def find(self, domain: str) -> tuple[Signer, ...]: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """How mail is signed; the terms are made of the configuration."""

    config: DkimConfig
    terms: SigningTerms


class Sealer:
    """Signs for the deliveries of one process.

    Args:
        now: The clock; aware UTC.
    """

    def __init__(
        self,
        config: Live[DkimConfig],
        keys: Keys,
        now: Callable[[], datetime],
    ) -> None:
        self._rules = config.derive(_rules_of)
        self._keys = keys
        self._now = now
        self._authors: SharedCache[str, str] = SharedCache(max_entries=AUTHORS_KEPT)
        self._signatures: SharedCache[tuple[object, ...], bytes] = SharedCache(
            max_entries=SIGNATURES_KEPT
        )

    def prepare(self, message: StoredMessage, header: bytes) -> "Seal":
        """Find the keys for a message.

        Args:
            header: Its header section as it is sent.

        Raises:
            KeyUnusable: One cannot be used, and mail is to wait for it.
            StoreUnavailable: MongoDB is away.
        """
        rules = self._rules.current
        if not rules.config.enabled:
            return Seal(self, rules, message, header)
        author = self._authors.get(message.id, lambda: (_author_of(header), KEPT_S))
        signers = self.find(rules.config, _valid(domain_of(author)))
        return Seal(self, rules, message, header, author, signers)

    def find(self, config: DkimConfig, domain: str) -> tuple[Signer, ...]:
        """The keys of a domain; none, too, if mail goes out unsigned in trouble."""
        try:
            return self._keys.find(domain)
        except KeyUnusable as error:
            _note_failure(config, domain, error)
            return ()

    def sign(self, seal: "Seal", signer: Signer) -> bytes:
        """A signature of a message, made now or a while ago.

        Raises:
            KeyUnusable: The key does not do it.
        """
        if seal.message.adds_to:
            return self._sign(seal, signer)
        name = (signer.domain, signer.selector, signer.key.public)
        return self._signatures.get(
            (seal.message.id, *name, seal.identity, seal.rules.terms),
            lambda: (self._sign(seal, signer), KEPT_S),
        )

    def _sign(self, seal: "Seal", signer: Signer) -> bytes:
        body_hash = seal.message.body.hash
        try:
            field = SignedHeader(seal.header, seal.rules.terms).sign(
                signer, body_hash, now=self._now(), author=seal.identity
            )
        except Exception as error:
            # A bug of ours, or of the library's: mail must not be lost by it.
            log.exception("signing broke id=%s", seal.message.id)
            raise KeyUnusable(f"signing for {signer.domain} failed") from error
        metrics.DKIM_SIGNATURES.labels("made").inc()
        return field


@dataclass(frozen=True, slots=True)
class Seal:
    """What signs one message; without signers nothing does.

    Attributes:
        header: The section as it is sent.
        author: The first address in From; "" if there is none.
    """

    sealer: Sealer
    rules: Rules
    message: StoredMessage
    header: bytes
    author: str = ""
    signers: tuple[Signer, ...] = ()

    @property
    def identity(self) -> str:
        """What ``i=`` is made of; "": there is none."""
        return self.author if self.rules.config.identity == "author" else ""

    def fields(self, ehlo_name: str) -> bytes:
        """The signature fields for a session in which that is our name.

        Raises:
            KeyUnusable: As in ``Sealer.prepare``.
            StoreUnavailable: MongoDB is away.
        """
        config, signers = self.rules.config, self.signers
        domain = _valid(ehlo_name.lower())
        if config.enabled and config.sign_transport_domain and domain:
            signers += self.sealer.find(config, domain)
        return b"".join(map(self._field, each_once(signers)))

    def _field(self, signer: Signer) -> bytes:
        try:
            field = self.sealer.sign(self, signer)
        except KeyUnusable as error:
            _note_failure(self.rules.config, signer.domain, error)
            return b""
        metrics.DKIM_SIGNATURES.labels("used").inc()
        return field


def _note_failure(config: DkimConfig, domain: str, error: KeyUnusable) -> None:
    """Raise ``error``, unless mail goes out unsigned then."""
    metrics.DKIM_SIGNATURES.labels("failed").inc()
    if config.on_failure == "defer":
        raise error
    log.error("sent unsigned domain=%s: %s", domain or "-", error)


def _rules_of(config: DkimConfig) -> Rules:
    terms = SigningTerms(
        fields=config.signed_fields,
        oversigned=frozenset(config.oversign) & frozenset(config.signed_fields),
        has_timestamp=config.add_signature_timestamp,
        expire_in=config.signature_expire_in,
    )
    return Rules(config, terms)


def _author_of(header: bytes) -> str:
    """The first address in From; "" if there is none."""
    return first_address(HeaderSection.parse(header).raw_values("From"))


def _valid(domain: str) -> str:
    """A domain that can have a record in DNS; "" for what is none."""
    is_name = not domain.startswith("[") and is_valid_domain(domain)
    return domain if is_name else ""
