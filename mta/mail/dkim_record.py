"""The public half of a signing key, as a TXT record in DNS has it.

RFC 6376 §3.6.1 (tags), §3.6.2.1 (the name), RFC 8463 §4 (Ed25519).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mta.config.signing_key import ED25519, RSA, Algorithm

MAX_STRING_OCTETS: Final = 255  # RFC 1035 §3.3: of each of a record's strings
_TYPES: Final[Mapping[Algorithm, str]] = {RSA: "rsa", ED25519: "ed25519"}
_TAG_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def record_name(domain: str, selector: str) -> str:
    """Where the record stands."""
    return f"{selector}._domainkey.{domain}"


def format_record(algorithm: Algorithm, public: str) -> str:
    """Write the text of the record."""
    return f"v=DKIM1; k={_TYPES[algorithm]}; p={public}"


def split_record(text: str) -> list[str]:
    """Cut the text into strings that a record may have."""
    ends = range(0, len(text), MAX_STRING_OCTETS)
    return [text[at : at + MAX_STRING_OCTETS] for at in ends]


def find_fault(texts: Sequence[str], want: str) -> str:
    """Say why what DNS has does not prove a key's signatures; "" if it does.

    Args:
        texts: Each record's strings put together.
        want: The text as ``format_record`` writes it.
    """
    if not texts:
        return "there is no record"
    records = [text for text in texts if "p" in parse_record(text)]
    if not records:
        return "the record has no p="
    if len(records) > 1:
        return "there are several records, of which anybody may take any"
    return next(_faults(parse_record(records[0]), parse_record(want)), "")


def parse_record(text: str) -> Mapping[str, str]:
    """Read the tags; none if it is not a list of tags. Blanks in p= are left out."""
    tags: dict[str, str] = {}
    for part in filter(str.strip, text.split(";")):
        name, equals, value = map(str.strip, part.partition("="))
        if not equals or name in tags or not _TAG_NAME.fullmatch(name):
            return {}
        tags[name] = value
    if "p" in tags:
        tags["p"] = "".join(tags["p"].split())
    return tags


def _faults(found: Mapping[str, str], want: Mapping[str, str]) -> Iterator[str]:
    if found.get("v", "DKIM1") != "DKIM1":
        yield f"the record is of version {found['v'][:20]!r} and not DKIM1"
    if not found["p"]:
        yield "the record says that the key is revoked: its p= is empty"
    if found.get("k", "rsa") != want["k"]:
        yield f"the record is for a key of type {found.get('k', 'rsa')[:20]!r}"
    if found["p"] != want["p"]:
        yield "the record has another key"
    if "sha256" not in _words(found.get("h", "sha256")):
        yield "the record does not allow sha256 (h=)"
    if not _words(found.get("s", "*")) & {"*", "email"}:
        yield "the record is not for mail (s=)"


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(":")}
