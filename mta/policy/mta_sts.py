"""What a domain says about TLS with its hosts by MTA-STS: read strictly.

Text to value alone; who fetches it, and from where, is ``relay.mta_sts``' affair.

RFC 8461 §3.1 (the TXT record), §3.2 (the policy), §4.1 (which hosts match).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

MAX_POLICY_BYTES: Final = 64 * 1024  # §3.3
MAX_AGE: Final = timedelta(seconds=31_557_600)  # §3.2
MAX_HOSTS: Final = 1_000
# §10.2: a policy is asked for long before it runs out, so that whoever keeps us from
# it for a while gains nothing.
REFRESH_AFTER: Final = timedelta(days=1)

_VERSION = "STSv1"
# §3.1, the grammar's sts-text-record.
_EXTENSION = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}[ \t]*=[ \t]*[\x21-\x3a\x3c\x3e-\x7e]+"
_RECORD = re.compile(
    rf"v=STSv1(?:[ \t]*;[ \t]*{_EXTENSION})+[ \t]*;?[ \t]*", re.ASCII | re.DOTALL
)
_ID = re.compile(r"[ \t]*;[ \t]*id[ \t]*=[ \t]*([A-Za-z0-9]{1,32})(?=[ \t]*(?:;|$))")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*:[ \t]*(.*?)[ \t]*")
_HOST = re.compile(
    r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)*"
)
_AGE = re.compile(r"[0-9]{1,10}")


class Mode(StrEnum):
    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """What a domain says; two that say the same are equal.

    Attributes:
        mx: Lower-case host names, or ``*.`` and a name.
        max_age: For how long it holds, from when it was fetched.
        id: The TXT record's, when it was fetched.
        until: When it runs out; aware UTC.
        fetched_at: Likewise.
    """

    mode: Mode
    mx: tuple[str, ...]
    max_age: timedelta
    id: str = field(default="", compare=False)
    until: datetime | None = field(default=None, compare=False)
    fetched_at: datetime | None = field(default=None, compare=False)

    def matches(self, host: str) -> bool:
        """Whether a host, in lower case and without a final dot, is one of them.

        A wildcard stands for one label, the first (§4.1).
        """
        parent = host.partition(".")[2]
        return any(
            parent == name[2:] if name.startswith("*.") else host == name
            for name in self.mx
        )

    def lines(self) -> tuple[str, ...]:
        """The policy as reports quote it (RFC 8460 §4.4)."""
        return (
            f"version: {_VERSION}",
            f"mode: {self.mode}",
            *(f"mx: {name}" for name in self.mx),
            f"max_age: {self.max_age // timedelta(seconds=1)}",
        )


def parse_record(texts: Sequence[str]) -> str | None:
    """Return the id of a domain's policy; None if it has none (§3.1).

    Args:
        texts: The TXT records of ``_mta-sts.DOMAIN``. Others may be among them, but
            of two that speak of a policy neither counts.
    """
    found = [text for text in texts if text.startswith(f"v={_VERSION};") or _is_v(text)]
    if len(found) != 1 or not _RECORD.fullmatch(found[0]):
        return None
    match = _ID.search(found[0])
    return match[1] if match else None


def parse_policy(body: bytes) -> StsPolicy:
    """Read a policy.

    Raises:
        ValueError: It is none, or one that is not complete.
    """
    said, hosts = _read_fields(body)
    if said.get("version") != _VERSION:
        raise ValueError("the policy is of no version that is known")
    try:
        mode = Mode(said.get("mode", ""))
    except ValueError:
        raise ValueError("the policy has no mode that is known") from None
    if not _AGE.fullmatch(said.get("max_age", "")):
        raise ValueError("the policy does not say how long it holds")
    if not (hosts or mode is Mode.NONE) or len(hosts) > MAX_HOSTS:
        raise ValueError("the policy names no host, or too many")
    max_age = min(timedelta(seconds=int(said["max_age"])), MAX_AGE)
    return StsPolicy(mode, tuple(dict.fromkeys(hosts)), max_age)


def refresh_at(policy: StsPolicy) -> datetime | None:
    """When a policy is to be asked for again, although its id is the same."""
    if policy.fetched_at is None:
        return None
    return policy.fetched_at + min(policy.max_age / 2, REFRESH_AFTER)


def _read_fields(body: bytes) -> tuple[dict[str, str], list[str]]:
    """The fields of which there is one each, and the hosts."""
    if len(body) > MAX_POLICY_BYTES:
        raise ValueError("the policy is too long")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the policy is not UTF-8") from None
    said: dict[str, str] = {}
    hosts: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        name, value = _split(line)
        if name == "mx":
            hosts.append(_read_host(value))
        elif name:
            said.setdefault(name, value)  # §3.2: of two, the first one counts
    return said, hosts


def _is_v(text: str) -> bool:
    """Blanks may stand before the first semicolon."""
    return text.partition(";")[0].rstrip(" \t") == f"v={_VERSION}" and ";" in text


def _split(line: str) -> tuple[str, str]:
    if not line.strip(" \t"):
        return "", ""
    match = _FIELD.fullmatch(line.rstrip(" \t"))
    if match is None:
        raise ValueError("the policy has a line that says nothing")
    return match[1], match[2]


def _read_host(value: str) -> str:
    host = value.lower().removesuffix(".")
    if len(host) > 255 or not _HOST.fullmatch(host):
        raise ValueError("the policy names a host that is none")
    return host
