"""Workers that are no gevent worker on our transport: Celery's own ways."""

import pytest

from mta.worker.doorbell import PRIORITY_HIGH
from tests.integration.worker.rig import QUEUE, Worker, eventually


@pytest.mark.parametrize("pool", ["solo", "prefork", "threads"])
def test_another_pool_takes_celerys_strategy(broker, notes, start_worker, pool):
    """On our transport all the same: woken by the bell, urgent mail first."""
    broker.publish("a", "b", "c")
    broker.publish("urgent", priority=PRIORITY_HIGH)
    start_worker(pool=pool, slots=1)

    assert notes.next("done", 4) == ["urgent", "a", "b", "c"]
    broker.publish("later")
    assert notes.next("done", timeout_s=2) == ["later"]
    eventually(lambda: broker.unacked() == 0)


@pytest.mark.parametrize("pool", ["gevent", "solo"])
def test_stock_works_as_ever(stock_broker, notes, pool):
    """kombu's transport, Celery's strategy, and no bell."""
    worker = Worker(notes, stock_broker.environ, "-P", pool, "-c", "2", "-Q", QUEUE)
    with worker:
        stock_broker.publish(*(f"t{number}" for number in range(50)))

        assert len(notes.next("done", 50)) == 50
        eventually(lambda: stock_broker.unacked() == 0)
        with stock_broker.redis() as client:
            assert client.keys("_mta.*") == []
        assert worker.stop() == 0


def test_both_ways_share_a_queue(broker, stock_broker, notes, start_worker):
    """While a deployment changes over, workers and publishers of both kinds run."""
    stock = Worker(notes, stock_broker.environ, "-P", "gevent", "-c", "2", "-Q", QUEUE)
    with stock:
        start_worker(slots=2)
        broker.publish(*(f"f{number} 0.02" for number in range(30)))
        stock_broker.publish(*(f"s{number} 0.02" for number in range(30)))

        assert len(set(notes.next("done", 60))) == 60
        eventually(lambda: broker.unacked() == 0)
