from ipaddress import ip_address

import pytest

from mta.config.zones import Config, PoolAddress, QueueConfig, Zone


@pytest.fixture
def a_pool():
    """Build a pool from pairs of address and ratio."""

    def build(*entries: tuple[str, float | None]) -> tuple[PoolAddress, ...]:
        return tuple(
            PoolAddress(address=ip_address(text), ratio=ratio)
            for text, ratio in entries
        )

    return build


@pytest.fixture
def a_config():
    """Build a configuration from zones; one named "default" is always there."""

    def build(**zones: dict[str, object]) -> Config:
        zones = {**zones, "default": zones.get("default", {})}
        return Config(
            queue=QueueConfig(default_zone="default"),
            interfaces={},
            pools={},
            zones={name: Zone(name=name, **rest) for name, rest in zones.items()},
        )

    return build
