"""A Celery application with our settings and a task that only takes notes.

``celery -A tests.integration.worker.tiny_app worker ...``. The task's argument is a
name and, if it shall last, a number of seconds: ``"a 0.3"``. What happens is pushed to
lists of the Redis database NOTES_URL: ``ready``, ``started``, ``done``.
"""

import os
import time

import redis
from celery import Celery, signals

from mta.config.settings import load_settings
from mta.config.zones import Config
from mta.worker.celery_settings import celery_settings
from mta.worker.doorbell import SWEEP_TASK, TASK

app = Celery("tiny")
app.conf.update(celery_settings(load_settings(os.environ), Config()))
app.conf.update(imports=(), worker_send_task_events=False)
# A test does not wait an hour until a dead worker's messages are put back.
app.conf.broker_transport_options |= {
    "visibility_timeout": int(os.environ.get("VISIBILITY_S", "3600")),
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}

notes = redis.Redis.from_url(os.environ["NOTES_URL"], decode_responses=True)


@app.task(name=TASK, max_retries=None, send_events=False)
def deliver(word):
    name, _, seconds = word.partition(" ")
    notes.rpush("started", name)
    if seconds:
        time.sleep(float(seconds))
    notes.rpush("done", name)


@app.task(name=SWEEP_TASK)
def sweep():
    notes.rpush("done", "sweep")


@signals.worker_ready.connect
def say_ready(**_):
    notes.rpush("ready", "ready")
