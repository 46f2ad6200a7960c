"""Signing keys in MongoDB, and where each is in its life (``mta.policy.dkim``).

One document a key: ``_id domain selector algorithm public private_key state
created_at seen_at active_at retiring_at retired_at checked_at problem expires_at``.
Its ``_id`` is the name of its record in DNS, so that there cannot be two for one.
The private half is read by those who sign, and by nobody else; once a key is retired
it is gone.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from mta.config.signing_key import Algorithm
from mta.errors import MtaError
from mta.mail.dkim_record import record_name
from mta.policy.dkim import KEPT_FOR, KeyState, may_follow
from mta.store.mongo import DKIM_KEYS, Document, Mongo, durable, guarded

log = logging.getLogger(__name__)

MAX_LISTED: Final = 100_000
_TIMES: Final[Mapping[KeyState, str]] = {
    KeyState.ACTIVE: "active_at",
    KeyState.RETIRING: "retiring_at",
    KeyState.RETIRED: "retired_at",
}


class KeyExists(MtaError):
    """There is a key of that domain and selector already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """What may be known of a key.

    Attributes:
        domain: As A-labels; it is the ``d=`` of signatures.
        public: The public half as a DNS record has it.
        seen_at: When its record was first seen in DNS.
        checked_at, problem: The last look at DNS, and why it did not find the
            record; "": it did.
    """

    domain: str
    selector: str
    algorithm: Algorithm
    public: str
    state: KeyState
    created_at: datetime
    seen_at: datetime | None = None
    active_at: datetime | None = None
    retiring_at: datetime | None = None
    retired_at: datetime | None = None
    checked_at: datetime | None = None
    problem: str = ""

    @property
    def id(self) -> str:
        """The name of its record."""
        return record_name(self.domain, self.selector)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key to sign with; ``pem`` is its private half."""

    id: str
    domain: str
    selector: str
    pem: bytes = field(repr=False)


class DkimKeys:
    """The collection of keys; all times are aware UTC."""

    def __init__(self, db: Mongo) -> None:
        self._keys = durable(db, DKIM_KEYS)

    @guarded
    def add(self, key: StoredKey, pem: bytes) -> None:
        """Add a key.

        Raises:
            KeyExists: There is one of that domain and selector.
        """
        document: Document = {
            "_id": key.id,
            "domain": key.domain,
            "selector": key.selector,
            "algorithm": key.algorithm,
            "public": key.public,
            "private_key": pem,
            "state": key.state.value,
            "created_at": key.created_at,
        }
        try:
            self._keys.insert_one(document)
        except DuplicateKeyError:
            raise KeyExists(f"there is a key {key.id} already") from None

    @guarded
    def find(self, domain: str | None = None) -> list[StoredKey]:
        """List keys, of one domain or of all, the oldest of each first."""
        query = {} if domain is None else {"domain": domain}
        found = self._keys.find(query, {"private_key": 0})
        ordered = found.sort([("domain", ASCENDING), ("created_at", ASCENDING)])
        return list(_to_keys(ordered.limit(MAX_LISTED)))

    @guarded
    def active(self, domain: str) -> tuple[SecretKey, ...]:
        """The keys that sign for a domain, the newest first."""
        found = self._keys.find({"domain": domain, "state": KeyState.ACTIVE.value})
        return tuple(
            SecretKey(
                document["_id"],
                document["domain"],
                document["selector"],
                bytes(document.get("private_key", b"")),
            )
            for document in found.sort("created_at", -1)
        )

    @guarded
    def note_look(self, key: StoredKey, problem: str, now: datetime) -> None:
        """Remember what a look at DNS found."""
        update: Document = {"$set": {"checked_at": now, "problem": problem}}
        if not problem:
            update["$min"] = {"seen_at": now}
        self._keys.update_one({"_id": key.id}, update)

    @guarded
    def change(self, key: StoredKey, state: KeyState, now: datetime) -> bool:
        """Move a key on, if it is where it was; tells whether this call did it."""
        if not may_follow(key.state, state):
            raise ValueError(f"a {key.state} key does not become {state}")
        update: Document = {"$set": {"state": state.value, _TIMES[state]: now}}
        if state is KeyState.RETIRED:
            update["$set"]["expires_at"] = now + KEPT_FOR
            update["$unset"] = {"private_key": ""}
        changed = self._keys.update_one(
            {"_id": key.id, "state": key.state.value}, update
        )
        return changed.modified_count > 0

    @guarded
    def remove(self, domain: str, selector: str) -> bool:
        """Forget a key at once; tells whether there was one."""
        removed = self._keys.delete_one({"_id": record_name(domain, selector)})
        return removed.deleted_count > 0


def _to_keys(documents: Iterable[Document]) -> Iterator[StoredKey]:
    """Those that can be read: one that cannot must not stop the others."""
    for document in documents:
        try:
            yield _to_key(document)
        except (KeyError, ValueError):
            log.exception("signing key cannot be read id=%s", document.get("_id"))


def _to_key(document: Mapping[str, Any]) -> StoredKey:
    return StoredKey(
        domain=document["domain"],
        selector=document["selector"],
        algorithm=document["algorithm"],
        public=document["public"],
        state=KeyState(document["state"]),
        created_at=document["created_at"],
        seen_at=document.get("seen_at"),
        active_at=document.get("active_at"),
        retiring_at=document.get("retiring_at"),
        retired_at=document.get("retired_at"),
        checked_at=document.get("checked_at"),
        problem=document.get("problem", ""),
    )
