"""What decided an attempt, as the few words that a row has room for.

::

    why: {provider: "google", site: "...", source: "192.0.2.1", last: true,
          passed: ["192.0.2.2 192.0.2.3|its ration is used up"],
          limits: ["5 600/m domain:bulk:a.test", "20 - zone:bulk"],
          tls: "dane|TLSv1.3|TLS_AES_256_GCM_SHA384|dane"}
"""

from typing import Any

from mta.reasons import (
    NO_REASONS,
    NO_TLS_FACTS,
    Limit,
    PassedOver,
    Reasons,
    TlsFacts,
)
from mta.store.mongo import Document

_NONE = "-"


def reasons_document(reasons: Reasons) -> Document:
    """What there is to say; what says nothing is left out."""
    said: dict[str, Any] = {
        "provider": reasons.provider,
        "site": reasons.site,
        "source": reasons.pool_address,
        "last": reasons.is_last_resort,
        "passed": [f"{' '.join(e.addresses)}|{e.cause}" for e in reasons.passed_over],
        "limits": [
            f"{_NONE if allowed is None else allowed} {rate or _NONE} {key}"
            for key, allowed, rate in reasons.limits
        ],
        "tls": "|".join(reasons.tls) if any(reasons.tls) else "",
    }
    return {name: value for name, value in said.items() if value}


def to_reasons(document: Document | None) -> Reasons:
    if not document:
        return NO_REASONS
    return Reasons(
        provider=document.get("provider", ""),
        site=document.get("site", ""),
        pool_address=document.get("source", ""),
        is_last_resort=document.get("last", False),
        passed_over=tuple(map(_to_passed_over, document.get("passed", ()))),
        limits=tuple(map(_to_limit, document.get("limits", ()))),
        tls=_to_tls(document.get("tls", "")),
    )


def _to_passed_over(text: str) -> PassedOver:
    addresses, _, cause = text.partition("|")
    return PassedOver(cause, tuple(addresses.split()))


def _to_tls(text: str) -> TlsFacts:
    return TlsFacts(*text.split("|", 3)) if text else NO_TLS_FACTS


def _to_limit(text: str) -> Limit:
    connections, rate, key = text.split(" ", 2)
    return Limit(
        key,
        None if connections == _NONE else int(connections),
        "" if rate == _NONE else rate,
    )
