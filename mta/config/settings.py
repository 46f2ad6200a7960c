"""The environment: wiring and secrets, as ``MTA_*`` variables.

The only reader of the environment. Secrets are kept out of ``repr`` and out of
problems, so that a traceback or a log line cannot tell them. A variable that is
empty counts as not set.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from mta.config.values import (
    MAX_PORT,
    HostPort,
    parse_address,
    parse_domain,
    parse_host_port,
)
from mta.config.wording import join_words, shorten, suggest
from mta.errors import ConfigError, Problem

PREFIX = "MTA_"
VARIABLES = (
    "MTA_API_KEY",
    "MTA_BROKER_URL",
    "MTA_CELERY_TRANSPORT",
    "MTA_CONFIG",
    "MTA_FLOWER_BASIC_AUTH",
    "MTA_HOSTNAME",
    "MTA_LOG_FORMAT",
    "MTA_LOG_LEVEL",
    "MTA_METRICS_LISTEN",
    "MTA_MONGO_URI",
    "MTA_PROCESS_NAME",
    "MTA_REDIS_URL",
    "MTA_SANDBOX",
    "MTA_STATE_DIR",
    "MTA_WATCH_CONFIG",
)
SECRETS = frozenset(
    {
        "MTA_API_KEY",
        "MTA_BROKER_URL",
        "MTA_FLOWER_BASIC_AUTH",
        "MTA_MONGO_URI",
        "MTA_REDIS_URL",
    }
)
DEFAULT_BROKER_URL = "redis://127.0.0.1:6379/0"
DEFAULT_CONFIG = Path("zones.yaml")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
CELERY_TRANSPORTS = ("fast", "stock")
MAX_CHARS = 4096

_SOURCE = "environment"
_MONGO = ("mongodb", "mongodb+srv")
_BROKER = (
    *("redis", "rediss", "redis+socket", "sentinel"),
    *("amqp", "amqps", "pyamqp"),
)
_REDIS = ("redis", "rediss", "unix")
_PROCESS_NAME = re.compile(r"[A-Za-z0-9_.@+-]{1,100}")
_HIDDEN = "the value"

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says.

    Attributes:
        config_path: zones.yaml; None: built-in defaults.
        mongo_uri, broker_url, redis_url: None: the process's own default, or an
            embedded service.
        celery_transport: ``fast``: ours, for Redis; ``stock``: kombu's own.
        hostname: What this machine calls itself in SMTP.
        sandbox: If given, all mail goes there and nowhere else.
        api_key: What clients of the API must show, if anything.
        flower_basic_auth: USER:PASSWORD of the task dashboard.
        metrics_listen: Where a worker or scheduler serves its own metrics.
        watch_config: A change of the configuration's file is a reload.
    """

    config_path: Path | None = None
    mongo_uri: str | None = field(default=None, repr=False)
    broker_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    celery_transport: Literal["fast", "stock"] = "fast"
    hostname: str
    state_dir: Path = Path("var")
    log_level: str = "info"
    log_format: Literal["text", "json"] = "text"
    sandbox: HostPort | None = None
    api_key: str | None = field(default=None, repr=False)
    flower_basic_auth: str | None = field(default=None, repr=False)
    process_name: str = "mta"
    metrics_listen: HostPort | None = None
    watch_config: bool = False


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the environment.

    The configuration's file is MTA_CONFIG, else ./zones.yaml if it is there.

    Raises:
        ConfigError: With every problem; a variable of ours that does not exist
            is one.
    """
    reader = _Reader(environ)
    settings = Settings(
        config_path=reader.get("MTA_CONFIG", Path, _default_config()),
        mongo_uri=reader.get("MTA_MONGO_URI", _url(_MONGO), None),
        broker_url=reader.get("MTA_BROKER_URL", _url(_BROKER), None),
        redis_url=reader.get("MTA_REDIS_URL", _url(_REDIS), None),
        celery_transport=cast(
            Literal["fast", "stock"],
            reader.get("MTA_CELERY_TRANSPORT", _one_of(CELERY_TRANSPORTS), "fast"),
        ),
        hostname=reader.get("MTA_HOSTNAME", parse_domain, machine_name()),
        state_dir=reader.get("MTA_STATE_DIR", Path, Path("var")),
        log_level=reader.get("MTA_LOG_LEVEL", _one_of(LOG_LEVELS), "info"),
        log_format=cast(
            Literal["text", "json"],
            reader.get("MTA_LOG_FORMAT", _one_of(LOG_FORMATS), "text"),
        ),
        sandbox=reader.get("MTA_SANDBOX", parse_host_port, None),
        api_key=reader.get("MTA_API_KEY", _api_key, None),
        flower_basic_auth=reader.get("MTA_FLOWER_BASIC_AUTH", _login, None),
        process_name=reader.get("MTA_PROCESS_NAME", _process_name, "mta"),
        metrics_listen=reader.get("MTA_METRICS_LISTEN", _listen, None),
        watch_config=reader.get("MTA_WATCH_CONFIG", _boolean, False),
    )
    reader.check()
    return settings


def limits_url(settings: Settings) -> str | None:
    """Where the limits are kept: MTA_REDIS_URL, or beside the broker.

    Beside the broker is database 1 of the same server, or 0 if the broker has
    that one. None: there is no Redis to be found in these settings, and workers
    share the limits out among themselves.
    """
    if settings.redis_url is not None:
        return settings.redis_url
    url = urlsplit(settings.broker_url or DEFAULT_BROKER_URL)
    options = dict(parse_qsl(url.query))
    if url.scheme in {"redis", "rediss"}:
        database = 0 if url.path.strip("/") == "1" else 1
        tls = urlencode(dict(_tls_options(options)))
        return url._replace(path=f"/{database}", query=tls, fragment="").geturl()
    if url.scheme == "redis+socket":
        database = 0 if options.get("virtual_host") == "1" else 1
        login, _, _ = url.netloc.rpartition("@")
        login += "@" if login else ""
        return f"unix://{login}{url.path}?db={database}"
    return None


def _tls_options(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Of a broker's URL what a plain client of Redis knows, in its words."""
    for name, value in options.items():
        if name == "ssl_cert_reqs":
            yield name, value.removeprefix("CERT_").lower()
        elif name.startswith("ssl_"):
            yield name, value


def machine_name() -> str:
    """The machine's own name, if it can be said in SMTP. Asks no DNS."""
    try:
        return parse_domain(os.uname().nodename)
    except ValueError:
        return "localhost"


class _Reader:
    """Reads variables one by one and gathers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[Problem] = []
        for name in sorted(environ):
            if name.startswith(PREFIX) and name not in VARIABLES:
                hint = suggest(name, VARIABLES)
                known = f"known are {join_words(VARIABLES, 'and')}"
                self._note(name, f"no such variable; {hint or known}")

    def get(self, name: str, parse: Callable[[str], T], default: D) -> T | D:
        """Read one; ``default`` if it is not set, or wrong."""
        text = self._environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(_printable(text))
        except ValueError as error:
            shown = _HIDDEN if name in SECRETS else shorten(text)
            self._note(name, f"{shown} {error}")
            return default

    def check(self) -> None:
        """Stop here if something is wrong."""
        if self._problems:
            raise ConfigError(self._problems)

    def _note(self, name: str, message: str) -> None:
        self._problems.append(Problem(_SOURCE, 0, 0, name, message))


def _default_config() -> Path | None:
    return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None


def _printable(text: str) -> str:
    if len(text) > MAX_CHARS:
        raise ValueError(f"is longer than {MAX_CHARS} characters")
    if not text.isprintable():
        raise ValueError("has control characters in it")
    return text


def _url(schemes: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme, separator, rest = text.partition("://")
        if scheme.lower() not in schemes or not separator or not rest:
            known = join_words([f"{scheme}://" for scheme in schemes], "or")
            raise ValueError(f"does not begin with {known} and name a server")
        # Of several URLs, as for Redis Sentinel, the first one.
        _check_servers(re.split(r"[/?#;]", rest, maxsplit=1)[0].rpartition("@"))
        return text

    return parse


def _check_servers(authority: tuple[str, str, str]) -> None:
    """See that every port is one; a password in clear makes the odder ones."""
    login, _, servers = authority
    named = [
        server.rpartition(":")[2]
        for server in servers.split(",")
        if ":" in server and not server.endswith("]")
    ]
    if "@" in login or not all(map(_is_port, named)):
        raise ValueError(
            f"has a port that is not from 1 to {MAX_PORT}; if the password holds "
            ": @ or /, write them as %3A, %40 and %2F"
        )


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and 0 < int(text) <= MAX_PORT


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"is none of {join_words(words, 'and')}")
        return text.lower()

    return parse


def _boolean(text: str) -> bool:
    return _one_of(("true", "false"))(text) == "true"


def _api_key(text: str) -> str:
    # It travels in a header field.
    if not text.isascii() or " " in text:
        raise ValueError("must be of ASCII characters without blanks")
    return text


def _login(text: str) -> str:
    user, _, password = text.partition(":")
    if not user or not password:
        raise ValueError("is not USER:PASSWORD")
    return text


def _process_name(text: str) -> str:
    if not _PROCESS_NAME.fullmatch(text):
        raise ValueError("is not up to 100 letters, digits, and any of _ . @ + -")
    return text


def _listen(text: str) -> HostPort:
    place = parse_host_port(text)
    parse_address(place.host)
    return place
