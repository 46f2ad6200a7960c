"""Pools: addresses that are named, and those of network interfaces."""

from ipaddress import ip_address

import pytest

from mta.config.load import parse_config
from mta.config.network import list_global, read_network
from mta.errors import ConfigError

ZONES = "\nzones: {default: {pool: p}, bounces: }\n"
NETWORK = {
    "lo": [],
    "eth0": [ip_address(text) for text in ("192.0.2.10", "192.0.2.11", "2001:db8::10")],
    "eth1": [ip_address("198.51.100.1")],
}


@pytest.fixture
def pool():
    """Read a pool on a machine with three interfaces."""

    def pool(entries):
        text = f"pools: {{p: {entries}}}{ZONES}"
        config = parse_config("zones.yaml", text.encode(), {}, lambda: NETWORK)
        return config.zones["default"].addresses

    return pool


def only_problem(pool, entries):
    """The one mistake there is, however many addresses make it."""
    with pytest.raises(ConfigError) as caught:
        pool(entries)
    (problem,) = caught.value.problems
    return str(problem)


def test_an_interface_stands_for_all_its_addresses(pool):
    """What the entry says it says of each of them."""
    entries = pool("[{interface: eth0, ratio: 1/4, max_connections: 3}, 203.0.113.1]")

    assert [(str(e.address), e.interface, e.ratio) for e in entries] == [
        ("192.0.2.10", "eth0", 0.25),
        ("192.0.2.11", "eth0", 0.25),
        ("2001:db8::10", "eth0", 0.25),
        ("203.0.113.1", None, None),
    ]
    assert entries[2].max_connections == 3


def test_an_entry_of_its_own_goes_before_that_of_the_interface(pool):
    """One of many addresses can be warmed up."""
    entries = pool("[{interface: eth0}, {address: 192.0.2.11, ratio: 5%}]")

    assert [(str(entry.address), entry.ratio) for entry in entries] == [
        ("192.0.2.10", None),
        ("2001:db8::10", None),
        ("192.0.2.11", 0.05),
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "{interface: eth9}",
            "1:25: pools.p[0].interface: this machine has no network interface 'eth9'; "
            "did you mean 'eth",
        ),
        ("{interface: wan}", "no network interface 'wan'; there are lo, eth0 and eth1"),
        ("{interface: lo}", "'lo' has no address that mail could leave from"),
        ("{interface: 5}", "1:25: pools.p[0].interface: '5' is not text"),
        ("{interface: [eth0]}", "1:25: pools.p[0].interface: this is not text"),
        ("{interface: eth0, address: 192.0.2.1}", "that has an address already"),
        ("{interface: eth0, ratio: 2}", "1:38: pools.p[0].ratio: '2' is not a share"),
        ("{interface: eth0, ratoi: 1}", "did you mean 'ratio'?"),
        ("{interface: eth1, ratio: 0}", "address has the ratio 0"),
    ],
)
def test_a_wrong_interface_is_told_once(pool, entry, expected):
    """However many addresses it has."""
    assert expected in only_problem(pool, f"[{entry}]")


def test_the_same_interface_twice_is_the_same_address_twice(pool):
    """As when it were written out."""
    problem = only_problem(pool, "[{interface: eth1}, {interface: eth1}]")

    assert "198.51.100.1 is in this pool twice" in problem


def test_an_address_knows_its_line():
    """Also one of an interface."""
    text = "pools:\n  p:\n    - 192.0.2.1\n    - {interface: eth1}" + ZONES
    config = parse_config("zones.yaml", text.encode(), {}, lambda: NETWORK)

    assert config.place_of("pools", "p", "192.0.2.1") == "zones.yaml:3"
    assert config.place_of("pools", "p", "198.51.100.1") == "zones.yaml:4"
    assert config.place_of("pools", "p", "192.0.2.2") == ""


def test_addresses_that_nobody_elsewhere_could_answer_are_left_out():
    """A private IPv4 address stays: a router may stand for it."""
    texts = "2001:db8::1 fe80::1 fc00::1 ::1 127.0.0.1 169.254.0.1 192.0.2.2 10.0.0.1"

    left = list_global(map(ip_address, texts.split()))

    assert list(map(str, left)) == ["10.0.0.1", "192.0.2.2", "2001:db8::1"]


def test_the_loopback_interface_of_this_machine_has_none():
    """What the system says is understood."""
    assert read_network()["lo"] == []
