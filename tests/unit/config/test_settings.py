from pathlib import Path

import pytest

from mta.config.settings import (
    VARIABLES,
    Settings,
    limits_url,
    load_settings,
    machine_name,
)
from mta.config.values import HostPort
from mta.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def problems():
    def problems(**environ):
        with pytest.raises(ConfigError) as caught:
            load_settings(environ)
        return [str(problem) for problem in caught.value.problems]

    return problems


def test_an_empty_environment_is_enough():
    """`mta up` starts what is not named."""
    assert load_settings({"PATH": "/bin"}) == Settings(hostname=machine_name())


def test_every_variable_is_read():
    """One value each, in its own type."""
    settings = load_settings(
        {
            "MTA_CONFIG": "conf/zones.yaml",
            "MTA_MONGO_URI": "mongodb://user:pw@db1.example,db2.example/mta",
            "MTA_BROKER_URL": "rediss://:pw@cache.example/0",
            "MTA_REDIS_URL": "unix:///run/redis.sock",
            "MTA_CELERY_TRANSPORT": "Stock",
            "MTA_HOSTNAME": "MX.Example.com",
            "MTA_STATE_DIR": "/var/lib/mta",
            "MTA_LOG_LEVEL": "DEBUG",
            "MTA_LOG_FORMAT": "json",
            "MTA_SANDBOX": "127.0.0.1:2526",
            "MTA_API_KEY": "k3y",
            "MTA_FLOWER_BASIC_AUTH": "user:pw",
            "MTA_PROCESS_NAME": "worker@default",
            "MTA_METRICS_LISTEN": "[::1]:9100",
        }
    )

    assert settings == Settings(
        config_path=Path("conf/zones.yaml"),
        mongo_uri="mongodb://user:pw@db1.example,db2.example/mta",
        broker_url="rediss://:pw@cache.example/0",
        redis_url="unix:///run/redis.sock",
        celery_transport="stock",
        hostname="mx.example.com",
        state_dir=Path("/var/lib/mta"),
        log_level="debug",
        log_format="json",
        sandbox=HostPort("127.0.0.1", 2526),
        api_key="k3y",
        flower_basic_auth="user:pw",
        process_name="worker@default",
        metrics_listen=HostPort("::1", 9100),
    )


def test_an_empty_variable_counts_as_not_set():
    """Composition files pass on what is not set as empty."""
    assert load_settings(dict.fromkeys(VARIABLES, "")) == load_settings({})


def test_the_file_in_the_current_folder_is_found(folder):
    """Every process finds the same one, Celery's own included."""
    (folder / "zones.yaml").write_text("")

    assert load_settings({}).config_path == Path("zones.yaml")
    assert load_settings({"MTA_CONFIG": "b.yaml"}).config_path == Path("b.yaml")


def test_an_unknown_variable_is_a_problem(problems):
    """A misspelt one would otherwise do nothing, silently."""
    assert problems(MTA_MONGO_URL="x") == [
        "environment: MTA_MONGO_URL: no such variable; did you mean 'MTA_MONGO_URI'?"
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("MTA_MONGO_URI", "postgres://h/db", "does not begin with mongodb://"),
        ("MTA_MONGO_URI", "mongodb://", "and name a server"),
        ("MTA_BROKER_URL", "localhost:6379", "does not begin with redis://"),
        ("MTA_REDIS_URL", "http://h", "redis://, rediss:// or unix://"),
        ("MTA_HOSTNAME", "not a name", "is not a domain name"),
        ("MTA_LOG_LEVEL", "loud", "is none of debug, info, warning and error"),
        ("MTA_LOG_FORMAT", "xml", "is none of text and json"),
        ("MTA_SANDBOX", "127.0.0.1", "has no port"),
        ("MTA_METRICS_LISTEN", "host.example:9100", "is not an IP address"),
        ("MTA_API_KEY", "two words", "without blanks"),
        ("MTA_FLOWER_BASIC_AUTH", "secret", "is not USER:PASSWORD"),
        ("MTA_PROCESS_NAME", "a b", "letters, digits"),
        ("MTA_STATE_DIR", "a\nb", "has control characters"),
        ("MTA_API_KEY", "k" * 5000, "is longer than"),
    ],
)
def test_a_wrong_value_is_a_problem(problems, name, text, expected):
    """Named by its variable; there is no line to show."""
    (problem,) = problems(**{name: text})

    assert problem.startswith(f"environment: {name}: ")
    assert expected in problem


def test_all_mistakes_are_told_at_once(problems):
    """Not one per start."""
    assert len(problems(MTA_LOG_LEVEL="x", MTA_SANDBOX="y", MTA_NONE="z")) == 3


@pytest.mark.parametrize(
    "name",
    ["MTA_API_KEY", "MTA_MONGO_URI", "MTA_BROKER_URL", "MTA_REDIS_URL"],
)
def test_secrets_are_never_told(problems, name):
    """Neither by a problem nor by repr: both end in logs."""
    assert "hunter2" not in problems(**{name: "hunter2 x"})[0]

    settings = Settings(hostname="a", api_key="hunter2", mongo_uri="mongodb://hunter2")
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://127.0.0.1:99999/mta",
        "mongodb://127.0.0.1:port/mta",
        "mongodb://user:p@ss@db.example/mta",
        "mongodb://user:pa/ss@db.example/mta",
        "mongodb://user:pa:ss/@db.example:1/mta",
    ],
)
def test_a_uri_without_a_usable_port_is_refused_and_not_shown(problems, uri):
    """It may hold a password, and no process could connect with it."""
    (problem,) = problems(MTA_MONGO_URI=uri)

    assert "port" in problem
    assert "p@ss" not in problem
    assert "99999" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://[::1]:6379/0",
        "redis://[::1]/0",
        "redis://:p%40ss@cache.example/0",
        "sentinel://a.example:26379;sentinel://b.example:26379/0",
        "amqp://mta:secret@rabbit.example:5672//",
    ],
)
def test_usual_urls_of_brokers_are_taken(url):
    """In each of the forms that Celery reads."""
    assert load_settings({"MTA_BROKER_URL": url}).broker_url == url


@pytest.mark.parametrize(
    ("broker", "limits"),
    [
        pytest.param(None, "redis://127.0.0.1:6379/1", id="the default broker"),
        pytest.param("redis://h", "redis://h/1", id="no database named"),
        pytest.param("redis://:p%40@h:1/0", "redis://:p%40@h:1/1", id="a password"),
        pytest.param("redis://h/1", "redis://h/0", id="the broker has that one"),
        pytest.param(
            "rediss://h/0?ssl_cert_reqs=CERT_REQUIRED&socket_timeout=3",
            "rediss://h/1?ssl_cert_reqs=required",
            id="TLS, in the words of redis-py",
        ),
        pytest.param(
            "redis+socket://:p@/run/r.sock", "unix://:p@/run/r.sock?db=1", id="socket"
        ),
        pytest.param(
            "redis+socket:///run/r.sock?virtual_host=1",
            "unix:///run/r.sock?db=0",
            id="socket, and the broker has that one",
        ),
        pytest.param("amqp://h", None, id="RabbitMQ"),
        pytest.param("sentinel://a:1;sentinel://b:1", None, id="Sentinel"),
    ],
)
def test_limits_are_kept_beside_the_broker(broker, limits):
    """In another database of the same Redis, if it is one."""
    assert limits_url(Settings(hostname="a.example", broker_url=broker)) == limits


def test_limits_are_kept_where_the_operator_says():
    """MTA_REDIS_URL needs no broker of its kind."""
    settings = Settings(
        hostname="a.example", broker_url="amqp://h", redis_url="redis://x/7"
    )

    assert limits_url(settings) == "redis://x/7"


def test_a_transport_is_one_of_two(problems):
    """Ours or kombu's."""
    (problem,) = problems(MTA_CELERY_TRANSPORT="quick")

    assert "'quick' is none of fast and stock" in problem
