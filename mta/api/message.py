"""One message: ``GET /message/ID`` for its recipients, ``GET /fetch/ID`` for itself."""

import errno
import logging
from collections.abc import Iterator
from itertools import chain

from flask import Blueprint, Response, jsonify, request

from mta.api.parts import Parts
from mta.api.problems import Refused
from mta.api.queries import is_message_id, read_flag
from mta.api.shapes import message_entry, message_meta
from mta.errors import StoreUnavailable

log = logging.getLogger(__name__)

UNKNOWN = "Selected message does not exist"


def message_routes(parts: Parts) -> Blueprint:
    """The two routes."""
    routes = Blueprint("message", __name__)
    look = parts.look

    @routes.get("/message/<message_id>")
    def message(message_id: str) -> Response:
        view = look.find_message(message_id) if is_message_id(message_id) else None
        if view is None:
            raise Refused(404, UNKNOWN)
        limit = parts.config.current.api.max_recipients
        deliveries = look.find_deliveries(message_id, limit=limit)
        recipients = [delivery.recipient for delivery in deliveries]
        return jsonify(
            {
                "meta": message_meta(view, view.envelope.recipients or recipients),
                "messages": [message_entry(delivery) for delivery in deliveries],
            }
        )

    @routes.get("/fetch/<message_id>")
    def fetch(message_id: str) -> Response:
        body_only = read_flag(request, "body")
        known = is_message_id(message_id)
        chunks = look.open_content(message_id, body_only=body_only) if known else None
        if chunks is None:
            raise Refused(404, UNKNOWN)
        return Response(begun(chunks), mimetype="message/rfc822")

    return routes


def begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """``chunks`` with the first already read, so that an absent store is told.

    Raises:
        StoreUnavailable: It is away.
    """
    return chain((next(chunks, b""),), _or_cut(chunks))


def _or_cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """``chunks``; if the store goes away half way, the connection is cut.

    Without the end of a chunked body the client knows that something is missing.
    To WSGI servers this error is a client that went away: nothing to report.
    """
    try:
        yield from chunks
    except StoreUnavailable as error:
        log.warning("answer cut short detail=%s", error)
        raise BrokenPipeError(errno.EPIPE, "the store went away") from None
