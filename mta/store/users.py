"""The users of mail submission: passwords, whom they send as, their quotas.

Names are compared to the letter, and come prepared (``mta.smtp.scram``). Documents
with fields that we do not know keep them.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from mta.config.values import parse_domain
from mta.errors import MtaError
from mta.mail.address import domain_of, is_valid_address, normalize_address
from mta.smtp.scram import ScramKeys
from mta.store.mongo import USERS, Document, Mongo, durable, guarded
from mta.store.passwords import Secrets, check_password, make_secrets
from mta.store.usage import NO_QUOTA, Quota, read_quota

MAX_NAME_CHARS: Final = 255
MAX_SENDERS: Final = 1000
MAX_PAGE: Final = 1000  # users in one answer of ``list``

ANY_SENDER: Final = "*"


class UserExists(MtaError):
    """There is a user of that name already."""


class NoSuchUser(MtaError):
    """There is no user of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user.

    Attributes:
        senders: As ``parse_sender`` writes them; none: any.
        created_at: None if the document does not say.
    """

    name: str
    secrets: Secrets = field(default=Secrets(), repr=False)
    senders: tuple[str, ...] = ()
    quota: Quota = NO_QUOTA
    is_disabled: bool = False
    created_at: datetime | None = None

    def may_send_from(self, reverse_path: str) -> bool:
        """Whether a reverse path is one of the user's; the null path is anybody's."""
        if not self.senders or not reverse_path:
            return True
        domain = domain_of(reverse_path)
        parents = domain.split(".")[1:]
        wildcards = (f"*.{'.'.join(parents[n:])}" for n in range(len(parents)))
        named = {ANY_SENDER, _spell(reverse_path), domain, *wildcards}
        return not named.isdisjoint(self.senders)


def check_name(name: str) -> str:
    """A prepared name, if a user may have it.

    Raises:
        ValueError: It is empty, too long, or cannot be shown.
    """
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise ValueError(f"a user name has 1 to {MAX_NAME_CHARS} characters")
    if not name.isprintable():
        raise ValueError("a user name has no control characters")
    return name


def parse_sender(text: str) -> str:
    """Read an address, a domain, ``*.domain`` for all below it, or ``*``.

    Raises:
        ValueError: It is none of them.
    """
    text = text.strip()
    if text == ANY_SENDER:
        return text
    if text.startswith("*."):
        return f"*.{parse_domain(text[2:])}"
    if "@" not in text:
        return parse_domain(text)
    address = normalize_address(text)
    if not is_valid_address(address):
        raise ValueError("is neither an address nor a domain")
    return _spell(address)


class Users:
    """The collection of users."""

    def __init__(self, db: Mongo) -> None:
        self._users = durable(db, USERS)

    @guarded
    def add(
        self,
        name: str,
        password: str,
        *,
        created_at: datetime,
        senders: Iterable[str] = (),
        quota: Quota = NO_QUOTA,
    ) -> User:
        """Add a user.

        Raises:
            UserExists: There is one of that name.
            ValueError: Name, password or a sender cannot be.
        """
        document = {
            "_id": check_name(name),
            **_kept(make_secrets(check_password(password))),
            "senders": _read_senders(senders),
            "quota": {k: v for k, v in quota.limits().items() if v is not None},
            "disabled": False,
            "created_at": created_at,
        }
        try:
            self._users.insert_one(document)
        except DuplicateKeyError:
            raise UserExists(f"there is a user {name!r} already") from None
        return _to_user(document)

    @guarded
    def find(self, name: str) -> User | None:
        """One user, if there is one of that name."""
        document = self._users.find_one({"_id": name})
        return _to_user(document) if document else None

    def get(self, name: str) -> User:
        """One user.

        Raises:
            NoSuchUser: There is none of that name.
        """
        found = self.find(name)
        if found is None:
            raise _unknown(name)
        return found

    def set_password(self, name: str, password: str) -> User:
        """Give a user another password.

        Raises:
            NoSuchUser: There is none of that name.
            ValueError: The password cannot be one.
        """
        return self._change(name, _kept(make_secrets(check_password(password))))

    def update(
        self,
        name: str,
        *,
        senders: Iterable[str] | None = None,
        quota: Quota | None = None,
        is_disabled: bool | None = None,
    ) -> User:
        """Change what is given, and nothing else.

        Raises:
            NoSuchUser: There is none of that name.
            ValueError: A sender cannot be.
        """
        changes: Document = {}
        if senders is not None:
            changes["senders"] = _read_senders(senders)
        if quota is not None:
            changes |= {f"quota.{k}": v for k, v in quota.limits().items()}
        if is_disabled is not None:
            changes["disabled"] = is_disabled
        return self._change(name, changes)

    @guarded
    def renew(self, user: User, renewed: Secrets) -> None:
        """Keep the same password in another way, unless it was changed meanwhile."""
        self._users.update_one(
            {"_id": user.name, "password": user.secrets.hash},
            {"$set": _kept(renewed)},
        )

    @guarded
    def remove(self, name: str) -> None:
        """Forget a user.

        Raises:
            NoSuchUser: There is none of that name.
        """
        if not self._users.delete_one({"_id": name}).deleted_count:
            raise _unknown(name)

    @guarded
    def _change(self, name: str, changes: Document) -> User:
        document = self._users.find_one_and_update(
            {"_id": name},
            {
                "$set": {k: v for k, v in changes.items() if v is not None},
                "$unset": {k: "" for k, v in changes.items() if v is None},
            },
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            raise _unknown(name)
        return _to_user(document)

    @guarded
    def list(self, *, after: str = "", limit: int = MAX_PAGE) -> Sequence[User]:
        """Users by name, from behind ``after``; from 1 to ``MAX_PAGE`` of them."""
        found = self._users.find({"_id": {"$gt": after}}).sort("_id", ASCENDING)
        page = max(1, min(limit, MAX_PAGE))
        return [_to_user(document) for document in found.limit(page)]


def _unknown(name: str) -> NoSuchUser:
    return NoSuchUser(f"there is no user {name!r}")


def _spell(address: str) -> str:
    """An address as senders are compared: no two mailboxes differ in case alone."""
    return f"{address.rpartition('@')[0].lower()}@{domain_of(address)}"


def _read_senders(texts: Iterable[str]) -> list[str]:
    senders = list(dict.fromkeys(map(parse_sender, texts)))
    if len(senders) > MAX_SENDERS:
        raise ValueError(f"a user has at most {MAX_SENDERS} senders")
    return senders


def _kept(kept: Secrets) -> Document:
    keys = kept.scram
    return {
        "password": kept.hash,
        "scram": keys
        and {
            "salt": keys.salt,
            "iterations": keys.iterations,
            "stored_key": keys.stored_key,
            "server_key": keys.server_key,
        },
    }


def _to_user(document: Document) -> User:
    """Read a document, whoever wrote it: what cannot be understood allows nothing."""
    password = document.get("password")
    created_at = document.get("created_at")
    return User(
        name=document["_id"],
        secrets=Secrets(
            password if isinstance(password, str) else "",
            _to_keys(document.get("scram")),
        ),
        senders=_to_senders(document.get("senders")),
        quota=read_quota(document.get("quota")),
        is_disabled=bool(document.get("disabled")),
        created_at=created_at if isinstance(created_at, datetime) else None,
    )


def _to_keys(stored: Any) -> ScramKeys | None:
    if not isinstance(stored, Mapping):
        return None
    salt, iterations = stored.get("salt"), stored.get("iterations")
    stored_key, server_key = stored.get("stored_key"), stored.get("server_key")
    match salt, iterations, stored_key, server_key:
        case bytes(), int(), bytes(), bytes():
            with suppress(ValueError):
                return ScramKeys(salt, iterations, stored_key, server_key)
    return None


def _to_senders(stored: Any) -> tuple[str, ...]:
    if stored is None:
        return ()
    entries = stored if isinstance(stored, list) else [stored]
    return tuple(str(entry).lower() for entry in entries)
