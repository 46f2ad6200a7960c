from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from mta.config.load import load_config
from mta.config.values import HostPort
from mta.config.zones import Config, Interface, QueueConfig, Zone
from mta.errors import ConfigError

ROOT = Path(__file__).parents[3]


def test_no_file_means_built_in_defaults():
    """A newcomer needs no file: two zones, one door, the API on loopback."""
    config = load_config(None, {})

    assert config == Config()
    assert config.source == "built-in defaults"
    assert [(z.name, z.connections) for z in config.enabled_zones()] == [
        ("default", 10),
        ("bounces", 1),
    ]
    assert config.interfaces["feeder"].port == 2525
    assert (config.api.host, config.api.port) == ("127.0.0.1", 12080)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "---\n", "zones:\napi:\n"])
def test_an_empty_file_means_the_defaults_too(load, text):
    """What a file leaves out has its default."""
    config = load(text)

    assert config.model_copy(update={"source": "built-in defaults"}) == Config()


def test_the_default_schedule_lasts_two_days():
    """17 deferrals: 5, 7, 8, 25, 75, 120 minutes, then 11 times four hours."""
    times = QueueConfig().defer_times["default"]

    assert len(times) == 17
    assert sum(times, timedelta()) == timedelta(hours=48)


def test_the_shipped_file_has_a_zone_of_its_own():
    """The example in the repository loads, and shows what a zone is."""
    config = load_config(ROOT / "zones.yaml", {})

    assert list(config.zones) == ["default", "bounces", "newsletter"]
    assert config.zones["newsletter"].sender_domains == ("news.example.com",)
    assert config.interfaces == {"feeder": Interface(name="feeder")}


def test_every_kind_of_value_is_read(load):
    """Units, networks, domains and nested mappings become values."""
    config = load(
        """
        api: {port: 0, max_size: 1 MiB}
        flower: {enabled: false}
        dns:
          nameservers: ["127.0.0.1:5353", "[::1]:5354", 192.0.2.53]
          allow_addresses: [127.77.0.0/16]
          cache_ttl: 30s
        interfaces:
          feeder: {max_size: 25MB, socket_timeout: 90s, banner: Welcome}
        pools:
          warm:
            - {address: 192.0.2.10, name: MTA1.example.com}
            - {address: 192.0.2.11, ratio: 1/20}
            - 2001:db8::10
        zones:
          default:
            connections: 10
            pool: warm
            host: "[2001:db8::25]"
            port: 2526
            connection_cache: {ttl: 0s}
            defer_times: [2s, 1.5m]
            recipient_domains: [Bücher.example]
            origin_addresses: [192.0.2.1, 10.0.0.0/8]
            routing_headers: {X-User-ID: "123"}
          bounces:
        """
    )
    zone = config.zones["default"]

    assert config.dns.nameservers == (
        HostPort("127.0.0.1", 5353),
        HostPort("::1", 5354),
        HostPort("192.0.2.53", 53),
    )
    assert config.interfaces["feeder"].max_size == 25_000_000
    assert [a.address for a in zone.addresses] == [
        ip_address("192.0.2.10"),
        ip_address("192.0.2.11"),
        ip_address("2001:db8::10"),
    ]
    assert [a.ratio for a in zone.addresses] == [None, 0.05, None]
    assert zone.addresses == config.pools["warm"]
    assert zone.addresses[0].name == "mta1.example.com"
    assert (zone.host, zone.port) == ("2001:db8::25", 2526)
    assert zone.connection_cache.ttl == timedelta(0)
    assert zone.defer_times == {
        "default": (timedelta(seconds=2), timedelta(seconds=90))
    }
    assert zone.recipient_domains == ("xn--bcher-kva.example",)
    assert zone.origin_addresses[1] == ip_network("10.0.0.0/8")
    assert zone.routing_headers == {"x-user-id": "123"}
    assert config.source == "zones.yaml"


def test_interfaces_may_be_none(load):
    """An empty mapping is not the same as nothing: a site may want HTTP only."""
    assert load("interfaces: {}").interfaces == {}


def test_a_disabled_zone_is_there_but_has_no_worker(load):
    """What is queued in it waits."""
    config = load("zones: {default: , bounces: , old: {disabled: true}}")

    assert "old" in config.zones
    assert [zone.name for zone in config.enabled_zones()] == ["default", "bounces"]


def test_a_configuration_cannot_be_changed():
    """Processes share it between greenlets."""
    config = Config()

    with pytest.raises(ValidationError):
        config.zones["default"].connections = 5
    with pytest.raises(TypeError):
        config.zones["new"] = Zone(name="new")


def test_values_built_in_code_pass_the_same_bounds():
    """A model that exists is one that a file could have said."""
    with pytest.raises(ValidationError, match="from 1 to 10000"):
        Zone(name="default", connections=0)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path, name):
    """It was named, so the defaults are not what was meant."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / name, {})
