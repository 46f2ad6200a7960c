"""``/v1/explain`` and ``/v1/messages/ID/explain``: why mail goes as it goes."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from flask import Blueprint, Response, jsonify, request

from mta.api.body import read_small_object
from mta.api.explained import explained_record
from mta.api.message import UNKNOWN
from mta.api.parts import Parts
from mta.api.ports import Explain
from mta.api.problems import Refused
from mta.api.queries import is_message_id, read_number
from mta.api.v1 import UNKNOWN_DELIVERY
from mta.config.values import parse_tenant
from mta.config.zones import Config
from mta.errors import Rejected
from mta.intake.route import API_INTERFACE
from mta.mail.address import is_valid_address, normalize_address
from mta.operate.suppose import Supposed, to_letter

# Each may need DNS, MongoDB and Redis.
MAX_RECIPIENTS = 100
_PAGE = 20
_MAX_FIELDS = 100
_MAX_TEXT = 1_000  # characters
_FIELDS = frozenset(
    {
        *("from", "to", "headers"),
        *("interface", "origin", "user", "zone", "tenant"),
    }
)


def explain_routes(parts: Parts, explain: Explain) -> Blueprint:
    """The two routes."""
    routes = Blueprint("explain", __name__, url_prefix="/v1")

    @routes.get("/messages/<message_id>/explain")
    def message(message_id: str) -> Response:
        limit = read_number(request, "limit", _PAGE, at_most=MAX_RECIPIENTS)
        seq = request.args.get("seq")
        only = None if seq is None else f"{message_id}.{seq[:8]}"
        known = is_message_id(message_id)
        found = explain.message(message_id, limit=limit, only=only) if known else None
        if found is None:
            raise Refused(404, UNKNOWN)
        if only is not None and not found:
            raise Refused(404, UNKNOWN_DELIVERY)
        return jsonify({"id": message_id, "deliveries": _records(found, parts)})

    @routes.post("/explain")
    def supposed() -> Response:
        wanted = read_supposed(read_small_object(request), parts.config.current)
        try:
            letter = to_letter(
                wanted,
                parts.config.current,
                now=parts.now(),
                hostname=parts.settings.hostname,
            )
        except Rejected as error:
            raise Refused(400, str(error.reply), field=error.pointer) from None
        return jsonify({"deliveries": _records(explain.supposed(letter), parts)})

    return routes


def _records(found: list[Any], parts: Parts) -> list[dict[str, object]]:
    return [explained_record(one, parts.config.current, parts.now()) for one in found]


def read_supposed(said: Mapping[str, Any], config: Config) -> Supposed:
    """Read what is supposed of a message.

    Raises:
        Refused: It names the field that is wrong.
    """
    for name in said:
        if name not in _FIELDS:
            known = ", ".join(sorted(_FIELDS))
            raise Refused(400, f"Unknown field; known: {known}", field=f"/{name}")
    interface = _text(said, "interface") or API_INTERFACE
    if interface != API_INTERFACE and interface not in config.interfaces:
        known = ", ".join([API_INTERFACE, *config.interfaces])
        raise Refused(400, f"Is none of {known}", field="/interface")
    return Supposed(
        reverse_path=_reverse_path(said),
        recipients=_recipients(said.get("to")),
        fields=_header(said.get("headers")),
        interface=interface,
        origin=_origin(_text(said, "origin")),
        user=_text(said, "user") or None,
        zone=_text(said, "zone") or None,
        tenant=_tenant(_text(said, "tenant")),
    )


def _text(said: Mapping[str, Any], name: str) -> str:
    text = said.get(name)
    if text is None:
        return ""
    if not isinstance(text, str) or len(text) > _MAX_TEXT or not text.isprintable():
        message = f"Must be text that can be shown, of at most {_MAX_TEXT} characters"
        raise Refused(400, message, field=f"/{name}")
    return text.strip()


def _reverse_path(said: Mapping[str, Any]) -> str:
    if said.get("from") is None:
        text = 'The reverse path is needed; "" is the null path'
        raise Refused(400, text, field="/from")
    text = _text(said, "from").removeprefix("<").removesuffix(">")
    return _address(text, "/from") if text else ""


def _recipients(to: object) -> tuple[str, ...]:
    texts = [to] if isinstance(to, str) else to
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_RECIPIENTS:
        text = f"Must be an address, or a list of 1 to {MAX_RECIPIENTS}"
        raise Refused(400, text, field="/to")
    found: dict[str, None] = {}
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise Refused(400, "Must be text", field=f"/to/{at}")
        found[_address(text.strip(), f"/to/{at}")] = None
    return tuple(found)


def _address(text: str, field: str) -> str:
    address = normalize_address(text[:_MAX_TEXT])
    is_list = "," in text and not text.startswith('"')
    if is_list or not is_valid_address(address):
        raise Refused(400, f"{text[:80]!r} is not an address", field=field)
    return address


def _header(said: object) -> tuple[tuple[str, str], ...]:
    if said is None:
        return ()
    if not isinstance(said, dict) or len(said) > _MAX_FIELDS:
        text = f"Must be an object of at most {_MAX_FIELDS} fields"
        raise Refused(400, text, field="/headers")
    for name, value in said.items():
        if not isinstance(value, str) or len(value) > _MAX_TEXT:
            text = f"Must be text of at most {_MAX_TEXT} characters"
            raise Refused(400, text, field=f"/headers/{name[:80]}")
    return tuple(said.items())


def _origin(text: str) -> str | None:
    if not text:
        return None
    try:
        return str(ip_address(text))
    except ValueError:
        message = f"{text[:80]!r} is not an IP address"
        raise Refused(400, message, field="/origin") from None


def _tenant(text: str) -> str:
    try:
        return parse_tenant(text) if text else ""
    except ValueError as error:
        raise Refused(400, f"{text[:80]!r} {error}", field="/tenant") from None
