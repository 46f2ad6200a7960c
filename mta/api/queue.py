"""The queue in numbers and lists: ``/zones``, ``/counter`` and ``/queued``."""

from collections.abc import Iterable

from flask import Blueprint, Response, jsonify, request

from mta.api.parts import Parts
from mta.api.ports import Look
from mta.api.queries import check_zone_name, read_choice, read_flag, read_number
from mta.api.shapes import queue_entry

MAX_PAGE = 1000
MAX_START = 1_000_000_000
_MAX_DOMAINS = 1000

_SORTS = frozenset({"id", "created", "queued"})
_ORDERS = frozenset({"asc", "desc"})

Counts = list[tuple[str, int]]


def queue_routes(parts: Parts) -> Blueprint:
    """The routes about zones and queues."""
    routes = Blueprint("queue", __name__)
    look = parts.look

    @routes.get("/zones")
    def zones() -> Response:
        include_disabled = read_flag(request, "includeDisabled")
        names = look.zones(include_disabled=include_disabled)
        return jsonify([{"name": name} for name in names])

    @routes.get("/counter/<kind>/", defaults={"zone": ""}, strict_slashes=False)
    @routes.get("/counter/<kind>/<zone>")
    def counter(kind: str, zone: str) -> Response:
        names = [check_zone_name(zone)] if zone else look.zones()
        count = _by_domain if kind == "domain" else _by_zone
        active, deferred = count(look, names)
        return jsonify(
            # ZoneMTA's clients read the kind as a key, whatever its value.
            {kind: "all", "active": _table(active), "deferred": _table(deferred)}
        )

    @routes.get("/queued/<kind>/<zone>")
    def queued(kind: str, zone: str) -> Response:
        deferred = kind.strip().lower() == "deferred"
        entries = look.listing(
            check_zone_name(zone),
            deferred=deferred,
            sort=read_choice(request, "sort", "id", _SORTS),
            descending=read_choice(request, "order", "desc", _ORDERS) == "desc",
            start=read_number(request, "start", 0, at_most=MAX_START),
            limit=read_number(request, "pageSize", MAX_PAGE, at_most=MAX_PAGE),
        )
        return jsonify(
            {
                "zone": zone,
                "type": "deferred" if deferred else "queued",
                "list": [queue_entry(entry) for entry in entries],
            }
        )

    return routes


def _by_zone(look: Look, zones: Iterable[str]) -> tuple[Counts, Counts]:
    active, deferred = [], []
    for zone in zones:
        waiting, put_off = look.count_by_domain(zone)
        active.append((zone, sum(count for _, count in waiting)))
        deferred.append((zone, sum(count for _, count in put_off)))
    return active, deferred


def _by_domain(look: Look, zones: Iterable[str]) -> tuple[Counts, Counts]:
    active: dict[str, int] = {}
    deferred: dict[str, int] = {}
    for zone in zones:
        for totals, counts in zip(
            (active, deferred), look.count_by_domain(zone), strict=True
        ):
            for domain, count in counts:
                totals[domain] = totals.get(domain, 0) + count
    return _most_first(active), _most_first(deferred)


def _most_first(totals: dict[str, int]) -> Counts:
    return sorted(totals.items(), key=lambda item: (-item[1], item[0]))


def _table(counts: Counts) -> dict[str, object]:
    return {
        "entries": [
            {"key": key, "value": value} for key, value in counts[:_MAX_DOMAINS]
        ],
        "rows": sum(value for _, value in counts),
    }
