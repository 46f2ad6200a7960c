"""Every failure as an HTTP answer, in JSON, with no more than the client may know.

Three shapes, by route: ZoneMTA's own errors are ``{"error", "field"}``, those of
its HTTP library ``{"code", "message"}``, and ``/v1`` answers RFC 9457 problems.
"""

import logging
from http import HTTPStatus

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, InternalServerError

from mta.errors import Rejected, StoreUnavailable
from mta.reply import Reply

RETRY_AFTER_S = 60

_STORE_IS_AWAY = "The message store does not answer; nothing was changed"

log = logging.getLogger(__name__)


class Refused(Exception):
    """A request that HTTP itself is reason enough to refuse.

    Attributes:
        status: 4xx or 5xx.
        text: For the client.
        field: What is wrong: a JSON pointer (RFC 6901), or the name of a header
            field or of a query parameter; empty if it is none of these.
        headers: To send with the answer.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        field: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.text = text
        self.field = field
        self.headers = headers or {}
        super().__init__(text)


def install_problems(app: Flask) -> None:
    """Answer this app's exceptions."""
    app.register_error_handler(Refused, _answer_refused)
    app.register_error_handler(Rejected, _answer_rejected)
    app.register_error_handler(StoreUnavailable, _answer_unavailable)
    app.register_error_handler(HTTPException, _answer_http)


def http_status(reply: Reply) -> int:
    """The HTTP status that says what an SMTP reply of ours says."""
    subject = (reply.status.subject, reply.status.detail) if reply.status else (0, 0)
    if reply.is_transient:
        # RFC 3463 §3.8: X.7 is policy, which for a transient one means a rate.
        return 429 if subject[0] == 7 else 503
    if reply.code == 552 or subject == (3, 4):
        return 413
    return 403 if subject[0] == 7 else 400


def answer_error(
    status: int, text: str, *, field: str = "", headers: dict[str, str] | None = None
) -> Response:
    """Write a failure the way the route's clients expect it."""
    if is_v1():
        return _answer_problem(status, text, field=field, headers=headers)
    body = {"error": text, "field": field} if field else {"error": text}
    return _answer_json(status, body, headers=headers)


def is_v1() -> bool:
    """Whether the client asked for our own API."""
    return request.path.startswith("/v1/")


def _answer_refused(refused: Refused) -> Response:
    return answer_error(
        refused.status, refused.text, field=refused.field, headers=refused.headers
    )


def _answer_rejected(rejected: Rejected) -> Response:
    log.info(
        "refused interface=api reply=%s field=%s detail=%s",
        rejected.reply,
        rejected.pointer,
        rejected.detail,
    )
    status = http_status(rejected.reply)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in {429, 503} else {}
    text = " ".join(rejected.reply.text) or str(rejected.reply)
    return answer_error(status, text, field=rejected.pointer, headers=headers)


def _answer_unavailable(error: StoreUnavailable) -> Response:
    log.warning("unavailable interface=api detail=%s", error)
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return answer_error(503, _STORE_IS_AWAY, headers=headers)


def _answer_http(error: HTTPException) -> Response:
    status = error.code or 500
    text = _HTTP_TEXTS.get(status) or HTTPStatus(status).phrase
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() in {"allow", "retry-after"}
    }
    if is_v1():
        return _answer_problem(status, text, headers=headers)
    code = _HTTP_CODES.get(status) or type(error).__name__
    body = {"code": code, "message": text}
    return _answer_json(status, body, headers=headers)


_HTTP_TEXTS = {
    404: "There is no such route",
    405: "The route does not know this method",
    InternalServerError.code: "Something went wrong here; it is in the log",
}
_HTTP_CODES = {
    404: "ResourceNotFound",
    405: "MethodNotAllowed",
    InternalServerError.code: "InternalError",
}


def _answer_problem(
    status: int, text: str, *, field: str = "", headers: dict[str, str] | None = None
) -> Response:
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": text,
    }
    if field:
        problem["errors"] = [{"pointer": field, "detail": text}]
    answer = _answer_json(status, problem, headers=headers)
    answer.mimetype = "application/problem+json"
    return answer


def _answer_json(
    status: int,
    body: dict[str, object] | dict[str, str],
    *,
    headers: dict[str, str] | None,
) -> Response:
    return Response(
        json.dumps(body) + "\n",
        status,
        headers=headers,
        mimetype="application/json",
    )
