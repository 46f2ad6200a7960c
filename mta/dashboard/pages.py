"""The pages: zones, deliveries of a zone, doubts, a message's timeline, the inbox.

Everything shown came from outside at some time, so templates escape all of it, and
the answers' policy forbids scripts. A GET changes nothing, and there is no POST.
"""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from mta.dashboard.ports import InboxReader, QueueReader
from mta.dashboard.reader import read_message, take
from mta.delivery import Delivery, DeliveryState
from mta.errors import StoreUnavailable
from mta.operate.pages import Place, cut, format_place, is_delivery_id, parse_place
from mta.operate.timeline import last_doubt, next_step, remarks, timeline
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

_NO_MESSAGE = "There is no message of that id, or it is no longer kept."
_NO_ZONE = "There is no zone of that name."
_STORE_IS_AWAY = "The message store does not answer. Try again in a minute."

log = logging.getLogger(__name__)


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
    routes.add_app_template_filter(format_state, "words")
    for tell in (last_doubt, next_step, remarks, timeline):
        routes.add_app_template_filter(tell)
    # As a function: a page without the navigation does not ask the store.
    routes.context_processor(
        lambda: {"has_inbox": inbox is not None, "has_doubts": look.has_doubts}
    )
    routes.register_error_handler(HTTPException, _show_refusal)
    routes.register_error_handler(StoreUnavailable, _show_unavailable)
    _add_queue_pages(routes, look)
    _add_doubt_page(routes, look)
    _add_message_pages(routes, look)
    _add_transcript_page(routes, look)
    if inbox is not None:
        _add_inbox_pages(routes, inbox)
    return routes


def format_instant(instant: datetime) -> str:
    """An instant as pages show it, in UTC; their foot says so."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def format_state(state: DeliveryState) -> str:
    """A state as pages show it."""
    return state.value.replace("_", " ")


def _show_refusal(error: HTTPException) -> ResponseReturnValue:
    return _show_problem(error.code or 500, error.name, error.description or "")


def _show_unavailable(error: StoreUnavailable) -> ResponseReturnValue:
    log.warning("unavailable interface=api detail=%s", error)
    return _show_problem(503, "Not available", _STORE_IS_AWAY)


def _show_problem(status: int, title: str, text: str) -> ResponseReturnValue:
    """Tell people on a page, and programs in JSON."""
    if request.path.endswith(".json"):
        return jsonify({"error": text}), status
    # The store may be what is wrong: it is not asked once more.
    page = render_template(
        "dashboard/problem.html", title=title, text=text, has_doubts=lambda: False
    )
    return page, status


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
            raise NotFound(_NO_ZONE)
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


def _add_doubt_page(routes: Blueprint, look: QueueReader) -> None:
    @routes.get("/in-doubt")
    def in_doubt() -> str:
        found = look.doubts(before=_read_place(), limit=PAGE + 1)
        page, cursor = cut(found, PAGE, lambda last: format_place(last.place))
        return render_template("dashboard/doubts.html", doubts=page, next_cursor=cursor)


def _add_message_pages(routes: Blueprint, look: QueueReader) -> None:
    @routes.get("/messages")
    def find_message() -> ResponseReturnValue:
        # What stands in logs and lists is the id of one delivery: ID.SEQ.
        message_id = request.args.get("id", "").strip().partition(".")[0]
        if not _ID.fullmatch(message_id):
            raise NotFound(_NO_MESSAGE)
        return redirect(f"/messages/{message_id}", 303)

    @routes.get("/messages/<message_id>")
    def message(message_id: str) -> str:
        view = look.find_message(message_id) if _ID.fullmatch(message_id) else None
        if view is None:
            raise NotFound(_NO_MESSAGE)
        deliveries = look.find_deliveries(message_id, limit=_MAX_RECIPIENTS_SHOWN)
        return render_template(
            "dashboard/message.html", message=view, deliveries=deliveries
        )


def _add_transcript_page(routes: Blueprint, look: QueueReader) -> None:
    @routes.get("/deliveries/<delivery_id>/transcripts")
    def transcripts(delivery_id: str) -> str:
        known = is_delivery_id(delivery_id)
        delivery = look.find_delivery(delivery_id) if known else None
        if delivery is None:
            raise NotFound(_NO_MESSAGE)
        found = look.find_transcripts(delivery_id)
        return render_template(
            "dashboard/transcripts.html", delivery=delivery, transcripts=found
        )


def _add_inbox_pages(routes: Blueprint, inbox: InboxReader) -> None:
    def wanted() -> str:
        recipient = request.args.get("recipient", "").strip()
        if len(recipient) > _MAX_ADDRESS_CHARS or _NO_ADDRESS.search(recipient):
            raise BadRequest("This is no address.")
        return recipient

    def listed(recipient: str) -> tuple[InboxMessage, ...]:
        limit = _read_number("limit", PAGE, at_most=MAX_LIMIT)
        return tuple(inbox.list(limit, recipient or None)) if limit else ()

    find = _finder(inbox)

    @routes.get("/inbox")
    def messages() -> str:
        recipient = wanted()
        return render_template(
            "dashboard/inbox.html", messages=listed(recipient), recipient=recipient
        )

    @routes.get("/inbox.json")
    def messages_json() -> Response:
        return jsonify([_entry(message) for message in listed(wanted())])

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
            raise NotFound(_NO_MESSAGE)
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


def _read_place() -> Place | None:
    cursor = request.args.get("cursor")
    if cursor is None:
        return None
    try:
        return parse_place(cursor)
    except ValueError:
        raise BadRequest("This is no page of the list.") from None


def _read_number(name: str, default: int, *, at_most: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and _NUMBER.fullmatch(text)):
        raise BadRequest("This is no number from 0.")
    return min(int(text), at_most)
