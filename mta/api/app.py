"""The HTTP door put together: routes, guard, failures, metrics, dashboard."""

from collections.abc import Callable
from datetime import datetime

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics

from mta.api.explain import explain_routes
from mta.api.guard import Guard
from mta.api.health import health_routes
from mta.api.measures import measure_routes
from mta.api.message import message_routes
from mta.api.parts import Parts
from mta.api.ports import Explain, Intake, Look, Pressure, Shaping, Steer
from mta.api.problems import install_problems
from mta.api.queue import queue_routes
from mta.api.send import send_routes
from mta.api.steer import steer_routes
from mta.api.v1 import v1_routes
from mta.config.live import Live
from mta.config.settings import Settings
from mta.config.zones import Config
from mta.dashboard.pages import dashboard_routes
from mta.dashboard.ports import InboxReader


def create_app(  # noqa: PLR0913 - all that the door stands on
    *,
    config: Live[Config],
    settings: Settings,
    intake: Intake,
    look: Look,
    steer: Steer,
    shaping: Shaping,
    explain: Explain,
    inbox: InboxReader | None,
    now: Callable[[], datetime],
    pressure: Pressure | None = None,
    metrics_registry: CollectorRegistry | None = None,
) -> Flask:
    """Build the app.

    Args:
        inbox: The sandbox's, if there is one: its pages are shown then.
        now: The clock; aware UTC.
        pressure: Asked before mail is taken; None: we are never too busy.
        metrics_registry: What ``/metrics`` shows; None means the process's own,
            or with ``PROMETHEUS_MULTIPROC_DIR`` set, all processes' together.
    """
    app = Flask("mta.api", static_folder=None)
    app.json = _Json(app)
    # A failure is answered and logged in tests as it is in production.
    app.config["PROPAGATE_EXCEPTIONS"] = False
    install_problems(app)
    PrometheusMetrics(
        app,
        group_by="url_rule",
        defaults_prefix="mta",
        registry=metrics_registry,
    )
    Guard(
        api_key=settings.api_key,
        listens_on=config.current.api.host,
        own_names=(settings.hostname,),
    ).install(app)
    parts = Parts(
        config=config,
        settings=settings,
        intake=intake,
        look=look,
        now=now,
        pressure=pressure,
    )
    for routes in (send_routes, message_routes, queue_routes, health_routes, v1_routes):
        app.register_blueprint(routes(parts))
    app.register_blueprint(steer_routes(steer))
    app.register_blueprint(measure_routes(shaping))
    app.register_blueprint(explain_routes(parts, explain))
    app.register_blueprint(dashboard_routes(look, inbox))
    return app


class _Json(DefaultJSONProvider):
    """Compact, ASCII, in the order we write it."""

    sort_keys = False
    compact = True
