"""``/v1``: our own API. A message with its recipients and each one's timeline."""

from flask import Blueprint, Response, jsonify, request

from mta.api.message import UNKNOWN
from mta.api.parts import Parts
from mta.api.problems import Refused
from mta.api.queries import is_message_id, read_number
from mta.api.shapes import format_instant
from mta.delivery import Delivery, Outcome
from mta.operate.look import MessageView

MAX_PAGE = 1000


def v1_routes(parts: Parts) -> Blueprint:
    """All routes under ``/v1``."""
    routes = Blueprint("v1", __name__, url_prefix="/v1")

    @routes.get("/messages/<message_id>")
    def message(message_id: str) -> Response:
        limit = read_number(request, "limit", MAX_PAGE, at_most=MAX_PAGE)
        known = is_message_id(message_id)
        view = parts.look.find_message(message_id) if known else None
        if view is None:
            raise Refused(404, UNKNOWN)
        # A limit of zero is a question about the message alone.
        deliveries = (
            parts.look.find_deliveries(message_id, limit=limit) if limit else []
        )
        return jsonify(_message(view, deliveries))

    return routes


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
        "deliveries": [_delivery(delivery) for delivery in deliveries],
    }


def _delivery(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "seq": delivery.seq,
        "recipient": delivery.recipient,
        "domain": delivery.domain,
        "zone": delivery.zone,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "createdAt": format_instant(delivery.created_at),
        "dueAt": None
        if delivery.state.is_terminal
        else format_instant(delivery.due_at),
        "giveUpAt": format_instant(delivery.give_up_at),
        "timeline": [_outcome(outcome) for outcome in delivery.log],
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "at": format_instant(outcome.at),
        "state": outcome.state.value,
        "attempt": outcome.attempt,
        "code": outcome.code,
        "status": outcome.status,
        "text": outcome.text,
        "category": outcome.category,
        "host": outcome.host,
        "address": outcome.address,
        "source": outcome.source,
        "tls": outcome.tls,
        "durationMs": outcome.duration_ms,
        "dueAt": format_instant(outcome.due_at) if outcome.due_at else None,
    }
