"""Real Celery workers on a real broker, watched through the notes their tasks take."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import redis
from celery import Celery

from mta.config.settings import load_settings
from mta.config.zones import Config
from mta.worker.celery_settings import celery_settings
from mta.worker.doorbell import PRIORITY_NORMAL, TASK
from tests.conftest import running

ROOT = Path(__file__).parents[3]
APP = "tests.integration.worker.tiny_app"
QUEUE = "default"
PATIENCE_S = 20


class Notes:
    """What tasks and workers have noted, as an event to wait for."""

    def __init__(self, url):
        self.url = url
        self._client = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=None
        )
        self._client.flushdb()

    def next(self, kind, count=1, timeout_s=PATIENCE_S):
        """The next notes of a kind, in their order; each is given once."""
        found = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count:
            left_s = deadline - time.monotonic()
            answer = self._client.blpop([kind], max(0.01, left_s))
            assert answer is not None or left_s > 0, f"{kind}: only {found}"
            if answer:
                found.append(answer[1])
        return found

    def take_all(self, kind):
        """All notes of a kind that nobody was given yet; each is given once."""
        with self._client.pipeline() as pipe:
            found, _ = pipe.lrange(kind, 0, -1).delete(kind).execute()
        return found

    def all(self, kind):
        """All notes of a kind that nobody was given yet."""
        return self._client.lrange(kind, 0, -1)


class Worker:
    """One ``celery worker`` of the tiny application."""

    def __init__(self, notes, environ, *arguments):
        self._notes = notes
        self._environ = {**os.environ, "NOTES_URL": notes.url, **environ}
        self._command = [sys.executable, "-W", "ignore", "-m", "celery", "-q", "-A"]
        self._command += [APP, "worker", "--without-gossip", "--without-mingle"]
        self._command += ["--loglevel=error", *arguments]

    def __enter__(self):
        self.process = subprocess.Popen(self._command, cwd=ROOT, env=self._environ)
        self._notes.next("ready")
        return self

    def kill(self):
        """``kill -9``."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s=PATIENCE_S):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Broker:
    """Publishes tasks as an ordinary Celery client and looks into Redis."""

    def __init__(self, url, transport):
        environ = {"MTA_BROKER_URL": url, "MTA_CELERY_TRANSPORT": transport}
        self.environ = environ
        self.url = url
        self.app = Celery("client", set_as_current=False)
        self.app.conf.update(celery_settings(load_settings(environ), Config()))

    @contextlib.contextmanager
    def redis(self):
        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            yield client

    def publish(self, *words, priority=PRIORITY_NORMAL, eta=None, queue=QUEUE):
        """One task per word, in one batch; returns their ids."""
        ids = [f"{word.partition(' ')[0]}-{time.monotonic_ns()}" for word in words]
        with self.app.producer_or_acquire() as producer:
            batch = producer.batch(1000) if producer.supports_batch_publish else None
            with batch or contextlib.nullcontext():
                for word, task_id in zip(words, ids, strict=True):
                    message = self.app.amqp.as_task_v2(
                        task_id, TASK, args=(word,), eta=eta, ignore_result=True
                    )
                    producer.publish(
                        message.body,
                        exchange="",
                        routing_key=queue,
                        headers=message.headers,
                        serializer="json",
                        priority=priority,
                        retry=False,
                        **message.properties,
                    )
        return ids

    def waiting(self, queue=QUEUE):
        """How many messages wait on the queue."""
        with self.redis() as client:
            return client.llen(queue) + client.llen(f"{queue}\x06\x165")

    def unacked(self):
        """How many messages were taken and not acknowledged."""
        with self.redis() as client:
            return client.hlen("unacked")

    def inspect(self):
        return self.app.control.inspect(timeout=5, limit=1)

    def wait_for_commands(self):
        """A worker listens to commands a moment after it has begun to consume."""
        eventually(
            lambda: self.app.control.inspect(timeout=0.5, limit=1).ping() is not None
        )

    def close(self):
        self.app.close()


def eventually(condition, timeout_s=PATIENCE_S):
    """Look until ``condition`` holds; for what gives no event of its own."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def utc_now():
    return datetime.now(UTC)


class Server:
    """A Redis of the test's own, that may be killed and stopped."""

    def __init__(self, child, url):
        self.url = url
        self._child = child
        self._stack = contextlib.ExitStack()
        self.start()

    def start(self):
        self.process = self._stack.enter_context(running(self._child))

    def kill(self):
        self._stack.close()

    def signal(self, number):
        self.process.send_signal(number)
