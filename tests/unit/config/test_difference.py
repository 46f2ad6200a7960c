"""What a reload says of itself before it is done."""

import pytest

from mta.config.difference import compare, keep_fixed, removed_zones
from mta.config.load import parse_config


def read(text: str, **environ: str):
    return parse_config("zones.yaml", text.encode(), environ)


def shown(old: str, new: str, **environ: str) -> list[str]:
    return [
        str(change) for change in compare(read(old, **environ), read(new, **environ))
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "zones: {default: {connections: 10}}",
            "zones: {default: {connections: 20}}",
            ["zones.default.connections: 10 -> 20"],
            id="a number",
        ),
        pytest.param(
            "zones: {default: {}, old: {connections: 3}}",
            "zones: {default: {}, new: {throttling: 5/s}}",
            [
                "zones.old: {connections: 3} -> none",
                "zones.new: none -> {throttling: 5/second}",
            ],
            id="zones that come and go",
        ),
        pytest.param(
            "queue: {defer_times: [1m, 5m]}",
            "queue: {defer_times: [1m]}",
            ["queue.defer_times.default: [1m, 5m] -> [1m]"],
            id="a list",
        ),
        pytest.param(
            "domains: {default: {max_connections: 2}, a.test: {}}",
            "domains: {default: {max_connections: 2}, a.test: {max_connections: 5}}",
            ["domains.a.test.max_connections: none -> 5"],
            id="a default that is said where another one held",
        ),
        pytest.param("api: {port: 12080}", "# nothing", [], id="a default left out"),
    ],
)
def test_changes_are_told_by_path(old, new, expected):
    """Old and new value, as an operator writes them."""
    assert shown(old, new) == expected


def test_addresses_of_a_pool_are_told_by_address():
    """A line that is put before the others does not make all of them new."""
    zones = "zones: {default: {pool: p}}\n"
    old = zones + "pools: {p: [{address: 192.0.2.1, ratio: 1/20}]}"
    new = zones + "pools: {p: [192.0.2.2, {address: 192.0.2.1, ratio: 1/10}]}"

    assert shown(old, new) == [
        "pools.p.192.0.2.1.ratio: 0.05 -> 0.1",
        "pools.p.192.0.2.2: none -> {address: 192.0.2.2}",
    ]


@pytest.mark.parametrize(
    ("new", "path"),
    [
        pytest.param("api: {port: 1}", "api.port", id="the port of the API"),
        pytest.param("flower: {enabled: false}", "flower.enabled", id="Flower"),
        pytest.param(
            "interfaces: {feeder: {port: 1}}", "interfaces.feeder.port", id="a door's"
        ),
        pytest.param(
            "interfaces: {feeder: {processes: 1}}",
            "interfaces.feeder.processes",
            id="its processes",
        ),
        pytest.param("queue: {lease: 9s}", "queue.lease", id="the lease"),
    ],
)
def test_what_needs_a_restart_says_so_and_stays(new, path):
    """Sockets and processes are as they were made, whatever the file says."""
    started, said = read(""), read(new)

    (change,) = compare(started, said)

    assert (change.path, change.needs_restart) == (path, True)
    assert compare(started, keep_fixed(started, said)) == []


def test_the_rest_of_a_door_is_reloaded():
    """Only where it listens is fixed."""
    new = "interfaces: {feeder: {port: 1, max_recipients: 9}, other: {port: 2}}"
    started = read("")

    kept = keep_fixed(started, read(new))

    assert kept.interfaces["feeder"].max_recipients == 9
    assert kept.interfaces["feeder"].port == started.interfaces["feeder"].port
    assert list(kept.interfaces) == ["feeder"]


def test_secrets_are_masked():
    """What the environment gave, and what is a secret by itself."""
    old = 'users: {http_auth: "https://a.test/?key=1"}'
    new = (
        'users: {http_auth: "https://a.test/?key=2"}\n'
        'zones: {default: {}, bounces: {host: "${RELAY}"}}'
    )

    text = "\n".join(shown(old, new, RELAY="relay.test"))

    assert "users.http_auth: (secret) -> (secret)" in text
    assert "zones.bounces.host: none -> (secret)" in text
    assert "key=" not in text
    assert "relay.test" not in text


def test_disabled_zones_count_as_there():
    """Their mail waits on purpose."""
    old = read("zones: {default: {}, a: {}, b: {}}")
    new = read("zones: {default: {}, a: {disabled: true}}")

    assert removed_zones(old, new) == ["b"]
