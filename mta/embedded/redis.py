"""The embedded Redis: database 0 is the broker, 1 holds the limits.

Append-only, so that a restart keeps the queues, and ``noeviction``, because a
broker that drops keys drops work. What a crash may still lose (a second's worth),
the scheduler repairs from MongoDB.
"""

from collections.abc import Mapping
from pathlib import Path

from mta.embedded.child import Child, Role, bounded_log
from mta.embedded.find import Server
from mta.embedded.probes import redis_answers

HOST = "127.0.0.1"
BROKER, LIMITS = 0, 1
GRACE_S = 10.0


def redis_url(port: int, database: int) -> str:
    """Where clients of one of the databases connect."""
    return f"redis://{HOST}:{port}/{database}"


def redis_child(
    server: Server, folder: Path, port: int, environ: Mapping[str, str]
) -> Child:
    """The process; its data is in ``folder``/redis, its log beside it."""
    data, log = folder / "redis", bounded_log(folder / "redis.log")
    data.mkdir(exist_ok=True)
    options = {
        "--port": port,
        "--bind": HOST,
        "--dir": data,
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory-policy": "noeviction",
        "--timeout": 0,
        "--tcp-keepalive": 60,
        "--loglevel": "notice",
        "--logfile": log,
        "--daemonize": "no",
    }
    arguments = [str(word) for pair in options.items() for word in pair]
    return Child(
        name="redis",
        role=Role.REDIS,
        argv=(str(server.binary), *arguments),
        env={**environ, **server.env},
        is_ready=redis_answers(HOST, port),
        grace_s=GRACE_S,
        log=log,
    )
