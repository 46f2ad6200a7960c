"""``/healthz``: this process answers. ``/readyz``: it can take mail, too.

What it depends on has to be there, and there must be room. ``/readyz?exclude=NAME``
leaves a check out: who waits for the process to be up need not wait for the queue.
"""

from flask import Blueprint, Response, jsonify, request

from mta.api.parts import Parts


def health_routes(parts: Parts) -> Blueprint:
    """The two routes."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        checks = parts.look.readiness()
        if parts.pressure is not None:
            checks = [*checks, *parts.pressure.readiness()]
        excluded = request.args.getlist("exclude")
        checks = [check for check in checks if check[0] not in excluded]
        is_ready = all(ok for _, ok, _ in checks)
        answer = jsonify(
            {
                "status": "ready" if is_ready else "not ready",
                "checks": [
                    {"name": name, "ok": ok, "detail": detail}
                    for name, ok, detail in checks
                ],
            }
        )
        answer.status_code = 200 if is_ready else 503
        return answer

    return routes
