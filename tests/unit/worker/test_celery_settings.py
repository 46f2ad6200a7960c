"""Which way through the broker the settings choose."""

import pytest

from mta.config.settings import load_settings
from mta.config.zones import Config
from mta.worker.celery_settings import celery_settings
from mta.worker.doorbell import TASK
from mta.worker.transport.names import SECURE_TRANSPORT, STRATEGY, TRANSPORT


def settings_for(url=None, transport=None):
    environ = {"MTA_BROKER_URL": url, "MTA_CELERY_TRANSPORT": transport}
    environ = {name: value for name, value in environ.items() if value}
    return celery_settings(load_settings(environ), Config())


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        (None, TRANSPORT),
        ("redis://redis.test/0", TRANSPORT),
        ("rediss://redis.test/0", SECURE_TRANSPORT),
    ],
)
def test_redis_is_taken_our_way(url, transport):
    """Without asking; the URL stays what the operator wrote."""
    settings = settings_for(url)

    assert settings["broker_transport"] == transport
    assert settings["task_annotations"] == {TASK: {"Strategy": STRATEGY}}
    assert settings["worker_prefetch_multiplier"] == 1
    if url:
        assert settings["broker_url"] == url


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("redis://redis.test/0", "stock"),
        ("sentinel://s1.test:26379", None),
        ("redis+socket:///run/redis.sock", None),
    ],
)
def test_stock_is_kombus_own(url, transport):
    """On demand, and for the kinds of Redis that ours does not speak to."""
    settings = settings_for(url, transport)

    assert "broker_transport" not in settings
    assert "task_annotations" not in settings
    assert settings["worker_prefetch_multiplier"] == 2
    assert settings["broker_transport_options"]["priority_steps"] == [0, 5]


@pytest.mark.parametrize("transport", ["fast", "stock"])
def test_rabbitmq_has_quorum_queues_and_confirms(transport):
    """Whatever is said about Redis."""
    settings = settings_for("amqp://rabbit.test//", transport)

    assert "broker_transport" not in settings
    assert settings["task_default_queue_type"] == "quorum"
    assert settings["task_create_missing_queue_type"] == "quorum"
    assert settings["broker_transport_options"]["confirm_publish"]


@pytest.mark.parametrize("transport", ["fast", "stock"])
def test_a_redis_worker_has_a_connection_per_slot(transport):
    """Ten, kombu's default, lose acknowledgements under gevent."""
    options = settings_for(transport=transport)["broker_transport_options"]
    slots = sum(zone.connections for zone in Config().enabled_zones())

    assert options["max_connections"] >= slots + 20
