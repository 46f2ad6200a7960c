"""DKIM signatures: what is signed of a header section, and the field that says so.

Relaxed in both canonical forms. A field is signed as often as it is there, and those
that are *oversigned* once more: whoever adds another one below our signature, where
some readers would take it for the real one, breaks it. The hash of the body was
computed while the message came in (``mta.mail.dkim``).

RFC 6376 §3.4.2 (relaxed fields), §3.5 (tags), §3.7 (what is hashed), §5.4 (which
fields), §8.15 (fields that are added); RFC 8463 (Ed25519); RFC 8616 (domains are
A-labels whatever the header holds).
"""

import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mta.config.signing_key import SigningKey
from mta.mail.address import domain_of, is_valid_domain
from mta.mail.header import HeaderSection

MAX_INSTANCES: Final = 16  # of one name; who has more of it is not worth a longer list
_FOLD_CHARS: Final = 76

_BLANKS: Final = re.compile(rb"[ \t]+")
# What may stand in i= as it is: RFC 6376 §2.11 without "=" and ";", and no quotes.
_PLAIN_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/?^_`{|}~-]+")


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, and under which name in DNS its public half is.

    Attributes:
        domain: ``d=``, as A-labels.
        selector: ``s=``.
    """

    domain: str
    selector: str
    key: SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningTerms:
    """What signatures say and cover.

    Attributes:
        fields: Lower-case names of fields that are signed, From among them.
        oversigned: Those of which no other one may be added.
        has_timestamp: Signatures say when they were made.
        expire_in: They say how long they are valid; None: for ever.
    """

    fields: Sequence[str]
    oversigned: Collection[str] = frozenset()
    has_timestamp: bool = True
    expire_in: timedelta | None = None


class SignedHeader:
    """What signatures cover of one message: the same for each of its signatures.

    Args:
        header: The section as it is sent, without the empty line.

    Attributes:
        names: What ``h=`` lists, in this order.
        covered: The fields of these names in their relaxed forms.
    """

    def __init__(self, header: bytes, terms: SigningTerms) -> None:
        by_name: dict[str, list[bytes]] = {}
        for name, raw in HeaderSection.parse(header).fields():
            by_name.setdefault(name, []).append(raw)
        names: list[str] = []
        covered: list[bytes] = []
        for name in dict.fromkeys(terms.fields):
            # §5.4.2: instances are taken from the bottom up.
            found = by_name.get(name, [])[: -MAX_INSTANCES - 1 : -1]
            covered += map(relax_field, found)
            names += [name] * (len(found) + (name in terms.oversigned))
        self.names = names
        self.covered = b"".join(covered)
        self._terms = terms

    def sign(
        self, signer: Signer, body_hash: str, *, now: datetime, author: str = ""
    ) -> bytes:
        """Write a signature field, folded, CRLF included.

        Args:
            body_hash: Base64 SHA-256 of the body's relaxed form.
            author: On whose behalf it is signed (``i=``), an address; "": nobody is
                named, which means the domain.
        """
        field = self._field(signer, body_hash, now, author)
        # §3.7: the field itself comes last, with an empty b= and without a CRLF.
        data = self.covered + relax_field(field).removesuffix(b"\r\n")
        signature = b64encode(signer.key.sign(data)).decode("ascii")
        return field + _fold(signature, used=len(" b=")) + b"\r\n"

    def _field(
        self, signer: Signer, body_hash: str, now: datetime, author: str
    ) -> bytes:
        tags = [
            "v=1;",
            f" a={signer.key.algorithm};",
            " c=relaxed/relaxed;",
            f" d={signer.domain};",
            f" s={signer.selector};",
            *(f" {tag};" for tag in self._times(now)),
        ]
        if author:
            tags.append(f" i={identity_of(author, signer.domain)};")
        names = (f"{name}:" for name in self.names[:-1])
        tags += [" h=", *names, f"{self.names[-1]};" if self.names else ";"]
        lines = ["DKIM-Signature:"]
        for tag in [f" {tags[0]}", *tags[1:], f" bh={body_hash};"]:
            if len(lines[-1]) + len(tag) > _FOLD_CHARS:
                lines.append(tag if tag.startswith(" ") else f"  {tag}")
            else:
                lines[-1] += tag
        return "\r\n".join([*lines, " b="]).encode("ascii")

    def _times(self, now: datetime) -> Iterator[str]:
        signed_at = int(now.timestamp())
        if self._terms.has_timestamp:
            yield f"t={signed_at}"
        if self._terms.expire_in is not None:
            yield f"x={signed_at + int(self._terms.expire_in.total_seconds())}"


def relax_field(raw: bytes) -> bytes:
    """Write a field in its relaxed form (§3.4.2), CRLF included."""
    name, _, value = raw.partition(b":")
    value = _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.rstrip(b" \t").lower() + b":" + value + b"\r\n"


def identity_of(author: str, domain: str) -> str:
    """Name an author in ``i=``; where that cannot be, the domain alone.

    §3.5: its domain has to be that of the signature, or below it.
    """
    local, own = author.rpartition("@")[0], domain_of(author)
    is_within = own == domain or own.endswith(f".{domain}")
    if not is_within or not is_valid_domain(own):
        return f"@{domain}"
    return f"{local if _PLAIN_LOCAL_PART.fullmatch(local) else ''}@{own}"


def _fold(text: str, *, used: int) -> bytes:
    """Cut a long word into lines; ``used``: what the first of them holds already."""
    first = _FOLD_CHARS - used
    rest = range(first, len(text), _FOLD_CHARS - 1)
    pieces = [text[:first], *(text[at : at + _FOLD_CHARS - 1] for at in rest)]
    return "\r\n ".join(pieces).encode("ascii")
