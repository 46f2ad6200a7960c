"""Which addresses of a pool this machine has."""

from mta.config.zones import Config, PoolAddress, Zone
from mta.relay.binding import find_missing, report_missing

HERE, GONE = "127.0.0.1", "192.0.2.200"


def a_config(**pools):
    entries = {
        name: tuple(PoolAddress(address=text) for text in texts)
        for name, texts in pools.items()
    }
    zones = {
        name: Zone(name=name, pool=name, addresses=pool)
        for name, pool in entries.items()
    }
    return Config(
        pools=entries,
        zones={"default": Zone(name="default"), **zones},
        source="zones.yaml",
        lines={("pools", "a", GONE): 12},
    )


def test_an_address_that_cannot_be_bound_is_told_with_its_line():
    """So that somebody looks before mail waits for long."""
    (missing,) = find_missing(a_config(a=(HERE, GONE)), ["a"])

    assert str(missing).startswith(
        f"zones.yaml:12: pools.a: {GONE} cannot be bound on this machine: "
    )


def test_an_address_of_another_family_is_looked_at_too():
    """Whatever the reason is that it cannot be bound."""
    (missing,) = find_missing(a_config(a=("2001:db8::1",)), ["a"])

    assert str(missing.address) == "2001:db8::1"


def test_pools_of_other_zones_are_not_this_machines_affair():
    """Their workers may run elsewhere."""
    config = a_config(a=(HERE,), b=(GONE,))

    assert list(find_missing(config, ["default", "a"])) == []


def test_an_address_of_two_pools_is_told_once():
    """It is one address."""
    config = a_config(a=(GONE,), b=(GONE,))

    assert [m.pool for m in find_missing(config, ["a", "b"])] == ["a"]


def test_a_missing_address_is_an_error_in_the_log(caplog):
    """And no reason for the worker to stop."""
    report_missing(a_config(a=(GONE,)), ["a"])

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert f"{GONE} cannot be bound" in caplog.text
