"""Options that several commands have."""

from pathlib import Path

import click

_FILE = click.Path(dir_okay=False, path_type=Path)

config_option = click.option(
    "--config",
    "config_path",
    type=_FILE,
    metavar="FILE",
    help="zones.yaml [default: MTA_CONFIG, else ./zones.yaml]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
