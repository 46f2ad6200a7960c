"""What a Celery task costs on Redis: ``python -m tests.bench_transport``.

Runs a gevent worker on a Redis of its own, once with our transport and once with
kombu's, and prints tasks per second and the worker's own CPU time per task: tasks
that do nothing, and tasks of 5 to 15 ms that end one by one. Then the time from
publishing to the start of the task on an idle worker.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis
from celery import Celery

from mta.config.settings import load_settings
from mta.config.zones import Config
from mta.embedded.find import find_redis
from mta.embedded.redis import redis_child, redis_url
from mta.worker.celery_settings import celery_settings
from mta.worker.doorbell import PRIORITY_NORMAL, TASK
from tests.conftest import held_port, running

QUEUE = "bench"
RUNS = (("nothing", 50, 6_000), ("nothing", 10, 6_000), ("5-15 ms", 10, 3_000))
IDLE_TASKS = 50
PATIENCE_S = 120

app = Celery("bench", set_as_current=False)
app.conf.update(celery_settings(load_settings(os.environ), Config()), imports=())

_seen = {"count": 0, "began_at": 0.0, "cpu_s": 0.0}


@app.task(name=TASK, max_retries=None, send_events=False)
def deliver(total, kind):
    """Count; the last one reports to a list in database 1."""
    if _seen["count"] == 0:
        _seen.update(began_at=time.monotonic(), cpu_s=time.process_time())
    if kind == "idle":
        _notes().rpush("started", time.monotonic())
    elif kind != "nothing":
        time.sleep(random.uniform(0.005, 0.015))
    _seen["count"] += 1
    if _seen["count"] == total:
        took_s = time.monotonic() - _seen["began_at"]
        cpu_us = (time.process_time() - _seen["cpu_s"]) / total * 1e6
        _notes().rpush("report", f"{total / took_s:7.0f} tasks/s {cpu_us:6.0f} us CPU")


def _notes():
    url = os.environ["MTA_BROKER_URL"].removesuffix("/0") + "/1"
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=None)


def publish(publisher, count, *arguments):
    """One burst, as the doorbell does it."""
    with publisher.producer_or_acquire() as producer, producer.batch(1_000):
        for number in range(count):
            message = publisher.amqp.as_task_v2(
                f"task-{number}", TASK, args=arguments, ignore_result=True
            )
            producer.publish(
                message.body,
                exchange="",
                routing_key=QUEUE,
                headers=message.headers,
                serializer="json",
                priority=PRIORITY_NORMAL,
                **message.properties,
            )


def run_worker(slots, environ):
    """A worker that somebody else ends."""
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-q"]
    command += ["-A", "tests.bench_transport", "worker", "-P", "gevent"]
    command += ["-c", str(slots), "-Q", QUEUE, "--without-gossip", "--without-mingle"]
    command += ["--loglevel=error"]
    return subprocess.Popen(command, env={**os.environ, **environ})


def measure(kind, slots, count, environ):
    """Run a burst through a new worker; what its last task reports."""
    notes = _notes()
    publish(app_of(environ), count, count, kind)
    worker = run_worker(slots, environ)
    try:
        _, report = notes.blpop(["report"], PATIENCE_S)
    finally:
        worker.kill()
        worker.wait()
    notes.connection_pool.disconnect()
    return report


def measure_idle(environ):
    """Median ms from just before publishing to the first line of the task."""
    notes, publisher = _notes(), app_of(environ)
    worker, waits = run_worker(10, environ), []
    try:
        for _ in range(IDLE_TASKS):
            began_at = time.monotonic()
            publish(publisher, 1, -1, "idle")
            _, started_at = notes.blpop(["started"], PATIENCE_S)
            waits.append(float(started_at) - began_at)
    finally:
        worker.kill()
        worker.wait()
    return sorted(waits)[IDLE_TASKS // 2] * 1000


def app_of(environ):
    """A client with the settings of ``environ``."""
    client = Celery("client", set_as_current=False)
    client.conf.update(celery_settings(load_settings(environ), Config()))
    return client


def main():
    with tempfile.TemporaryDirectory() as folder, held_port() as port:
        child = redis_child(find_redis(os.environ), Path(folder), port, os.environ)
        os.environ["MTA_BROKER_URL"] = redis_url(port, 0)
        with running(child):
            for transport in ("fast", "stock"):
                environ = {
                    "MTA_BROKER_URL": os.environ["MTA_BROKER_URL"],
                    "MTA_CELERY_TRANSPORT": transport,
                }
                for kind, slots, count in RUNS:
                    report = measure(kind, slots, count, environ)
                    print(f"{transport:5} -c {slots:2} {kind:8} {report}", flush=True)
                    redis.Redis.from_url(environ["MTA_BROKER_URL"]).flushall()
                print(f"{transport:5} idle: {measure_idle(environ):.1f} ms", flush=True)


if __name__ == "__main__":
    main()
