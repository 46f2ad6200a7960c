"""Rules of the house that no linter knows."""

import ast
import os
from pathlib import Path

from mta.config.load import load_config

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "mta").rglob("*.py"))


def test_no_file_is_longer_than_400_lines():
    """One idea per file."""
    too_long = {
        str(module.relative_to(ROOT)): lines
        for module in MODULES
        if (lines := module.read_text().count("\n")) > 400
    }

    assert too_long == {}


def test_every_module_says_what_it_owns():
    """A newcomer reads the first paragraph and knows."""
    silent = [
        str(module.relative_to(ROOT))
        for module in MODULES
        if ast.get_docstring(ast.parse(module.read_text())) is None
    ]

    assert silent == []


def test_the_shipped_zones_yaml_loads():
    """The example a newcomer edits is right."""
    config = load_config(ROOT / "zones.yaml", os.environ)

    assert "default" in config.zones


def test_the_demos_configuration_loads():
    """So is the one that make demo runs."""
    config = load_config(ROOT / "mta/cli/demo.yaml", os.environ)

    assert set(config.zones) == {"default", "newsletter", "urgent", "bounces"}
