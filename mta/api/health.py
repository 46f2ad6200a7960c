"""``/healthz``: this process answers. ``/readyz``: so does what it depends on."""

from flask import Blueprint, Response, jsonify

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
