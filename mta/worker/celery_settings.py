"""Celery's settings, each with the reason it is not the default.

``celeryconfig.py`` at the top level is made of these. There are three ways through
a broker, chosen by the broker's URL and ``MTA_CELERY_TRANSPORT``:

fast
    Redis by our own transport (``mta.worker.transport``), the default for redis://
    and rediss://.
stock
    Redis by kombu's transport, if asked for, or if the URL is of another kind
    (a Unix socket, Sentinel).
amqp
    RabbitMQ with quorum queues and publisher confirms. It has no priorities: quorum
    queues have none before RabbitMQ 4, so transactional mail waits in line there.
    ``-P gevent`` works; add or cancel queues by restarting the worker, not by
    remote control, because its greenlets share one socket.
"""

from typing import Any
from urllib.parse import urlsplit

from mta.config.settings import DEFAULT_BROKER_URL, Settings
from mta.config.zones import Config
from mta.worker.doorbell import (
    MAINTENANCE_QUEUE,
    PRIORITY_HIGH,
    PRIORITY_NORMAL,
    TASK,
)
from mta.worker.transport.names import SECURE_TRANSPORT, STRATEGY, TRANSPORT

# Named, not imported: the composition root stands above this room. A worker
# imports it at start, and it hands the tasks what they need.
_WIRING = "mta.cli.run_worker"

# For publishing and for remote control, and for the connections that a reload adds.
MORE_CONNECTIONS = 1_000

_FAST = {"redis": TRANSPORT, "rediss": SECURE_TRANSPORT}
_AMQP = ("amqp", "amqps", "pyamqp")


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
        **_transport_settings(broker_url, settings.celery_transport, connections),
    }


def _transport_settings(
    broker_url: str, wanted: str, connections: int
) -> dict[str, Any]:
    scheme = urlsplit(broker_url).scheme
    if scheme in _AMQP:
        return _amqp_settings()
    if wanted == "fast" and scheme in _FAST:
        return _fast_settings(_FAST[scheme], connections)
    return _stock_settings(connections)


def _fast_settings(transport: str, connections: int) -> dict[str, Any]:
    return {
        "broker_transport": transport,
        "task_annotations": {TASK: {"Strategy": STRATEGY}},
        # What is taken before it can start is in no order of priority any more.
        "worker_prefetch_multiplier": 1,
        # An error that Redis answers, say after a failover, is no reason to end.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            **_redis_options(connections),
            # Who accepts a message waits for Redis at most this long, once.
            "socket_timeout": 1.5,
            "socket_connect_timeout": 1.5,
            # A failed connection is an answer, too. Workers try for ever all the
            # same: broker_connection_max_retries.
            "max_retries": 0,
        },
    }


def _stock_settings(connections: int) -> dict[str, Any]:
    return {
        # 1 stalls a gevent worker for up to two seconds per wave.
        "worker_prefetch_multiplier": 2,
        "broker_transport_options": {
            **_redis_options(connections),
            "socket_timeout": 30,
            "socket_connect_timeout": 3,
        },
    }


def _redis_options(connections: int) -> dict[str, Any]:
    return {
        "visibility_timeout": 3600,
        # Each is a transaction, and who sweeps takes nothing meanwhile.
        "unacked_restore_limit": 500,
        # Ten, the default, lose acknowledgements under gevent.
        "max_connections": connections + MORE_CONNECTIONS,
        "priority_steps": [PRIORITY_HIGH, PRIORITY_NORMAL],
        "socket_keepalive": True,
    }


def _amqp_settings() -> dict[str, Any]:
    return {
        "worker_prefetch_multiplier": 2,
        # Replicated, and kept by a restart of the broker.
        "task_default_queue_type": "quorum",
        "task_create_missing_queue_type": "quorum",
        # Celery declares its queues for delays whether they are used or not.
        "broker_native_delayed_delivery_queue_type": "classic",
        # With heartbeats Celery's gevent loop rests 0.1 s after every message; the
        # kernel's keepalive finds a dead connection, too.
        "broker_heartbeat": 0,
        "broker_connection_timeout": 2,
        "broker_transport_options": {"confirm_publish": True, "max_retries": 0},
    }
