"""The reference pages name everything that can be set, and nothing else."""

import re
from pathlib import Path

import pytest

from mta.config.profiles import PROFILES
from mta.config.schedule import CATEGORIES
from mta.config.settings import SECRETS, VARIABLES
from mta.config.zones import (
    ApiConfig,
    Config,
    DkimConfig,
    DnsConfig,
    DomainLimits,
    FlowerConfig,
    Interface,
    PoolAddress,
    PressureConfig,
    Provider,
    QueueConfig,
    ShapingRule,
    SharedLimit,
    SrsConfig,
    TenantConfig,
    TimeoutsConfig,
    UsersConfig,
    WarmupPlan,
    Zone,
)

DOCS = Path(__file__).parents[3] / "docs/reference"
SECTIONS = {
    "api": ApiConfig,
    "flower": FlowerConfig,
    "dns": DnsConfig,
    "queue": QueueConfig,
    "timeouts": TimeoutsConfig,
    "dkim": DkimConfig,
    "srs": SrsConfig,
    "users": UsersConfig,
    "pressure": PressureConfig,
    "interfaces": Interface,
    "pools": PoolAddress,
    "zones": Zone,
    "limits": SharedLimit,
    "domains": DomainLimits,
    "providers": Provider,
    "tenants": TenantConfig,
    "shaping": ShapingRule,
    "warmup": WarmupPlan,
}


def test_every_section_has_its_chapter():
    """In the order of the schema."""
    page = (DOCS / "zones-yaml.md").read_text()
    chapters = re.findall(r"^## ([a-z_]+)$", page, re.MULTILINE)

    assert chapters == [key for key in Config.model_fields if key not in Config.derived]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_has_its_row(section):
    """In the order of the schema, too."""
    page = (DOCS / "zones-yaml.md").read_text()
    chapter = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    model = SECTIONS[section]

    rows = re.findall(r"^\| `([a-z0-9_]+)` \|", chapter, re.MULTILINE)

    assert rows == [key for key in model.model_fields if key not in model.derived]


def test_every_profile_has_its_row():
    """With the values it has."""
    page = (DOCS / "zones-yaml.md").read_text()
    chapter = page.split("\n## Profiles of providers\n")[1].split("\n## ")[0]

    rows = re.findall(r"^\| `([a-z-]+)` \|[^|]*\|(.*)\|$", chapter, re.MULTILINE)

    assert [(name, re.findall(r"[^ `|]+", values)) for name, values in rows] == [
        (
            name,
            [
                *profile["mx"],
                *map(str, (profile["max_connections"], profile["reuse_count"])),
            ],
        )
        for name, profile in PROFILES.items()
    ]


def test_every_category_of_failures_has_its_row():
    """Whoever gives one its own pauses should know what it is."""
    page = (DOCS / "zones-yaml.md").read_text()
    chapter = page.split("\n## Pauses by category\n")[1].split("\n## ")[0]

    rows = re.findall(r"^\| `([a-z]+)` \|", chapter, re.MULTILINE)

    assert tuple(rows) == CATEGORIES


def test_every_variable_has_its_row():
    """Secrets are marked."""
    page = (DOCS / "environment.md").read_text()
    rows = dict(
        re.findall(r"^\| `(MTA_[A-Z_]+)` \|[^|]*\| (.*) \|$", page, re.MULTILINE)
    )

    assert set(rows) == set(VARIABLES)
    assert {name for name, text in rows.items() if "*secret*" in text} == SECRETS
