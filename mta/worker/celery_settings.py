"""Celery's settings, each with the reason it is not the default.

``celeryconfig.py`` at the top level is made of these.
"""

from typing import Any

from mta.config.settings import Settings
from mta.config.zones import Config
from mta.worker.doorbell import (
    MAINTENANCE_QUEUE,
    PRIORITY_HIGH,
    PRIORITY_NORMAL,
)

DEFAULT_BROKER_URL = "redis://127.0.0.1:6379/0"

# Named, not imported: the composition root stands above this room. A worker
# imports it at start, and it hands the tasks what they need.
_WIRING = "mta.cli.run_worker"


def celery_settings(settings: Settings, config: Config) -> dict[str, Any]:
    """Derive the settings of every Celery process from the two sources."""
    broker_url = settings.broker_url or DEFAULT_BROKER_URL
    connections = sum(zone.connections for zone in config.enabled_zones())
    return {
        "broker_url": broker_url,
        "imports": ("mta.worker.tasks", _WIRING),
        # JSON only: a pickled task is refused, whoever sent it.
        "accept_content": ["json"],
        "task_serializer": "json",
        "enable_utc": True,
        # MongoDB records results.
        "task_ignore_result": True,
        "result_backend": None,
        "task_default_queue": MAINTENANCE_QUEUE,
        "task_create_missing_queues": True,
        # A worker that dies leaves its doorbells to be delivered again.
        "task_acks_late": True,
        # 1 stalls a gevent worker for up to two seconds per wave.
        "worker_prefetch_multiplier": 2,
        "worker_disable_rate_limits": True,
        # Heartbeats and maintenance tasks are seen; mta.deliver sends no events.
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "task_publish_retry": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Killing a greenlet in mid-DATA, or in MongoDB's driver, helps nobody.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_pool_limit": 20,
        "broker_pool_acquire_timeout": 2,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": _transport_options(broker_url, connections),
    }


def _transport_options(broker_url: str, connections: int) -> dict[str, Any]:
    if not broker_url.startswith(("redis", "rediss", "sentinel", "valkey")):
        return {"confirm_publish": True}
    return {
        "visibility_timeout": 3600,
        # Ten, the default, lose acknowledgements under gevent.
        "max_connections": connections + 20,
        "priority_steps": [PRIORITY_HIGH, PRIORITY_NORMAL],
        "socket_timeout": 30,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
    }
