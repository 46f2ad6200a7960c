"""Reverse paths of forwarded mail, rewritten so that SPF holds and bounces come back.

A foreign reverse path becomes one of ours that holds the old one, a day and a keyed
hash; who gets a bounce for it can give it back to where it came from, and nobody can
make one up. A path that somebody else has rewritten keeps his hop and ours alone.

The Sender Rewriting Scheme of Shevek and Wong (2004), as ZoneMTA writes it.
"""

import hashlib
import hmac
import re
from collections.abc import Container
from datetime import date, timedelta
from typing import Final

HASH_CHARS: Final = 4
MAX_AGE: Final = timedelta(days=21)
MAX_LOCAL_PART: Final = 64  # RFC 5321 §4.5.3.1.1 octets
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DAYS: Final = 1024
_EPOCH: Final = date(1970, 1, 1)

_SRS0 = re.compile(r"SRS0[=+-](.*)", re.IGNORECASE | re.DOTALL)
_SRS1 = re.compile(r"SRS1[=+-][^=]*=([^=]*)=(.*)", re.IGNORECASE | re.DOTALL)
_OURS0 = re.compile(
    r"SRS0[=+-]([^=]*)=([A-Z2-7]{2})=([^=]*)=(.*)", re.IGNORECASE | re.DOTALL
)


class NotOurs(ValueError):
    """A path that was not made here, or not lately."""


def rewrite(
    reverse_path: str,
    *,
    secret: str,
    domain: str,
    today: date,
    keep: Container[str] = (),
) -> str:
    """Make a reverse path one of ``domain``; the null path, and our own, stay.

    A path that would not fit a local part stays, too: rather fail SPF than be no
    address.

    Args:
        keep: Domains, in lower case, whose paths stay; ``domain`` does anyway.
    """
    local, _, of = reverse_path.rpartition("@")
    if not local or of.lower() == domain.lower() or of.lower() in keep:
        return reverse_path
    if found := _SRS1.fullmatch(local):
        first, rest = found[1], found[2]
        new = f"SRS1={_hash(secret, first + rest)}={first}={rest}"
    elif found := _SRS0.fullmatch(local):
        rest = f"={found[1]}"
        new = f"SRS1={_hash(secret, of + rest)}={of}={rest}"
    else:
        day = timestamp(today)
        new = f"SRS0={_hash(secret, day + of + local)}={day}={of}={local}"
    return f"{new}@{domain}" if len(new.encode()) <= MAX_LOCAL_PART else reverse_path


def restore(local_part: str, *, secret: str, today: date) -> str:
    """Find where a bounce for a local part of ours is to go.

    Raises:
        NotOurs: It was not made here with this secret, or too long ago.
    """
    if found := _SRS1.fullmatch(local_part):
        first, rest = found[1], found[2]
        given = local_part.split("=", 2)[1]
        _check(given, _hash(secret, first + rest))
        return f"SRS0{rest}@{first}"
    found = _OURS0.fullmatch(local_part)
    if found is None:
        raise NotOurs("not a rewritten path")
    given, day, of, local = found.groups()
    _check(given, _hash(secret, day.upper() + of + local))
    age = (_number(timestamp(today)) - _number(day.upper())) % _DAYS
    if age > MAX_AGE.days:
        raise NotOurs("made too long ago")
    return f"{local}@{of}"


def timestamp(day: date) -> str:
    """A day in two characters; they come again after 1,024 days."""
    number = (day - _EPOCH).days % _DAYS
    return _BASE32[number >> 5] + _BASE32[number & 31]


def _number(two: str) -> int:
    return (_BASE32.index(two[0]) << 5) + _BASE32.index(two[1])


def _hash(secret: str, text: str) -> str:
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1)
    return digest.hexdigest()[:HASH_CHARS]


def _check(given: str, expected: str) -> None:
    if not hmac.compare_digest(given.lower().encode(), expected.encode()):
        raise NotOurs("not made here")
