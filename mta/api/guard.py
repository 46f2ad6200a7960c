"""Who may ask at all, and what browsers are told about our answers.

The API has at most one key, and a default installation has none: it listens on
loopback only. That alone does not keep web pages out, because a browser on the same
machine asks for them. So requests that a page of another site caused are refused:

- by Origin, which browsers send with every POST that is not our own page's;
- by Host, if there is no key and we listen on loopback, because a name of theirs
  may be made to point to 127.0.0.1 (DNS rebinding).
"""

import hmac
import logging
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from flask import Flask, Response, json, request

from mta.api.problems import Refused

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_PATHS = frozenset({"/healthz"})

_CSP = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = logging.getLogger(__name__)


class Guard:
    """Looks at every request before its route does.

    Args:
        api_key: What clients must show; None: nothing.
        listens_on: The host of the API's configuration.
        own_names: Names of this machine, besides localhost and addresses.
    """

    def __init__(
        self, *, api_key: str | None, listens_on: str, own_names: Iterable[str]
    ) -> None:
        self._key = api_key.encode() if api_key else b""
        self._checks_host = not api_key and is_loopback(listens_on)
        self._own_names = frozenset(
            name.lower().rstrip(".") for name in (*own_names, listens_on, "localhost")
        )

    def install(self, app: Flask) -> None:
        """Stand before and behind every route of ``app``."""
        app.before_request(self.check)
        app.after_request(_add_headers)
        app.wsgi_app = only_known_methods(  # type: ignore[assignment,method-assign]
            app.wsgi_app
        )

    def check(self) -> None:
        """Refuse the request, or let it pass.

        Raises:
            Refused: 401 without the key, 403 for a request of another site's page.
        """
        if request.path in _OPEN_PATHS:
            return
        if self._checks_host and not self._is_own_name(host_of(request.host)):
            raise Refused(
                403,
                "This host name is not ours; without MTA_API_KEY only addresses, "
                "localhost and MTA_HOSTNAME are answered",
                field="Host",
            )
        origin = request.headers.get("Origin")
        if origin is not None and request.method not in _SAFE_METHODS:
            _check_origin(origin)
        if self._key and not self._has_key():
            raise Refused(
                401,
                "An API key is needed",
                field="Authorization",
                # Basic is for browsers, which know no other way to ask for a key.
                headers={"WWW-Authenticate": 'Bearer, Basic realm="mta"'},
            )

    def _is_own_name(self, host: str) -> bool:
        return _is_address(host) or host.lower().rstrip(".") in self._own_names

    def _has_key(self) -> bool:
        """``Bearer KEY``, or Basic with the key as password and any user's name."""
        shown = request.authorization
        if shown is None:
            return False
        text = shown.token if shown.type == "bearer" else shown.password
        return hmac.compare_digest((text or "").encode(), self._key)


def only_known_methods(inner: "WSGIApplication") -> "WSGIApplication":
    """Answer 405 to invented methods: each would be one more label in the metrics."""

    def answer(
        environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in METHODS:
            return inner(environ, start_response)
        body = {"code": "MethodNotAllowed", "message": "There is no such method"}
        refusal = Response(json.dumps(body) + "\n", 405, mimetype="application/json")
        return refusal(environ, start_response)

    return answer


def host_of(host_field: str) -> str:
    """The host in a Host field, without its port and without brackets."""
    if host_field.startswith("["):
        return host_field[1:].partition("]")[0]
    return host_field.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether a server that listens on ``host`` hears only its own machine."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check_origin(origin: str) -> None:
    site = origin.partition("://")[2]
    if site.lower() != request.host.lower():
        raise Refused(403, "Web pages of other sites may not do this", field="Origin")


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    log.debug("%s %s %s", request.method, request.path, response.status_code)
    return response
