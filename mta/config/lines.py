"""Where in the file that stands which is told about later: routes, addresses, limits.

Found by what is said there, not by its place in a list: whoever matched a domain
knows the domain. Lines are no part of the values themselves, so a file whose lines
have moved says the same as before.
"""

from collections.abc import Iterator
from typing import TypeAlias

from mta.config.dkim_draft import key_lines
from mta.config.document import Document
from mta.config.draft import Draft

# The lists by which a zone claims mail.
CLAIMS = ("sender_domains", "from_domains", "recipient_domains", "origin_addresses")

# What a limit allows, by the sections that have it.
ALLOWED = {
    "zones": ("connections", "throttling"),
    "domains": ("max_connections", "rate"),
    "providers": ("max_connections", "rate"),
    "limits": ("max_connections", "rate"),
}

# What says how far a session is encrypted, likewise.
_TLS = {"zones": ("tls", "ignore_tls"), "domains": ("tls", "mta_sts", "dane")}

# As in ("zones", "bulk", "sender_domains", "a.example"), ("pools", "p", "192.0.2.1") or
# ("domains", "b.example", "rate").
Said: TypeAlias = tuple[str, ...]


def lines_of(document: Document, draft: Draft) -> dict[Said, int]:
    """Find the lines, counted from 1, of a file without mistakes."""
    return {
        **dict(_routes(document, draft)),
        **dict(_addresses(document, draft)),
        **dict(_limits(document, draft)),
        **dict(key_lines(document, draft.dkim)),
    }


def _routes(document: Document, draft: Draft) -> Iterator[tuple[Said, int]]:
    for name, zone in draft.zones.items():
        for key in CLAIMS:
            for index, value in enumerate(getattr(zone.value, key)):
                place = document.place(zone.path_of(key, index))
                yield ("zones", name, key, str(value)), place.value.line
    for path, place in document.places.items():
        if len(path) == 4 and path[0] == "zones" and path[2] == "routing_headers":
            yield (*map(str, path[:3]), str(path[3]).strip().lower()), place.key.line


def _addresses(document: Document, draft: Draft) -> Iterator[tuple[Said, int]]:
    for name, pool in draft.pools.items():
        for entry in pool:
            line = document.place(entry.path).value.line
            yield ("pools", name, str(entry.value.address)), line


def _limits(document: Document, draft: Draft) -> Iterator[tuple[Said, int]]:
    for section, names in (*ALLOWED.items(), *_TLS.items()):
        for name, read in getattr(draft, section).items():
            for key in names:
                if place := document.places.get((*read.path, key)):
                    yield (section, name, key), place.key.line
