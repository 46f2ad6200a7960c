"""``/v1/measures`` and ``/v1/warmup``, and ZoneMTA's ``/blacklist``."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, TypeVar, get_args

from flask import Blueprint, Response, jsonify, request

from mta.api.body import read_small_object
from mta.api.ports import Shaping
from mta.api.problems import Refused
from mta.api.shapes import format_instant
from mta.config.values import parse_duration, parse_rate, parse_tenant
from mta.operate.measures import NoSuchMail, Wanted, WarmupStatus
from mta.policy.measures import MAX_CAUSE, Action, Measure

UNKNOWN = "There is no measure of that id"
LONGEST = timedelta(days=30)
SHORTEST = timedelta(minutes=1)
MAX_SITE = 400  # characters
MAX_CONNECTIONS = 10_000
_ACTIONS: tuple[str, ...] = get_args(Action)
_FIELDS = frozenset(
    {
        *("action", "site", "source", "tenant", "duration", "reason"),
        *("rate", "maxConnections"),
    }
)

T = TypeVar("T")


def measure_routes(shaping: Shaping) -> Blueprint:
    """The routes about what is held back."""
    routes = Blueprint("measures", __name__)

    @routes.get("/v1/measures")
    def measures() -> Response:
        found = [measure_record(measure) for measure in shaping.in_force()]
        return jsonify({"measures": found})

    @routes.post("/v1/measures")
    def take() -> Response:
        wanted = _read(read_small_object(request))
        return jsonify(measure_record(_take(shaping, wanted)))

    def change(measure_id: str, order: str) -> Response:
        changed = (
            shaping.clear(measure_id)
            if order == "clear"
            else shaping.pin(measure_id, is_pinned=order == "pin")
        )
        if changed is None:
            raise Refused(404, UNKNOWN)
        return jsonify(measure_record(changed))

    for order in ("clear", "pin", "unpin"):
        routes.post(
            f"/v1/measures/<measure_id>/{order}",
            endpoint=order,
            defaults={"order": order},
        )(change)

    @routes.get("/v1/warmup")
    def warmup() -> Response:
        return jsonify({"addresses": [_status(one) for one in shaping.warmup()]})

    @routes.get("/blacklist")
    def blacklist() -> Response:
        rest = [m for m in shaping.in_force() if m.action == "rest"]
        return jsonify({"list": [_blacklisted(measure) for measure in rest]})

    return routes


def _take(shaping: Shaping, wanted: Wanted) -> Measure:
    try:
        return shaping.take(wanted)
    except NoSuchMail as error:
        raise Refused(400, str(error), field=f"/{error.field}") from error


def measure_record(measure: Measure) -> dict[str, object]:
    """A measure in our own JSON; what says nothing is left out."""
    facts = {
        "source": measure.source,
        "tenant": measure.tenant,
        "rate": str(measure.rate) if measure.rate else "",
        "maxConnections": measure.max_connections,
        "delivery": measure.delivery,
    }
    return {
        "id": measure.id,
        "action": measure.action,
        "site": measure.site,
        **{name: fact for name, fact in facts.items() if fact},
        "since": format_instant(measure.since),
        "until": None if measure.is_pinned else format_instant(measure.until),
        "pinned": measure.is_pinned,
        "cause": measure.cause,
        "rule": measure.rule,
        "hits": measure.hits,
    }


def _blacklisted(measure: Measure) -> dict[str, object]:
    message, _, seq = measure.delivery.rpartition(".")
    return {
        "id": message,
        "seq": seq,
        "address": measure.source,
        "domain": measure.site,
        "response": measure.cause,
        "created": format_instant(measure.since),
    }


def _status(status: WarmupStatus) -> dict[str, object]:
    record: dict[str, object] = {
        "pool": status.pool,
        "address": status.address,
        "provider": status.provider,
        "plan": status.plan,
        "day": status.day,
        "warm": status.ration is None,
    }
    if status.ration is not None and status.warm_from is not None:
        record |= {
            "step": status.ration.step,
            "steps": status.ration.steps,
            "repeated": status.ration.held,
            "perDay": status.ration.per_day,
            "perHour": status.ration.per_hour,
            "sentToday": status.sent_today,
            "sentThisHour": status.sent_this_hour,
            "warmFrom": status.warm_from.isoformat(),
        }
    return record


def _read(said: Mapping[str, Any]) -> Wanted:
    """Read what an operator wants.

    Raises:
        Refused: It names the field that is wrong.
    """
    for name in said:
        if name not in _FIELDS:
            raise Refused(400, f"Unknown field; known: {_known()}", field=f"/{name}")
    action = said.get("action")
    if action not in _ACTIONS:
        raise Refused(400, f"Is one of {', '.join(_ACTIONS)}", field="/action")
    wanted = Wanted(
        action=action,
        site=_text(said, "site", MAX_SITE).lower(),
        reason=_text(said, "reason", MAX_CAUSE),
        duration=_parsed(said, "duration", _duration),
        source=_parsed(said, "source", lambda text: str(ip_address(text)), ""),
        tenant=_parsed(said, "tenant", parse_tenant, ""),
        rate=_parsed(said, "rate", parse_rate, None),
        max_connections=_connections(said.get("maxConnections")),
    )
    is_slower = wanted.rate is not None or wanted.max_connections is not None
    if is_slower != (action == "slow"):
        text = "rate and maxConnections belong to slow, which needs one of them"
        raise Refused(400, text, field="/action")
    if action == "rest" and not wanted.source:
        raise Refused(400, "Which address is to rest?", field="/source")
    return wanted


def _known() -> str:
    return ", ".join(sorted(_FIELDS))


_NEEDED: Any = object()


def _text(said: Mapping[str, Any], name: str, most: int) -> str:
    text = said.get(name)
    if not isinstance(text, str) or not 0 < len(text.strip()) <= most:
        raise Refused(400, f"Must be text of 1 to {most} characters", field=f"/{name}")
    if not text.isprintable():
        raise Refused(400, "Has characters that cannot be shown", field=f"/{name}")
    return text.strip()


def _parsed(
    said: Mapping[str, Any],
    name: str,
    parse: Callable[[str], T],
    default: Any = _NEEDED,
) -> Any:
    value = said.get(name)
    if value is None and default is not _NEEDED:
        return default
    if not isinstance(value, str):
        raise Refused(400, "Must be text", field=f"/{name}")
    try:
        return parse(value)
    except ValueError as error:
        raise Refused(400, f"{value[:80]!r} {error}", field=f"/{name}") from None


def _duration(text: str) -> timedelta:
    duration = parse_duration(text)
    if not SHORTEST <= duration <= LONGEST:
        raise ValueError("is out of range; it must be from 1m to 30d")
    return duration


def _connections(value: object) -> int | None:
    if value is None:
        return None
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or not 1 <= value <= MAX_CONNECTIONS:  # type: ignore[operator]
        text = f"Must be a whole number from 1 to {MAX_CONNECTIONS}"
        raise Refused(400, text, field="/maxConnections")
    return value  # type: ignore[return-value]
