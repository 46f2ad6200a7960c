"""How mail is signed by DKIM: with which keys, and what signatures cover."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from mta.config.base import HOUR, YEAR, Frozen
from mta.config.fields import (
    Boolean,
    Domain,
    FilePath,
    FrozenMapping,
    HeaderName,
    lasting,
    text_of,
)
from mta.config.signing_key import Algorithm

ANY_DOMAIN: Final = "*"
MAX_KEY_CHARS: Final = 20_000
MAX_KEYS: Final = 8  # of a domain: each is a signature, and work for who reads it

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_SELECTOR_CHARS = 100

# RFC 6376 §5.4.1 and what else readers go by; ZoneMTA has the same, in this order.
SIGNED: Final = (
    *("from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc"),
    *("mime-version", "content-type", "content-transfer-encoding", "content-id"),
    *("content-description", "resent-date", "resent-from", "resent-sender"),
    *("resent-to", "resent-cc", "resent-message-id", "in-reply-to", "references"),
    *("list-id", "list-help", "list-unsubscribe", "list-subscribe", "list-post"),
    *("list-owner", "list-archive", "list-unsubscribe-post", "feedback-id"),
)
# Those a message has once at most, and whose copies would be taken for the real ones.
# The list's own have to be covered for RFC 8058 §4.
OVERSIGNED: Final = (
    *("from", "reply-to", "subject", "date", "message-id", "to", "cc"),
    *("mime-version", "content-type", "content-transfer-encoding"),
    *(name for name in SIGNED if name.startswith("list-")),
)
# RFC 6376 §5.4.1: they change on the way, or it would be the signature itself.
NEVER_SIGNED: Final = frozenset({"bcc", "dkim-signature", "received", "return-path"})


def parse_selector(text: str) -> str:
    """Read the part of a record's name before ``._domainkey``, in lower case.

    Raises:
        ValueError: It is none.
    """
    selector = text.strip().lower()
    if len(selector) > _MAX_SELECTOR_CHARS or not _SELECTOR.fullmatch(selector):
        raise ValueError("is not a selector: labels of a to z, 0 to 9 and -, as s2026")
    return selector


def _key_text(text: str) -> str:
    if not text.strip() or len(text) > MAX_KEY_CHARS:
        raise ValueError(f"is not a key of 1 to {MAX_KEY_CHARS} characters")
    return text


class DkimKey(Frozen):
    """A key that signs for a domain.

    Attributes:
        algorithm: None: whatever the key is for.
        path: The file that it is in; or else
        private_key: its text, from the environment.
        domain: The one that vouches (``d=``); None: the one that is signed for.
    """

    selector: Annotated[str, BeforeValidator(text_of(parse_selector))]
    algorithm: Algorithm | None = None
    path: FilePath | None = None
    private_key: Annotated[
        str | None, BeforeValidator(text_of(_key_text)), Field(repr=False)
    ] = None
    domain: Domain | None = None


class DkimConfig(Frozen):
    """All of it.

    Attributes:
        enabled: False: nothing is signed.
        keys: By the domain of the author (From); ``*``: all that have none.
        sign_transport_domain: The name we have in EHLO signs as well.
        header_fields: Those that are signed, if they are there.
        additional_header_fields: More of them.
        oversign: Those of which no other one may be added.
        add_signature_timestamp: ``t=``.
        signature_expire_in: ``x=``; None: signatures hold for ever.
        identity: ``i=``: the author's address, or nothing.
        on_failure: What becomes of mail whose key cannot be used.
    """

    enabled: Boolean = True
    keys: Annotated[Mapping[str, tuple[DkimKey, ...]], FrozenMapping] = Field(
        default_factory=dict, validate_default=True
    )
    sign_transport_domain: Boolean = False
    header_fields: tuple[HeaderName, ...] = SIGNED
    additional_header_fields: tuple[HeaderName, ...] = ()
    oversign: tuple[HeaderName, ...] = OVERSIGNED
    add_signature_timestamp: Boolean = True
    # Longer than mail is on its way, and than clocks are wrong.
    signature_expire_in: Annotated[timedelta | None, lasting(HOUR, YEAR)] = None
    identity: Literal["domain", "author"] = "domain"
    on_failure: Literal["defer", "send"] = "defer"

    @property
    def signed_fields(self) -> tuple[str, ...]:
        """All that are signed, each once."""
        fields = (*self.header_fields, *self.additional_header_fields)
        return tuple(dict.fromkeys(fields))
