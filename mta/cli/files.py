"""Whether the files that zones.yaml names can be used: certificates, signing keys."""

from mta.cli.certificates import check_certificates
from mta.config.key_files import check_keys
from mta.config.zones import Config
from mta.errors import ConfigError, Problem


def check_files(config: Config) -> None:
    """Look at all of them.

    Raises:
        ConfigError: With every problem.
    """
    problems: list[Problem] = []
    for check in (check_certificates, check_keys):
        try:
            check(config)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
