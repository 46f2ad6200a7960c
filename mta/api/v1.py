"""``/v1``: our own API, reading. Messages, deliveries, and those in doubt."""

from collections.abc import Callable, Collection
from typing import TypeVar

from flask import Blueprint, Response, jsonify, request

from mta.api.message import UNKNOWN
from mta.api.parts import Parts
from mta.api.ports import Look
from mta.api.problems import Refused
from mta.api.queries import (
    check_zone_name,
    is_message_id,
    read_choice,
    read_number,
)
from mta.api.records import delivery_record
from mta.api.shapes import format_instant
from mta.delivery import LIVE, Delivery, DeliveryState
from mta.operate.look import MessageView
from mta.operate.pages import (
    cut,
    format_after,
    format_place,
    is_delivery_id,
    parse_after,
    parse_place,
)
from mta.store.transcripts import KeptTranscript

MAX_PAGE = 1000
PAGE = 100
UNKNOWN_DELIVERY = "There is no delivery of that id"

_STATES = frozenset(state.value for state in LIVE)

T = TypeVar("T")


def v1_routes(parts: Parts) -> Blueprint:
    """All routes under ``/v1`` that change nothing."""
    routes = Blueprint("v1", __name__, url_prefix="/v1")
    look = parts.look

    @routes.get("/messages/<message_id>")
    def message(message_id: str) -> Response:
        limit = read_number(request, "limit", MAX_PAGE, at_most=MAX_PAGE)
        known = is_message_id(message_id)
        view = look.find_message(message_id) if known else None
        if view is None:
            raise Refused(404, UNKNOWN)
        # A limit of zero is a question about the message alone.
        deliveries = look.find_deliveries(message_id, limit=limit) if limit else []
        return jsonify(_message(view, deliveries))

    _add_lists(routes, look)
    return routes


def _add_lists(routes: Blueprint, look: Look) -> None:
    @routes.get("/deliveries")
    def deliveries() -> Response:
        limit = _read_limit()
        zone = request.args.get("zone")
        found = look.walk(
            _read_states(),
            zone=None if zone is None else check_zone_name(zone),
            after=_read_cursor(parse_after),
            limit=limit + 1,
        )
        page, cursor = cut(found, limit, lambda last: format_after(last.id))
        return jsonify(
            {"deliveries": [delivery_record(entry) for entry in page], "next": cursor}
        )

    @routes.get("/deliveries/<delivery_id>")
    def delivery(delivery_id: str) -> Response:
        known = is_delivery_id(delivery_id)
        found = look.find_delivery(delivery_id) if known else None
        if found is None:
            raise Refused(404, UNKNOWN_DELIVERY)
        return jsonify(delivery_record(found))

    @routes.get("/deliveries/<delivery_id>/transcripts")
    def transcripts(delivery_id: str) -> Response:
        known = is_delivery_id(delivery_id)
        if not known or look.find_delivery(delivery_id) is None:
            raise Refused(404, UNKNOWN_DELIVERY)
        found = look.find_transcripts(delivery_id)
        return jsonify({"transcripts": [_transcript(kept) for kept in found]})

    @routes.get("/in-doubt")
    def in_doubt() -> Response:
        limit = _read_limit()
        found = look.doubts(before=_read_cursor(parse_place), limit=limit + 1)
        page, cursor = cut(found, limit, lambda last: format_place(last.place))
        return jsonify(
            {
                "deliveries": [
                    delivery_record(entry.delivery, doubted_at=entry.since)
                    for entry in page
                ],
                "next": cursor,
            }
        )


def _transcript(kept: KeptTranscript) -> dict[str, object]:
    return {
        "attempt": kept.attempt,
        "at": format_instant(kept.at),
        "host": kept.host,
        "why": kept.why,
        "text": kept.text,
    }


def _read_limit() -> int:
    """How long a page may be.

    Raises:
        Refused: Not a number from 1.
    """
    limit = read_number(request, "limit", PAGE, at_most=MAX_PAGE)
    if not limit:
        raise Refused(400, "A page has at least one entry", field="limit")
    return limit


def _read_states() -> Collection[DeliveryState]:
    """Those that are asked for; finished deliveries are in no list."""
    if "state" not in request.args:
        return LIVE
    return {DeliveryState(read_choice(request, "state", "", _STATES))}


def _read_cursor(parse: Callable[[str], T]) -> T | None:
    """Where to go on.

    Raises:
        Refused: Not a cursor that this list gave.
    """
    cursor = request.args.get("cursor")
    if cursor is None:
        return None
    try:
        return parse(cursor)
    except ValueError:
        raise Refused(400, "This is no cursor of this list", field="cursor") from None


def _message(view: MessageView, deliveries: list[Delivery]) -> dict[str, object]:
    envelope = view.envelope
    return {
        "id": view.id,
        "messageId": view.message_id,
        "subject": view.subject,
        "createdAt": format_instant(view.created_at),
        "envelope": {
            "from": envelope.reverse_path,
            "interface": envelope.interface,
            "protocol": envelope.protocol,
            "sessionId": envelope.session_id,
            "origin": envelope.origin,
            "originHost": envelope.origin_host,
            "helo": envelope.helo,
            "user": envelope.user,
        },
        "headerBytes": len(view.header),
        "bodyBytes": view.body_bytes,
        "bodyHash": view.body_hash,
        "bodyMd5": view.body_md5,
        "hasContent": view.has_content,
        "recipients": view.recipients,
        "deliveries": [delivery_record(delivery) for delivery in deliveries],
    }
