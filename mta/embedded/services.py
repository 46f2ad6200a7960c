"""MongoDB and Redis: the ones the environment names, or embedded ones."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from mta.config.settings import Settings
from mta.embedded import mongod, redis
from mta.embedded.child import Child
from mta.embedded.find import find_mongod, find_redis
from mta.embedded.ports import port_of
from mta.embedded.state import StateFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where the services answer, and what must be started for that."""

    mongo_uri: str
    broker_url: str
    redis_url: str
    children: tuple[Child, ...]

    @property
    def variables(self) -> dict[str, str]:
        """The environment that tells our processes."""
        return {
            "MTA_MONGO_URI": self.mongo_uri,
            "MTA_BROKER_URL": self.broker_url,
            "MTA_REDIS_URL": self.redis_url,
        }


def choose_services(
    settings: Settings,
    state: StateFolder,
    environ: Mapping[str, str],
    *,
    held: ExitStack,
) -> Services:
    """Plan an embedded service for each that the settings do not name.

    Args:
        held: Keeps their ports reserved until it is closed.

    Raises:
        StartFailed: A server is needed and nowhere to be found.
    """
    # Secrets of ours are none of their business.
    env = {k: v for k, v in environ.items() if not k.startswith("MTA_")}
    children: list[Child] = []
    mongo_uri = settings.mongo_uri
    if mongo_uri is None:
        port = port_of(held.enter_context(state.reserve_port("mongo", mongod.HOST)))
        server = find_mongod(environ, state.path / "lib")
        children.append(mongod.mongod_child(server, state.path, port, env))
        mongo_uri = mongod.mongo_uri(port)
    broker_url, redis_url = settings.broker_url, settings.redis_url
    if broker_url is None or redis_url is None:
        port = port_of(held.enter_context(state.reserve_port("redis", redis.HOST)))
        children.append(redis.redis_child(find_redis(environ), state.path, port, env))
        broker_url = broker_url or redis.redis_url(port, redis.BROKER)
        redis_url = redis_url or redis.redis_url(port, redis.LIMITS)
    return Services(
        mongo_uri=mongo_uri,
        broker_url=broker_url,
        redis_url=redis_url,
        children=tuple(children),
    )
