"""The pages: zones, a zone's deliveries, a message's timeline, the inbox.

Everything shown came from outside at some time, so templates escape all of it, and
the answers' policy forbids scripts. A GET changes nothing, and there is no POST.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, NotFound

from mta.dashboard.ports import InboxReader, QueueReader
from mta.dashboard.reader import read_message, take
from mta.delivery import Delivery
from mta.store.inbox import InboxMessage

PAGE = 100
MAX_LIMIT = 1000
MAX_START = 1_000_000
_MAX_RECIPIENTS_SHOWN = 200
_MAX_ADDRESS_CHARS = 320

_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_NO_ADDRESS = re.compile(r"[\x00-\x20\x7f<>]")

# A message downloaded, not shown: should a browser show it all the same, then
# without scripts, forms and everything it refers to.
_RAW_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


def dashboard_routes(look: QueueReader, inbox: InboxReader | None) -> Blueprint:
    """All pages. Without an inbox its pages do not exist."""
    routes = Blueprint(
        "dashboard",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    routes.add_app_template_filter(format_instant, "instant")
    routes.app_context_processor(lambda: {"has_inbox": inbox is not None})
    _add_queue_pages(routes, look)
    _add_message_pages(routes, look)
    if inbox is not None:
        _add_inbox_pages(routes, inbox)
    return routes


def format_instant(instant: datetime) -> str:
    """An instant as pages show it, in UTC."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _add_queue_pages(routes: Blueprint, look: QueueReader) -> None:
    @routes.get("/")
    def zones() -> str:
        rows = []
        for zone in look.zones():
            active, deferred = look.count_by_domain(zone)
            rows.append(
                {
                    "name": zone,
                    "active": sum(count for _, count in active),
                    "deferred": sum(count for _, count in deferred),
                    "domains": (active + deferred)[:3],
                }
            )
        return render_template("dashboard/zones.html", zones=rows)

    @routes.get("/queue/<zone>")
    def queue(zone: str) -> str:
        if zone not in look.zones(include_disabled=True):
            raise NotFound
        deferred = request.args.get("type") == "deferred"
        start = _read_number("start", 0, at_most=MAX_START)
        found: list[Delivery] = look.listing(
            zone,
            deferred=deferred,
            sort="created",
            descending=True,
            start=start,
            limit=PAGE + 1,
        )
        return render_template(
            "dashboard/queue.html",
            zone=zone,
            deferred=deferred,
            deliveries=found[:PAGE],
            start=start,
            next_start=start + PAGE if len(found) > PAGE else None,
            previous_start=max(0, start - PAGE) if start else None,
        )


def _add_message_pages(routes: Blueprint, look: QueueReader) -> None:
    @routes.get("/messages")
    def find_message() -> ResponseReturnValue:
        message_id = request.args.get("id", "").strip()
        if not _ID.fullmatch(message_id):
            raise NotFound
        return redirect(f"/messages/{message_id}", 303)

    @routes.get("/messages/<message_id>")
    def message(message_id: str) -> str:
        view = look.find_message(message_id) if _ID.fullmatch(message_id) else None
        if view is None:
            raise NotFound
        deliveries = look.find_deliveries(message_id, limit=_MAX_RECIPIENTS_SHOWN)
        return render_template(
            "dashboard/message.html", message=view, deliveries=deliveries
        )


def _add_inbox_pages(routes: Blueprint, inbox: InboxReader) -> None:
    def listed() -> tuple[InboxMessage, ...]:
        recipient = request.args.get("recipient", "").strip()
        if len(recipient) > _MAX_ADDRESS_CHARS or _NO_ADDRESS.search(recipient):
            raise BadRequest
        limit = _read_number("limit", PAGE, at_most=MAX_LIMIT)
        return tuple(inbox.list(limit, recipient or None)) if limit else ()

    find = _finder(inbox)

    @routes.get("/inbox")
    def messages() -> str:
        return render_template("dashboard/inbox.html", messages=listed())

    @routes.get("/inbox.json")
    def messages_json() -> Response:
        return jsonify([_entry(message) for message in listed()])

    @routes.get("/inbox/<message_id>")
    def received(message_id: str) -> str:
        found = find(message_id)
        content, is_whole = take(inbox.content(message_id))
        return render_template(
            "dashboard/received.html",
            message=found,
            reading=read_message(content, is_whole=is_whole),
        )

    @routes.get("/inbox/<message_id>/raw")
    def raw(message_id: str) -> Response:
        found = find(message_id)
        response = Response(inbox.content(found.id), mimetype="message/rfc822")
        response.headers["Content-Disposition"] = (
            f'attachment; filename="{found.id}.eml"'
        )
        response.headers["Content-Security-Policy"] = _RAW_POLICY
        return response


def _finder(inbox: InboxReader) -> Callable[[str], InboxMessage]:
    def find(message_id: str) -> InboxMessage:
        found = inbox.find(message_id) if _ID.fullmatch(message_id) else None
        if found is None:
            raise NotFound
        return found

    return find


def _entry(message: InboxMessage) -> dict[str, object]:
    return {
        "id": message.id,
        "receivedAt": message.received_at.astimezone(UTC).isoformat(
            timespec="milliseconds"
        ),
        "from": message.reverse_path,
        "to": list(message.recipients),
        "subject": message.subject,
        "size": message.size,
    }


def _read_number(name: str, default: int, *, at_most: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and _NUMBER.fullmatch(text)):
        raise BadRequest
    return min(int(text), at_most)
