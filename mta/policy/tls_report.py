"""Reports to domains about TLS with their hosts: what is counted, and how it is told.

Pure: from what was seen to counts, and from counts to the report's JSON.

RFC 8460 §3 (the TXT record), §4 (the schema).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from mta.policy.mta_sts import Mode, StsPolicy
from mta.policy.tls import BY_DANE
from mta.policy.tls_results import TlsResult

PolicyType: TypeAlias = Literal["tlsa", "sts", "no-policy-found"]

MAX_TEXT: Final = 200  # of why something failed
MAX_POLICY_LINES: Final = 40
MAX_PLACES: Final = 5  # that one domain has its reports sent to

_RECORD = re.compile(r"v=TLSRPTv1(?:[ \t]*;[ \t]*[A-Za-z0-9_.-]+[ \t]*=[^;]*)+;?[ \t]*")
_RUA = re.compile(r";[ \t]*rua[ \t]*=([^;]*)")


class Policy(NamedTuple):
    """What a session was judged by.

    Attributes:
        lines: TLSA records, or the lines of the domain's policy.
        hosts: That a policy of MTA-STS names.
    """

    type: PolicyType
    domain: str
    lines: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class Detail(NamedTuple):
    """What was wrong, with whom.

    Attributes:
        ours: Our address; empty if unknown.
        address: The host's, likewise.
    """

    result: TlsResult
    ours: str = ""
    host: str = ""
    address: str = ""
    text: str = ""


class Seen(NamedTuple):
    """What came of TLS in one session."""

    policy: Policy
    detail: Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was seen of one policy in a day."""

    policy: Policy
    successes: int
    failures: int
    details: Mapping[Detail, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a domain wants its reports."""

    addresses: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.addresses or self.urls)


def policy_seen(
    domain: str, by: str, sts: StsPolicy | None, tlsa: Sequence[object]
) -> Policy:
    """Name what a session was judged by.

    Args:
        by: As in ``HostPolicy``.
        tlsa: The records, if it was by DANE.
    """
    if by == BY_DANE:
        return Policy("tlsa", domain, tuple(map(str, tlsa))[:MAX_POLICY_LINES])
    if sts is not None and sts.mode is not Mode.NONE:
        return Policy("sts", domain, sts.lines()[:MAX_POLICY_LINES], sts.mx)
    return Policy("no-policy-found", domain)


def parse_places(texts: Sequence[str]) -> Places:
    """Read where a domain wants its reports; nowhere if it does not say so clearly.

    Args:
        texts: The TXT records of ``_smtp._tls.DOMAIN``.
    """
    found = [text for text in texts if re.match(r"v=TLSRPTv1[ \t]*;", text)]
    if len(found) != 1 or not _RECORD.fullmatch(found[0]):
        return Places()
    match = _RUA.search(found[0])
    places = (match[1] if match else "").split(",")[:MAX_PLACES]
    addresses: list[str] = []
    urls: list[str] = []
    for place in map(str.strip, places):
        scheme, _, rest = place.partition(":")
        if scheme.lower() == "mailto":
            addresses.append(unquote(rest.partition("?")[0]))
        elif scheme.lower() == "https" and _is_url(place):
            urls.append(place)
    kept = tuple(a for a in addresses if a.count("@") == 1 and a.isprintable())
    return Places(addresses=kept, urls=tuple(urls))


def window_of(day: date) -> tuple[datetime, datetime]:
    """First and last second of a day of UTC."""
    first = datetime.combine(day, time(), UTC)
    return first, first + timedelta(days=1, seconds=-1)


def report_id(domain: str, day: date, host: str) -> str:
    """Name a report; the same whenever it is made again."""
    return f"{day:%Y%m%d}.{domain}@{host}"


def compose_report(
    domain: str,
    day: date,
    tallies: Iterable[Tally],
    *,
    organization: str,
    contact: str,
    identity: str,
) -> bytes:
    """Write a report (§4.4)."""
    first, last = window_of(day)
    document = {
        "organization-name": organization,
        "date-range": {
            "start-datetime": f"{first:%Y-%m-%dT%H:%M:%SZ}",
            "end-datetime": f"{last:%Y-%m-%dT%H:%M:%SZ}",
        },
        "contact-info": contact,
        "report-id": identity,
        "policies": [_policy(tally) for tally in tallies],
    }
    return json.dumps(document, ensure_ascii=True, indent=1).encode()


def file_name(domain: str, submitter: str, day: date) -> str:
    """Name a report's file (§5.1)."""
    first, last = window_of(day)
    span = f"{int(first.timestamp())}!{int(last.timestamp())}"
    return f"{submitter}!{domain}!{span}.json.gz"


def _policy(tally: Tally) -> dict[str, object]:
    policy = tally.policy
    said: dict[str, object] = {
        "policy-type": policy.type,
        "policy-domain": policy.domain,
    }
    if policy.lines:
        said["policy-string"] = list(policy.lines)
    if policy.hosts:
        said["mx-host"] = list(policy.hosts)
    record: dict[str, object] = {
        "policy": said,
        "summary": {
            "total-successful-session-count": tally.successes,
            "total-failure-session-count": tally.failures,
        },
    }
    if tally.details:
        record["failure-details"] = [
            _detail(detail, count) for detail, count in tally.details.items()
        ]
    return record


def _detail(detail: Detail, count: int) -> dict[str, object]:
    said = {
        "result-type": detail.result.value,
        "sending-mta-ip": detail.ours,
        "receiving-mx-hostname": detail.host,
        "receiving-ip": detail.address,
        "failure-reason-code": detail.text,
    }
    return {
        **{name: text for name, text in said.items() if text},
        "failed-session-count": count,
    }


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return bool(url.hostname) and url.username is None and url.port != 0
    except ValueError:
        return False
